"""Filling a dataset: photos decoded in order, duplicates left out, the rest written."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from functools import partial

import numpy as np
from numpy.typing import NDArray

from fewgan.photos.comparison import same_photo
from fewgan.photos.decode import WHITE
from fewgan.photos.duplicates import EXACT, NEAR, Print, Seen, fingerprint
from fewgan.photos.found import Found, Photo, Refusal
from fewgan.photos.ranges import Ranges
from fewgan.photos.squares import Square, squares, workers_for
from fewgan.photos.store import Entry, Writer
from fewgan.screen import Screen


def fill(
    writer: Writer, found: Found, screen: Screen, *, limit: int | None, workers: int | None, duplicates: str
) -> None:
    """Decodes photos until all are done or `limit` are kept, and writes the squares that are no duplicates.

    workers: processes, None for what pays. duplicates: near, exact or keep; see `prepare`.
    """
    through = partial(_pass, writer, found, screen, limit=limit, workers=workers, duplicates=duplicates)
    ranges = through(WHITE)
    if ranges.white < WHITE:
        writer.restart()
        through(ranges.white)
    for warning in ranges.warnings():
        screen.warn(warning)


def _pass(
    writer: Writer, found: Found, screen: Screen, white: int, *, limit: int | None, workers: int | None, duplicates: str
) -> Ranges:
    """white: see `decode`. Returns the ranges of the 16-bit pictures."""
    for refusal in found.refused:
        writer.leave_out(refusal)
    order = found.photos if limit is None else _taking_turns(found.photos)
    most = min(limit or len(order), len(order))
    workers = workers or workers_for(order[:most])
    seen, ranges = Seen(), Ranges()
    stream = squares(found, order, writer.size, writer.crop, workers, white=white, aspect=writer.aspect)
    with closing(stream), screen.progress("Preparing", most, "photos") as advance:
        for photo, result in stream:
            if isinstance(result, Square):
                ranges.add(result.span, result.colour)
            square = _unless_repeated(photo, result, seen, writer, duplicates)
            if isinstance(square, Refusal):
                writer.leave_out(square)
                advance(0 if limit else 1, f"{len(writer.rejected)} left out")
                continue
            seen.add(square.print)
            writer.keep(photo.name, photo.group, square.pixels, square.enlarged, square.aspect)
            advance()
            if len(writer.entries) == limit:
                break
    return ranges


def _unless_repeated(
    photo: Photo, result: Square | Refusal, seen: Seen, writer: Writer, duplicates: str
) -> Square | Refusal:
    if isinstance(result, Refusal) or duplicates == "keep":
        return result
    number = seen.exact(result.print)
    if number is not None:
        return Refusal(photo.name, EXACT, f"{EXACT} of {writer.entries[number].name}")
    if duplicates == "exact":
        return result
    pixels = result.pixels.transpose(1, 2, 0)
    if kept := _same(pixels, result.print, seen, writer):
        return Refusal(photo.name, NEAR, f"{NEAR} of {kept.name}")
    # Training flips photos: the mirror image of one that is held out would be trained on.
    flipped = np.ascontiguousarray(pixels[:, ::-1])
    if kept := _same(flipped, fingerprint(flipped), seen, writer, group=photo.group):  # left, right may be the classes
        return Refusal(photo.name, NEAR, f"{NEAR} of {kept.name}, mirrored")
    return result


def _same(
    pixels: NDArray[np.uint8], print: Print, seen: Seen, writer: Writer, *, group: str | None = None
) -> Entry | None:
    """The kept photo that shows the same. pixels: [S, S, 3]. group: of this one alone; None: of any."""
    for number, scale in seen.near(print):
        entry = writer.entries[number]
        if group in (None, entry.group) and same_photo(pixels, writer.pixels(number).transpose(1, 2, 0), scale):
            return entry
    return None


def _taking_turns(photos: list[Photo]) -> list[Photo]:
    """The first of each class, then the second of each, …, so that a limit is shared out; one class: as they are."""
    turns: Counter[str] = Counter()
    order = []
    for photo in photos:
        order.append((turns[photo.group], photo))
        turns[photo.group] += 1
    return [photo for _, photo in sorted(order, key=lambda item: (item[0], item[1].group))]
