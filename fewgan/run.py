"""A run folder: its name, its files, and how they are written so that a crash never leaves half of one.

config.json                    everything needed to build the networks again
metrics.jsonl                  a line each tick
real.png, samples/000500.png   photos; pictures from fixed latents
checkpoints/000500.safetensors networks, averages, optimizers, plugins; the newest two
generator.safetensors          the averaged generator and mapper: one file is enough to sample anywhere
generators/000500.safetensors  the same, one a save, with --keep-generators
.lock                          held while the run is being trained

Each carries the number of its format: files that a later fewgan wrote in another one are refused.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fewgan.errors import FewganError, UsageError

try:
    import fcntl
except ImportError:  # Windows: runs are not locked there
    fcntl = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from torch import Tensor

FORMAT = 1
GENERATOR = "generator.safetensors"
_NAME = re.compile(r"(\d{5,})-")


class Damaged(UsageError):
    """A file of fewgan's that is cut short, overwritten or otherwise not what was written."""


def create(runs: Path, name: str) -> Path:
    """A new folder `NNNNN-<name>` under `runs`, numbered after the highest; safe when two start at once."""
    runs.mkdir(parents=True, exist_ok=True)
    name = re.sub(r"[^\w.+-]", "_", name)[:120]
    while True:
        number = 1 + max((int(match[1]) for match in map(_NAME.match, os.listdir(runs)) if match), default=0)
        folder = runs / f"{number:05d}-{name}"
        try:
            # The number alone is claimed first: two names with one number would both be "the latest".
            claim = runs / f".{number:05d}.claim"
            os.close(os.open(claim, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            if _age(claim) > 60:  # left behind by a start that was killed
                claim.unlink(missing_ok=True)
            continue
        try:
            if any(match and int(match[1]) == number for match in map(_NAME.match, os.listdir(runs))):
                continue
            folder.mkdir()
            return folder
        finally:
            claim.unlink(missing_ok=True)


def _age(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


@contextmanager
def locked(run: Path) -> Iterator[None]:
    """Keeps every other process from training the run. The system ends the lock with the process that holds it.

    Clears away what a killed process was just writing. Raises UsageError where another one trains the run.
    """
    with open(run / ".lock", "w", encoding="utf-8") as file:
        try:
            if fcntl is not None:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(f"{run}: is being trained by another process; wait for it, or stop it first") from None
        except OSError:  # a network disk without locks
            pass
        for folder in (run, *(path for path in run.iterdir() if path.is_dir())):
            for left in folder.glob(".*.tmp"):
                left.unlink(missing_ok=True)
        yield


def check_space(folder: Path, needed: int) -> None:
    """Raises FewganError where the disk of a folder, which need not be there yet, has fewer bytes left than needed."""
    place = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())
    free = shutil.disk_usage(place).free
    if free < needed:
        raise FewganError(
            f"{folder}: {_size(needed)} are needed there, and {_size(free)} are free; make room, or name another place"
        )


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{max(count / 1e6, 0.1):.1f} MB"


def latest(runs: Path = Path("runs"), *, wanted: str = GENERATOR) -> Path:
    """The run with the highest number that has `wanted` in it. Raises UsageError where there is none."""
    found = []
    if runs.is_dir():
        for folder in runs.iterdir():
            match = _NAME.match(folder.name)
            if match and (folder / wanted).exists():
                found.append((int(match[1]), folder))
    if not found:
        raise UsageError(f"{runs}: no trained run here; run 'fewgan train' first, or name a run folder")
    return max(found)[1]


def read_config(run: Path) -> dict[str, Any]:
    """config.json of a run, its format checked."""
    path = run / "config.json"
    if path.exists():
        regular(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"{run}: not a fewgan run (no config.json)") from None
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{path}: cannot be read ({error}); the file is damaged") from None
    return check_format(content, path)


def regular(path: Path) -> Path:
    """The path, unless it is a folder, a pipe or a device, which may never come to an end: UsageError."""
    if not path.is_file():
        raise UsageError(f"{path}: is no file")
    return path


def check_format(content: Any, path: Path) -> dict[str, Any]:
    """`content` if it is of a format this version knows. Raises UsageError naming the file."""
    if not isinstance(content, dict) or not isinstance(content.get("format"), int):
        raise UsageError(f"{path}: not written by fewgan, or damaged (no format number)")
    if content["format"] > FORMAT:
        raise UsageError(f"{path}: written by fewgan {content.get('fewgan', '?')} in a newer format; upgrade fewgan")
    return content


def numbered(folder: Path) -> list[tuple[int, Path]]:
    """(step, file) of the safetensors files of a folder, oldest first."""
    if not folder.is_dir():
        return []
    return sorted((int(path.stem), path) for path in folder.glob("*.safetensors") if path.stem.isdigit())


def checkpoints(run: Path) -> list[tuple[int, Path]]:
    return numbered(run / "checkpoints")


def kept_generators(run: Path) -> list[tuple[int, Path]]:
    """(step, file) of every generator kept with --keep-generators, oldest first."""
    return numbered(run / "generators")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a temporary path in the same folder; on success it is synced and takes the place of `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())  # safetensors makes files that the owner alone can read
        os.replace(temporary, path)
        sync_folder(path.parent)
    except OSError as error:
        raise FewganError(
            f"{path}: could not be written ({error.strerror or error}); what was there before is kept. Its disk has "
            f"{_size(shutil.disk_usage(path.parent).free)} left"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def sync_folder(folder: Path) -> None:
    if os.name == "nt":  # folders cannot be opened there
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def write_tensors(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """A safetensors file with `facts` as JSON in its metadata, under the key `fewgan`, and a checksum of each part."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    flat = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    described = {"format": FORMAT, **facts}
    # Within the one text, because safetensors writes several in any order, and the same run shall give the same bytes.
    text = json.dumps({**described, "crc32": _checksums(described, flat)})
    with replacing(path) as temporary:
        try:
            save_file(flat, temporary, metadata={"fewgan": text})
        except SafetensorError as error:
            needed = _size(sum(tensor.nbytes for tensor in flat.values()))
            raise OSError(0, f"{needed} needed; {error}") from error


def _checksums(facts: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> dict[str, int]:
    """By tensor, and of the facts under the empty name."""
    import torch

    parts = {name: tensor.reshape(-1).view(torch.uint8).numpy().data for name, tensor in tensors.items()}
    return {"": zlib.crc32(json.dumps(facts).encode())} | {name: zlib.crc32(part) for name, part in parts.items()}


def read_tensors(path: Path, prefix: str = "") -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors whose names start with `prefix`, without it, and the facts.

    Raises UsageError naming the file, Damaged where it is not what was written.
    """
    from safetensors import SafetensorError, safe_open

    regular(path)
    try:
        with safe_open(path, framework="pt") as file:
            facts = check_format(json.loads((file.metadata() or {}).get("fewgan", "null")), path)
            tensors = {name: file.get_tensor(name) for name in file.keys() if name.startswith(prefix)}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, RecursionError) as error:
        raise Damaged(f"{path}: cannot be read ({error}); the file is damaged or no safetensors file") from None
    sums = facts.pop("crc32", {})
    for name, value in _checksums(facts, tensors).items():
        if not isinstance(sums, dict) or sums.get(name, value) != value:
            raise Damaged(f"{path}: the file is damaged: {name or 'its description'} is not what was written")
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}, facts


def part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names start with `prefix`, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def append_metrics(run: Path, line: Mapping[str, Any]) -> None:
    with open(run / "metrics.jsonl", "a", encoding="utf-8") as file:
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
    """Drops the lines after `step`, which did not happen, and that of an end between two ticks, which is no more."""
    kept = [line for line in read_metrics(run) if line["step"] <= step and not line.get("last")]
    with replacing(run / "metrics.jsonl") as temporary:
        temporary.write_text("".join(json.dumps({"format": FORMAT, **line}) + "\n" for line in kept), encoding="utf-8")
