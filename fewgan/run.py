"""A run folder: its name, its files, and how they are written so that a crash never leaves half of one.

config.json                    everything needed to build the networks again
metrics.jsonl                  a line each tick
real.png, samples/000500.png   photos; pictures from fixed latents
checkpoints/000500.safetensors networks, averages, optimizers, plugins; the newest two
generator.safetensors          the averaged generator and mapper: one file is enough to sample anywhere
generators/000500.safetensors  the same, one a save, with --keep-generators
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fewgan.plugin import FewganError, UsageError

if TYPE_CHECKING:
    from torch import Tensor

FORMAT = 1
GENERATOR = "generator.safetensors"
_NAME = re.compile(r"(\d{5,})-")


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
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"{run}: not a fewgan run (no config.json)") from None
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: cannot be read ({error}); the file is damaged") from None
    return check_format(content, path)


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
            f"{path}: could not be written ({error.strerror or error}); what was there before is kept"
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
    """A safetensors file with `facts` as JSON in its metadata, under the key `fewgan`."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    flat = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with replacing(path) as temporary:
        try:
            save_file(flat, temporary, metadata={"fewgan": json.dumps({"format": FORMAT, **facts})})
        except SafetensorError as error:
            raise OSError(0, str(error)) from error


def read_tensors(path: Path, prefix: str = "") -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors whose names start with `prefix`, without it, and the facts. Raises UsageError naming the file."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {}).get("fewgan", "null"))
            names = [name for name in file.keys() if name.startswith(prefix)]  # noqa: SIM118 (not a mapping)
            return {name.removeprefix(prefix): file.get_tensor(name) for name in names}, check_format(facts, path)
    except (SafetensorError, OSError, ValueError) as error:
        raise UsageError(f"{path}: cannot be read ({error}); the file is damaged or no safetensors file") from None


def part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names start with `prefix`, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def append_metrics(run: Path, line: Mapping[str, Any]) -> None:
    with open(run / "metrics.jsonl", "a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def read_metrics(run: Path) -> list[dict[str, Any]]:
    """Every whole line of metrics.jsonl."""
    path = run / "metrics.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    found = []
    for line in lines:
        try:
            found.append(json.loads(line))
        except ValueError:  # cut off by a crash
            continue
    return found


def cut_metrics(run: Path, step: int) -> None:
    """Drops the lines after `step`, which did not happen, and that of an end between two ticks, which is no more."""
    kept = [line for line in read_metrics(run) if line["step"] <= step and not line.get("last")]
    with replacing(run / "metrics.jsonl") as temporary:
        temporary.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")
