"""Writing a dataset's folder: pixels streamed, everything synced, the finished folder put in its place at once."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fewgan.errors import UsageError
from fewgan.photos.gather import Refusal, shown
from fewgan.run import sync_folder

FORMAT = 1
FACTS, IMAGES, PREVIEW, REJECTED = "dataset.json", "images.safetensors", "preview.png", "rejected.jsonl"

# The safetensors header names the number of photos, which is known at the end: room is left for it, and JSON allows
# the padding. A multiple of 8, so that the pixels lie aligned.
_HEADER = 512


@dataclass
class Entry:
    """A photo that was kept. group: its class's name, "" without classes."""

    name: str
    group: str
    held_out: bool = False


class Writer:
    """Writes the four files of a dataset into `folder`, the pixels as they come. A context manager: it closes them."""

    def __init__(self, folder: Path, size: int, crop: str, seed: int) -> None:
        self.folder, self.size, self.crop, self.seed = folder, size, crop, seed
        self.entries: list[Entry] = []
        self.rejected: list[Refusal] = []
        self.enlarged = 0
        self._hash = blake2b(digest_size=16)
        self._images = (folder / IMAGES).open("w+b")
        self._images.write(bytes(_HEADER))

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._images.close()

    def keep(self, name: str, group: str, pixels: NDArray[np.uint8], enlarged: bool) -> None:
        """pixels: uint8 [3, S, S]."""
        data = pixels.tobytes()
        self._images.write(data)
        self._hash.update(data)
        self.entries.append(Entry(name, group))
        self.enlarged += enlarged

    def pixels(self, number: int) -> NDArray[np.uint8]:
        """uint8 [3, S, S] of a photo that was kept, read again."""
        length = 3 * self.size**2
        self._images.flush()
        data = os.pread(self._images.fileno(), length, _HEADER + number * length)
        return np.frombuffer(data, np.uint8).reshape(3, self.size, self.size)

    def leave_out(self, refusal: Refusal) -> None:
        self.rejected.append(refusal)

    def finish(self, classes: Sequence[str]) -> None:
        """Writes what is known at the end. classes: sorted names; empty: every label is 0."""
        count, size = len(self.entries), self.size
        numbers = {name: number for number, name in enumerate(classes)}
        images = [
            {"name": entry.name, "label": numbers.get(entry.group, 0), "held_out": entry.held_out}
            for entry in self.entries
        ]
        # The pixels, then shape, labels and marks: what a training run depends on.
        self._hash.update(json.dumps([count, size, [[i["label"], i["held_out"]] for i in images]]).encode())
        facts = {
            "format": FORMAT,
            "fewgan": version("fewgan"),
            "count": count,
            "size": size,
            "crop": self.crop,
            "seed": self.seed,
            "classes": list(classes),
            "fingerprint": self._hash.hexdigest(),
        }
        self._images.flush()
        preview = _preview(self._images, count, size)
        self._images.seek(0)
        self._images.write(_header(count, size, self._hash.hexdigest()))
        self._images.flush()
        os.fsync(self._images.fileno())
        head = json.dumps(facts, indent=2).removesuffix("\n}")
        rows = ",\n".join("    " + json.dumps(image) for image in images)
        _write(self.folder / FACTS, f'{head},\n  "images": [\n{rows}\n  ]\n}}\n')
        left_out = [json.dumps({"format": FORMAT, **refusal.__dict__}) + "\n" for refusal in self.rejected]
        _write(self.folder / REJECTED, "".join(left_out))
        with (self.folder / PREVIEW).open("wb") as file:
            preview.save(file, "PNG")
            file.flush()
            os.fsync(file.fileno())


def _header(count: int, size: int, fingerprint: str) -> bytes:
    images = {"dtype": "U8", "shape": [count, 3, size, size], "data_offsets": [0, count * 3 * size * size]}
    facts = {"format": str(FORMAT), "fingerprint": fingerprint}
    text = json.dumps({"__metadata__": facts, "images": images}).encode()
    return (_HEADER - 8).to_bytes(8, "little") + text.ljust(_HEADER - 8)


def _preview(file: Any, count: int, size: int, columns: int = 8, gap: int = 2) -> Image.Image:
    """Up to 64 photos spread evenly over the dataset, each at most 128 pixels, on white."""
    shown = np.linspace(0, count - 1, min(count, columns * columns)).round().astype(int)
    columns, side = min(columns, len(shown)), min(size, 128)
    rows = -(-len(shown) // columns)
    grid = Image.new("RGB", (columns * (side + gap) + gap, rows * (side + gap) + gap), "white")
    for place, number in enumerate(shown.tolist()):
        file.seek(_HEADER + number * 3 * size * size)
        pixels = np.frombuffer(file.read(3 * size * size), np.uint8).reshape(3, size, size)
        photo = Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))
        if side < size:
            photo = photo.resize((side, side), Image.Resampling.LANCZOS)
        grid.paste(photo, (gap + place % columns * (side + gap), gap + place // columns * (side + gap)))
    return grid


def _write(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


# The folder's place ---------------------------------------------------------------------------------------------------


@contextmanager
def replacing(out: Path, photos: Path, force: bool) -> Iterator[Path]:
    """A new folder beside `out`, under a hidden name, which becomes `out` when the block ends well, else vanishes.

    Raises UsageError where `out` exists (with force: where it is no dataset or holds anything else), or holds the
    photos.
    """
    place = Path(os.path.realpath(out))
    _check_place(out, place, Path(os.path.realpath(photos)), force)
    token = secrets.token_hex(4)
    partial, aside = (place.parent / f".fewgan-{token}.{word}" for word in ("partial", "replaced"))
    missing = [folder for folder in place.parents if not folder.exists()]
    try:
        try:
            partial.mkdir(parents=True)
        except (FileExistsError, NotADirectoryError):
            raise UsageError(f"--out {shown(str(out))}: a file is in the way of a folder; give another --out") from None
        yield partial
        if os.path.lexists(place):
            os.rename(place, aside)
        try:
            os.rename(partial, place)
        except BaseException:
            if aside.exists():
                os.rename(aside, place)
            raise
        for folder in (place, place.parent):
            sync_folder(folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        with suppress(OSError):
            for folder in missing:
                folder.rmdir()
        raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _check_place(out: Path, place: Path, photos: Path, force: bool) -> None:
    name = shown(str(out))
    if photos == place or place in photos.parents:
        raise UsageError(f"--out {name} is where the photos are: give another --out")
    if not os.path.lexists(place):
        return
    if not force:
        raise UsageError(f"{name} exists: give another --out, or --force to replace it")
    if not place.is_dir():
        raise UsageError(f"{name} is a file: --force replaces datasets only; give another --out")
    there = set(os.listdir(place))
    if there and FACTS not in there:
        raise UsageError(f"{name} is not a dataset: --force replaces nothing else; give another --out")
    if others := sorted(there - {FACTS, IMAGES, PREVIEW, REJECTED}):
        raise UsageError(
            f"{name} also holds {shown(others[0])}, which --force would delete: move it, or give another --out"
        )
