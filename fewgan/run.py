"""A run folder: its name, its files, and how they are written so that a crash never leaves half of one.

config.json                    everything needed to build the networks again
metrics.jsonl                  a line each tick
real.png, samples/000500.png   photos; pictures from fixed latents
checkpoints/000500.safetensors networks, averages, optimizers, plugins; the newest two
generator.safetensors          the averaged generator and mapper: one file is enough to sample anywhere
best.safetensors               the same of the step with the best score, with --score-every
generators/000500.safetensors  the same, one a save, with --keep-generators
.lock                          held while the run is being trained

Each carries the number of its format: files that a later fewgan wrote in another one are refused.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from fewgan import signatures
from fewgan.errors import UsageError
from fewgan.files import replacing, shortened, writable

FORMAT = signatures.FORMAT
GENERATOR, BEST, DISCRIMINATOR = "generator.safetensors", "best.safetensors", "discriminator.safetensors"
_NAME = re.compile(r"(\d{5,})-")
MARKS = ("real.png", "metrics.jsonl", GENERATOR)  # beside config.json they tell a run from another program's folder
WRITTEN = ("samples", "checkpoints", "generators")  # the subfolders that a training writes to


def create(runs: Path, name: str) -> Path:
    """A new folder `NNNNN-<name>` under `runs`, numbered after the highest; safe when two start at once.

    Raises FewganError where nothing can be written there.
    """
    writable(runs)
    with lock(runs / ".lock"):
        number = 1 + max((int(match[1]) for match in map(_NAME.match, os.listdir(runs)) if match), default=0)
        folder = runs / shortened(f"{number:05d}-{name}")
        folder.mkdir()
    return folder


@contextmanager
def locked(run: Path) -> Iterator[None]:
    """Keeps every other process from training the run. The system ends the lock with the process that holds it.

    Clears away what a killed process was just writing. Raises UsageError where another one trains the run, and where
    one of its folders is a link: what lies behind it is not the run's to delete.
    """
    for folder in (run / name for name in WRITTEN):
        if folder.is_symlink():
            raise UsageError(f"{folder}: is a symbolic link; put the folder itself in its place")
    try:
        with lock(run / ".lock", timeout=0):
            for folder in (run, *(run / name for name in WRITTEN)):
                for left in folder.glob(".*.tmp"):
                    left.unlink(missing_ok=True)
            yield
    except Timeout:
        raise UsageError(f"{run}: is being trained by another process; wait for it, or stop it first") from None


@contextmanager
def lock(path: Path, timeout: float = -1) -> Iterator[None]:
    """Holds a lock file; waits for `timeout` seconds, -1 without end. No lock where the file system has none.

    Never through a link, which may lead anywhere: UsageError. Raises filelock's Timeout.
    """
    if path.is_symlink():
        raise UsageError(f"{path}: is a symbolic link; remove it")
    lock = FileLock(path, timeout=timeout)
    try:
        lock.acquire()
    except Timeout:
        raise
    except (NotImplementedError, OSError):
        pass
    try:
        yield
    finally:
        lock.release()


def runs_in(place: Path) -> list[Path]:
    """The run folders of a place, by number."""
    found = [(int(match[1]), folder) for folder in _folders(place) if (match := _NAME.match(folder.name))]
    return [folder for _, folder in sorted(found)]


def meant(word: str | Path) -> str:
    """A hint where a place that is not there is the number of a run, or `latest`; else nothing."""
    number, here = str(word).zfill(5), runs_in(Path("runs"))
    found = here if str(word) == "latest" else [run for run in here if run.name.partition("-")[0] == number]
    return f"; did you mean {found[-1]}?" if found else ""


def _folders(place: Path) -> list[Path]:
    return [folder for folder in place.iterdir() if folder.is_dir()] if place.is_dir() else []


def latest(place: Path = Path("runs"), *, wanted: str = GENERATOR) -> Path:
    """The run with the highest number that has `wanted` in it. Raises UsageError where there is none."""
    found = [folder for folder in runs_in(place) if (folder / wanted).exists()]
    if not found:
        raise UsageError(f"{place}: no trained run here; run 'fewgan train' first, or name a run folder")
    return found[-1]


def beside_best(generator: Path) -> bool:
    """Whether a run's last generator lies beside its best one, which is what the run itself stands for then."""
    return (generator.parent / BEST).exists()


def is_run(folder: Path) -> bool:
    """Whether a training has begun here."""
    marks = (*MARKS, "checkpoints", ".lock")
    return (folder / "config.json").exists() and any((folder / mark).exists() for mark in marks)


def read_config(run: Path) -> dict[str, Any]:
    """config.json of a run, its format checked."""
    path = run / "config.json"
    if path.exists():
        regular(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))  # editors on Windows write a mark first
    except (FileNotFoundError, NotADirectoryError):
        inside = sorted(runs_in(run), key=lambda folder: bool(checkpoints(folder)))  # such as can be resumed last
        above = next((folder for folder in (*reversed(inside), *run.parents) if is_run(folder)), None)
        hint = f"; did you mean {above}?" if above else meant(run)
        raise UsageError(f"{run}: not a fewgan run (no config.json){hint}") from None
    except (OSError, ValueError, RecursionError) as error:
        what = signatures.instead(path, signatures.JSON)
        raise UsageError(f"{path}: {what or f'cannot be read ({error}); the file is damaged'}") from None
    return check_format(content, path)


def regular(path: Path) -> Path:
    """The path, unless it is a folder, a pipe or a device, which may never come to an end, or is kept from this user.

    Raises UsageError.
    """
    if not path.is_file():
        raise UsageError(f"{path}: {'not a regular file' if path.exists() else 'no such file'}")
    try:
        open(path, "rb").close()
    except PermissionError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})") from None
    return path


def check_format(content: Any, path: Path) -> dict[str, Any]:
    """`content` if it is of a format this version knows. Raises UsageError naming the file."""
    if not isinstance(content, dict) or not isinstance(content.get("format"), int):
        raise UsageError(f"{path}: not written by fewgan, or damaged (no format number)")
    if content["format"] > FORMAT:
        raise UsageError(f"{path}: written by fewgan {content.get('fewgan', '?')} in a newer format; upgrade fewgan")
    return content


def numbered(folder: Path) -> list[tuple[int, Path]]:
    """(step, file) of the safetensors files of a folder, oldest first. Raises UsageError where it cannot be read."""
    try:
        paths = list(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise UsageError(f"{folder}: cannot be read ({error.strerror})") from None
    return sorted((int(path.stem), path) for path in paths if path.suffix == ".safetensors" and path.stem.isdigit())


def checkpoints(run: Path) -> list[tuple[int, Path]]:
    return numbered(run / "checkpoints")


def kept_generators(run: Path) -> list[tuple[int, Path]]:
    """(step, file) of every generator kept with --keep-generators, oldest first."""
    return numbered(run / "generators")


def append_metrics(run: Path, line: Mapping[str, Any]) -> None:
    path = run / "metrics.jsonl"
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
    with open(descriptor, "a", encoding="utf-8") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise UsageError(f"{path}: not a regular file")
        file.write(json.dumps({"format": FORMAT, **line}) + "\n")


def read_metrics(run: Path) -> list[dict[str, Any]]:
    """Every whole line of metrics.jsonl. Raises UsageError for a newer format."""
    path = run / "metrics.jsonl"
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
    found = []
    for line in lines:
        try:
            content = json.loads(line)
        except (ValueError, RecursionError):  # cut off by a crash
            continue
        if isinstance(content, dict) and isinstance(content.get("step"), int):
            content.pop("format", None) if content.get("format") == FORMAT else check_format(content, path)
            found.append(content)
    return found


def cut_metrics(run: Path, step: int) -> None:
    """Drops the lines after `step`, and the extra line that a run wrote where it ended between two ticks (`last`)."""
    kept = [line for line in read_metrics(run) if line["step"] <= step and not line.get("last")]
    with replacing(run / "metrics.jsonl") as temporary:
        temporary.write_text("".join(json.dumps({"format": FORMAT, **line}) + "\n" for line in kept), encoding="utf-8")
