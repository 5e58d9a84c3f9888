"""The pictures in a folder, a zip or a tar as one side of a comparison, read as `fewgan prepare` reads photos."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from fewgan import run
from fewgan.errors import UsageError
from fewgan.photos.decode import CROPS, WHITE, Decoded, decode, deep, picture
from fewgan.photos.found import Found, Photo
from fewgan.photos.gather import gather, open_photo
from fewgan.photos.kinds import HEAD, Refused, is_picture, pictured
from fewgan.photos.ranges import Ranges
from fewgan.sampling.imagefile import facts_of
from fewgan.scoring.extract import Pictures, evenly
from fewgan.screen import Screen, command, counted, safe


@dataclass(frozen=True)
class Cut:
    """How squares are made of pictures that are not square, see `photos.decode`. aspect: of "stretch" alone."""

    crop: str = "center"
    aspect: float | None = None

    def like(self, other: Cut) -> bool:
        """Whether squares of the same photos would look the same, but for what medians of shapes differ by."""
        same = math.isclose(self.aspect or 1.0, other.aspect or 1.0, rel_tol=0.01)
        return self.crop == other.crop and (same or self.crop != "stretch")

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Self:
        """That of a run's photos, which its samples have, too."""
        crop, aspect = config.get("crop"), config.get("aspect")
        return cls(str(crop), aspect if isinstance(aspect, float) else None) if crop in CROPS else cls()


@dataclass(frozen=True)
class _Folder:
    """What is the same for all pictures of a folder. white: see `decode`."""

    path: Path
    found: Found
    cut: Cut
    largest: int | None
    white: int = WHITE

    def side(self, size: tuple[int, int]) -> int:
        """Of the square of a picture of this size."""
        side = max(size) if self.cut.crop == "fit" else min(size)
        return min(side, self.largest or side)

    def header(self, photo: Photo) -> tuple[int, bool]:
        """The side of its square, and whether it has more than 8 bits a channel."""
        try:
            with open_photo(self.found.read(photo)) as file, picture(file) as image:
                return self.side(image.size), deep(image)
        except (Refused, OSError) as error:
            raise self.unreadable(photo, error) from None

    def decoded(self, photo: Photo, side: int) -> Decoded:
        try:
            with open_photo(self.found.read(photo)) as file:
                return decode(file, side, self.cut.crop, self.white, self.cut.aspect)
        except (Refused, OSError) as error:
            raise self.unreadable(photo, error) from None

    def pixels(self, photo: Photo, side: int) -> Tensor:
        """uint8 [3, side, side]."""
        return torch.from_numpy(self.decoded(photo, side).pixels).permute(2, 0, 1).contiguous()

    def unreadable(self, photo: Photo, error: Refused | OSError) -> UsageError:
        reason = error.reason if isinstance(error, Refused) else error.strerror or str(error)
        archive = "" if self.path.is_dir() else ", or pack that again"
        return UsageError(
            f"{safe(f'{self.path}/{photo.name}')}: {reason}; take it out of {safe(str(self.path))}{archive}"
        )


def of_folder(
    path: Path,
    stack: ExitStack,
    *,
    screen: Screen,
    cut: Cut | None = None,
    largest: int | None = None,
    count: int | None = None,
) -> Pictures:
    """The pictures in a folder (all levels), a zip or a tar that `stack` keeps open; in name order.

    Each is turned upright, brought to 8-bit sRGB and made a square, as `fewgan prepare` does, and reduced to `largest`
    pixels a side if it has more. cut: None takes the middle square. count: take that many at most, evenly from all.
    Raises UsageError for a folder without pictures, for the sample grids of a run, and for a file that is not the
    picture its name says.
    """
    place = path.resolve()
    if place.name == "samples" and run.is_run(place.parent):
        score = command("fewgan", "fid", str(path.parent))
        raise UsageError(f"{safe(str(path))}: holds grids, not single samples; '{score}' scores the run")
    found = stack.enter_context(gather(path, samples=True))
    photos = [photo for photo in found.photos if pictured(photo.name) or is_picture(_head(found, photo))]
    grids = [photo for photo in photos if _is_grid(found, photo)]
    if grids:
        photos = [photo for photo in photos if photo not in grids]
        screen.note(f"{safe(grids[0].name)} is left out: it shows several samples in one picture")
    if found.own:
        screen.note(f"Skipped, because fewgan wrote it: {safe(found.own[0])}")
    if not photos:
        raise UsageError(f"{safe(str(path))}: no pictures in it")
    if found.refused:
        first = found.refused[0]
        left = counted(len(found.refused), "file")
        screen.warn(f"{safe(str(path))}: {left} left out ({safe(first.name)}: {first.reason})")
    if count is not None:
        photos = [photos[index] for index in evenly(len(photos), count)]
    folder = _Folder(path, found, cut or Cut(), largest)
    headers = list(map(folder.header, photos))
    sides = [side for side, _ in headers]
    if min(sides) < max(sides):
        sizes = f"{safe(str(path))}: its pictures have {min(sides)} to {max(sides)} px"
        screen.warn(f"{sizes}: the scores include the difference in sharpness")
    ranges = _ranges(folder, [photo for photo, (_, wide) in zip(photos, headers, strict=True) if wide])
    for warning in ranges.warnings():
        screen.warn(f"{safe(str(path))}: {warning}")
    ranged = replace(folder, white=ranges.white)

    def read(indices: Sequence[int]) -> list[Tensor]:
        return [ranged.pixels(photos[index], sides[index]) for index in indices]

    return Pictures(place.name, len(photos), max(sides), read)


def _head(found: Found, photo: Photo) -> bytes:
    try:
        with open_photo(found.read(photo)) as file:
            return file.read(HEAD)
    except (Refused, OSError):
        return b""


def _is_grid(found: Found, photo: Photo) -> bool:
    """Whether `fewgan sample` made this file with --grid or --interpolate, to lie beside samples."""
    try:
        source = found.read(photo)
    except (Refused, OSError):  # told where its pixels are asked for
        return False
    facts = facts_of(io.BytesIO(source) if isinstance(source, bytes) else source)
    return facts is not None and "index" not in facts


def _ranges(folder: _Folder, photos: Sequence[Photo]) -> Ranges:
    """The values that pictures of more than 8 bits use, as `fewgan prepare` looks for them."""
    ranges = Ranges()
    for photo in photos:
        decoded = folder.decoded(photo, 8)
        ranges.add(decoded.span, decoded.colour)
    return ranges
