"""Photos → a dataset to train on: decode, leave out what does not serve, write.

One pass: each photo is read once and its square goes straight into images.safetensors; what stays in memory is its
name and half a kilobyte to know it again. The folder is written beside its place under a hidden name, and takes its
place when it is complete.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from fewgan.errors import FewganError, UsageError
from fewgan.photos.decode import CROPS
from fewgan.photos.duplicates import NEAR, Seen, same_detail
from fewgan.photos.gather import Found, Photo, Refusal, gather, missing, pictured, shown, with_groups
from fewgan.photos.squares import Square, squares, workers_for
from fewgan.photos.store import Entry, Writer, replacing
from fewgan.screen import Screen

SIZES = (8, 2048)
FEW = 20


@dataclass(frozen=True)
class Summary:
    """What prepare did. rejected: kind → number; count includes the held_out; enlarged: kept, but smaller than size."""

    out: Path
    count: int
    held_out: int
    rejected: dict[str, int]
    size: int
    classes: tuple[str, ...]
    seconds: float
    enlarged: int = 0


def prepare(
    photos: Path,
    out: Path = Path("dataset"),
    *,
    size: int = 128,
    crop: str = "center",
    classes: bool = False,
    limit: int | None = None,
    holdout: int = 0,
    seed: int = 0,
    workers: int | None = None,
    strict: bool = False,
    force: bool = False,
    screen: Screen,
) -> Summary:
    """Writes the dataset `out` of the photos in a folder, a zip or a tar.

    size: side in pixels. crop: "center" or "fit", see `photos.decode`. classes: the first level of folders
    names each photo's class. limit: the first so many usable photos in name order, held-out ones included; with
    classes, the classes take turns. holdout: so many photos, drawn by seed and spread over the classes, are marked as
    never trained on. workers: processes, None for as many as pay off; the result is the same. strict: fail rather
    than leave a photo out. force: replace a dataset that is at `out`.

    Photos are left out, with their reason in rejected.jsonl, where they are unreadable, truncated, smaller than half
    of `size`, a duplicate or near duplicate of one before, links, or not files. Files that are no pictures by name
    and content do not count against `strict`. The photos themselves are never written to.

    Raises UsageError for a request that cannot be served, FewganError where strict finds something to leave out, a
    worker dies or the disk fails.
    """
    started = time.monotonic()
    photos, out = Path(photos), Path(out)
    _check_options(photos, size, crop)
    _check_numbers(limit=(limit, 1), holdout=(holdout, 0), seed=(seed, 0), workers=(workers, 1))
    try:
        if os.path.isfile(photos):
            screen.note(f"Reading {shown(str(photos))}")
        with (
            replacing(out, photos, force) as folder,
            gather(photos, grouped=classes, skip=out, spool=folder) as found,
            Writer(folder, size, crop, seed) as writer,
        ):
            _check_found(found, photos, classes, min(len(found.photos), limit or len(found.photos)), holdout)
            if not classes:
                _tell_of_folders(found, photos, screen)
            _fill(writer, found, limit, workers, screen)
            _check_kept(writer, found, photos, strict, screen)
            names = tuple(sorted({entry.group for entry in writer.entries})) if classes else ()
            _hold_out(writer.entries, holdout, seed)
            writer.finish(names)
    except OSError as error:
        raise FewganError(f"{shown(str(error.filename or out))}: {error.strerror or error}") from None
    return Summary(
        out=out,
        count=len(writer.entries),
        held_out=holdout,
        rejected=_counted(writer.rejected),
        size=size,
        classes=names,
        seconds=time.monotonic() - started,
        enlarged=writer.enlarged,
    )


def _check_options(photos: Path, size: int, crop: str) -> None:
    if not os.path.exists(photos):
        raise missing(photos)
    if not SIZES[0] <= size <= SIZES[1]:
        raise UsageError(f"--size {size}: give {SIZES[0]} to {SIZES[1]} pixels")
    if crop not in CROPS:
        raise UsageError(f"--crop {crop}: give one of {', '.join(CROPS)}")


def _check_numbers(**options: tuple[int | None, int]) -> None:
    for name, (value, least) in options.items():
        if value is not None and value < least:
            raise UsageError(f"--{name} {value}: give {least} or more")


def _check_found(found: Found, photos: Path, classes: bool, most: int, holdout: int) -> None:
    """What can be refused before any photo is read. most: how many can be kept."""
    where = shown(str(photos))
    if not found.photos and not any(pictured(refusal.name) for refusal in found.refused):
        raise UsageError(f"No pictures in {where}: give a folder of photos, a zip or a tar")
    if not found.photos and classes:
        raise UsageError(f"--classes: {where} has no folders with photos in them; leave --classes out")
    if holdout and holdout >= most:
        raise UsageError(
            f"--holdout {holdout}: {most} photos can be taken from {where}, and some must be left to train"
        )


def _tell_of_folders(found: Found, photos: Path, screen: Screen) -> None:
    groups = sorted({photo.group for photo in with_groups(found).photos if pictured(photo.name)})
    if len(groups) > 1:
        names = ", ".join(map(shown, groups[:3])) + (", …" if len(groups) > 3 else "")
        screen.note(
            f"{shown(str(photos))}: {len(groups)} folders ({names}) taken as one set; --classes tells them apart"
        )


def _fill(writer: Writer, found: Found, limit: int | None, workers: int | None, screen: Screen) -> None:
    """Decodes photos until all are done or `limit` are kept, and writes the squares that are no duplicates."""
    for refusal in found.refused:
        writer.leave_out(refusal)
    order = found.photos if limit is None else _taking_turns(found.photos)
    most = len(order) if limit is None else min(limit, len(order))
    seen = Seen()
    stream = squares(found, order, writer.size, writer.crop, workers or workers_for(order[:most]))
    with closing(stream), screen.progress("Preparing", most, "photos") as advance:
        for photo, result in stream:
            square = _unless_repeated(photo, result, seen, writer)
            if isinstance(square, Refusal):
                writer.leave_out(square)
                advance(0 if limit else 1, f"{len(writer.rejected)} left out")
                continue
            seen.add(square.print)
            writer.keep(photo.name, photo.group, square.pixels, square.enlarged)
            advance()
            if len(writer.entries) == limit:
                break


def _unless_repeated(photo: Photo, result: Square | Refusal, seen: Seen, writer: Writer) -> Square | Refusal:
    same = seen.find(result.print) if isinstance(result, Square) else None
    if same is None or isinstance(result, Refusal):
        return result
    kind, number = same
    if kind == NEAR and not same_detail(result.pixels.transpose(1, 2, 0), writer.pixels(number).transpose(1, 2, 0)):
        return result
    return Refusal(photo.name, kind, f"{kind} of {writer.entries[number].name}")


def _taking_turns(photos: list[Photo]) -> list[Photo]:
    """The first of each class, then the second of each, …, so that a limit is shared out; one class: as they are."""
    turns: Counter[str] = Counter()
    order = []
    for photo in photos:
        order.append((turns[photo.group], photo))
        turns[photo.group] += 1
    return [photo for _, photo in sorted(order, key=lambda item: (item[0], item[1].group))]


def _check_kept(writer: Writer, found: Found, photos: Path, strict: bool, screen: Screen) -> None:
    """What there is to say once every photo was read."""
    where = shown(str(photos))
    faults = [refusal for refusal in writer.rejected if refusal.kind != "not a picture"]
    if not writer.entries:
        counts = ", ".join(f"{count} {kind}" for kind, count in _counted(writer.rejected).items())
        raise UsageError(f"No usable photo in {where}: {counts}. {_told(writer.rejected, 1)}")
    if strict and faults:
        raise FewganError(f"--strict: {len(faults)} of the files in {where} cannot be used. {_told(faults, 5)}")
    if writer.enlarged:
        screen.note(f"{writer.enlarged} photos have fewer than {writer.size} pixels a side and were enlarged")
    empty = {photo.group for photo in found.photos if pictured(photo.name)} - {entry.group for entry in writer.entries}
    if empty:
        screen.warn(f"no photo was taken from these classes: {', '.join(shown(name) for name in sorted(empty))}")
    if len(writer.entries) < FEW:
        screen.warn(f"{len(writer.entries)} photos are very few to learn from: 100 is a good start")


def _counted(rejected: Iterable[Refusal]) -> dict[str, int]:
    return dict(Counter(refusal.kind for refusal in rejected).most_common())


def _told(refusals: Sequence[Refusal], most: int) -> str:
    told = "; ".join(f"{shown(refusal.name)}: {shown(refusal.reason)}" for refusal in refusals[:most])
    return told + (f"; and {len(refusals) - most} more" if len(refusals) > most else "")


def _hold_out(entries: list[Entry], holdout: int, seed: int) -> None:
    """Marks `holdout` entries, each class in proportion, at least one of each left to train.

    Which ones depends on seed and name alone, so that the marks hardly move when photos are added.
    """
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(entry.group, []).append(entry)
    most = len(entries) - len(groups)
    if holdout > most:
        raise UsageError(f"--holdout {holdout}: at most {most} of {len(entries)} photos, so that every class can train")
    fair = {name: holdout * len(group) / len(entries) for name, group in groups.items()}
    shares = {name: min(int(fair[name]), len(group) - 1) for name, group in groups.items()}
    while sum(shares.values()) < holdout:
        open_groups = [name for name, group in groups.items() if shares[name] < len(group) - 1]
        shares[max(open_groups, key=lambda name: (fair[name] - shares[name], name))] += 1
    for name, group in groups.items():
        for entry in sorted(group, key=lambda entry: _draw(seed, entry.name))[: shares[name]]:
            entry.held_out = True


def _draw(seed: int, name: str) -> bytes:
    return blake2b(f"{seed}/{name}".encode(errors="surrogatepass"), digest_size=16).digest()
