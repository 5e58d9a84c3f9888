"""The four files of a dataset, written into its folder: pixels as they come, everything else at the end."""

from __future__ import annotations

import errno
import json
import os
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fewgan.photos.found import Refusal
from fewgan.photos.place import FACTS, IMAGES, PREVIEW, REJECTED
from fewgan.signatures import sheet

FORMAT = 1

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

    def __init__(self, folder: Path, size: int, crop: str, seed: int, aspect: float | None = None) -> None:
        self.folder, self.size, self.crop, self.seed, self.aspect = folder, size, crop, seed, aspect
        self._images = (folder / IMAGES).open("w+b")
        self.restart()

    def restart(self) -> None:
        """Forgets every photo."""
        self.entries: list[Entry] = []
        self.rejected: list[Refusal] = []
        self.enlarged = 0
        self._aspects: list[float] = []
        self._hash = blake2b(digest_size=16)
        self._images.seek(0)
        self._images.truncate()
        self._images.write(bytes(_HEADER))

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._images.close()

    def keep(self, name: str, group: str, pixels: NDArray[np.uint8], enlarged: bool, aspect: float = 1.0) -> None:
        """pixels: uint8 [3, S, S]. aspect: width by height of the photo."""
        data = pixels.tobytes()
        self._images.write(data)
        self._hash.update(data)
        self.entries.append(Entry(name, group))
        self.enlarged += enlarged
        self._aspects.append(aspect)

    def pixels(self, number: int) -> NDArray[np.uint8]:
        """uint8 [3, S, S] of a photo that was kept, read again."""
        length = 3 * self.size**2
        self._images.seek(_HEADER + number * length)
        data = self._images.read(length)
        self._images.seek(0, os.SEEK_END)
        return np.frombuffer(data, np.uint8).reshape(3, self.size, self.size)

    def leave_out(self, refusal: Refusal) -> None:
        self.rejected.append(refusal)

    def _shape(self) -> float:
        """Width by height of the pictures that the squares stand for: padded or stretched ones are not square.

        Of padded ones, that of the part which is padding in all but a few of them.
        """
        if self.crop == "center":
            return 1.0
        if self.crop == "fit":
            few = len(self._aspects) // 20
            width, height = (
                sorted(min(ratio, 1.0) for ratio in ratios)[-1 - few]
                for ratios in (self._aspects, [1 / aspect for aspect in self._aspects])
            )
            return round(width / height, 4)
        return round(self.aspect or statistics.median(self._aspects), 4)

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
        aspect = self._shape()
        facts = {
            "format": FORMAT,
            "fewgan": version("fewgan"),
            "count": count,
            "size": size,
            "crop": self.crop,
            "aspect": aspect,
            "seed": self.seed,
            "classes": list(classes),
            "fingerprint": self._hash.hexdigest(),
        }
        self._images.flush()
        preview = _preview(self._images, count, size, self.crop, aspect)
        self._images.seek(0)
        self._images.write(_header(count, size, self._hash.hexdigest()))
        _sync(self._images)
        head = json.dumps(facts, indent=2).removesuffix("\n}")
        rows = ",\n".join("    " + json.dumps(image) for image in images)
        _write(self.folder / FACTS, f'{head},\n  "images": [\n{rows}\n  ]\n}}\n')
        left_out = [json.dumps({"format": FORMAT, **refusal.__dict__}) + "\n" for refusal in self.rejected]
        _write(self.folder / REJECTED, "".join(left_out))
        with (self.folder / PREVIEW).open("wb") as file:
            preview.save(file, "PNG", pnginfo=sheet())
            _sync(file)


def _header(count: int, size: int, fingerprint: str) -> bytes:
    images = {"dtype": "U8", "shape": [count, 3, size, size], "data_offsets": [0, count * 3 * size * size]}
    facts = {"format": str(FORMAT), "fingerprint": fingerprint}
    text = json.dumps({"__metadata__": facts, "images": images}).encode()
    return (_HEADER - 8).to_bytes(8, "little") + text.ljust(_HEADER - 8)


def _preview(file: Any, count: int, size: int, crop: str, aspect: float) -> Image.Image:
    """Up to 64 photos spread evenly over the dataset, each at most 128 pixels high, in their own shape, on white."""
    columns, gap = 8, 2
    shown = np.linspace(0, count - 1, min(count, columns * columns)).round().astype(int)
    columns, side = min(columns, len(shown)), min(size, 128)
    width, height = (side, side) if crop == "center" else (max(1, round(side * min(aspect, 1))), side)
    if crop != "center" and aspect > 1:
        width, height = side, max(1, round(side / aspect))
    rows = -(-len(shown) // columns)
    grid = Image.new("RGB", (columns * (width + gap) + gap, rows * (height + gap) + gap), "white")
    for place, number in enumerate(shown.tolist()):
        file.seek(_HEADER + number * 3 * size * size)
        pixels = np.frombuffer(file.read(3 * size * size), np.uint8).reshape(3, size, size)
        photo = Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))
        if crop == "fit":  # the padding is no picture
            left, top = size * (1 - width / side) / 2, size * (1 - height / side) / 2
            photo = photo.crop((round(left), round(top), size - round(left), size - round(top)))
        if photo.size != (width, height):
            photo = photo.resize((width, height), Image.Resampling.LANCZOS)
        grid.paste(photo, (gap + place % columns * (width + gap), gap + place // columns * (height + gap)))
    return grid


def _write(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write(text)
        _sync(file)


def _sync(file: IO[Any]) -> None:
    """Has a file survive a power cut, on disks that can do that."""
    file.flush()
    try:
        os.fsync(file.fileno())
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS):
            raise
