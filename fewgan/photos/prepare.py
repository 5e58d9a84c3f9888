"""Photos → a dataset to train on: decode, leave out what does not serve, write.

One pass: each photo is read once and its square goes straight into images.safetensors; what stays in memory is its
name and a third of a kilobyte to know it again. (A second pass where 16-bit files turn out to use a small part of their
range.) The folder is written beside its place under a hidden name, and takes its place when it is complete.
"""

from __future__ import annotations

import os
import statistics
import time
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from fewgan.errors import FewganError, UsageError
from fewgan.photos.decode import CROPS, aspect_of
from fewgan.photos.duplicates import DUPLICATES, EXACT, NEAR
from fewgan.photos.fill import fill
from fewgan.photos.found import Found, Refusal, nothing
from fewgan.photos.gather import gather, missing, open_photo, with_groups
from fewgan.photos.kinds import Refused, is_fault, pictured
from fewgan.photos.place import new_folder
from fewgan.photos.store import Entry, Writer
from fewgan.screen import Screen, counted, safe

SIZES = (8, 2048)
FEW = 20
WIDEST = 8
MANY_DUPLICATES = 0.05
# What a user can do something about.
_TOLD = ("link", "archive", "video", "Git LFS pointer", "unsupported", "blank", "in no class")
_NOUNS = ("link", "archive", "video", "Git LFS pointer")


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
    aspect: float | None = None,
    classes: bool = False,
    limit: int | None = None,
    holdout: int = 0,
    seed: int = 0,
    duplicates: str = "near",
    workers: int | None = None,
    strict: bool = False,
    force: bool = False,
    screen: Screen,
) -> Summary:
    """Writes the dataset `out` of the photos in a folder, a zip or a tar.

    size: side in pixels. crop: "center", "fit" or "stretch", see `photos.decode`. aspect: of "stretch", width by height
    that photos are cut to before they are squeezed; None: the median of the photos. classes: the first level of folders
    names each photo's class. limit: the first so many usable photos in name order, held-out ones included; with
    classes, the classes take turns. holdout: so many photos, drawn by seed and spread over the classes, are marked as
    never trained on. duplicates: "near" leaves out what shows the same photo as one before, or its mirror image,
    "exact" what has the same pixels, "keep" nothing. workers: processes, None for as many as pay off; the result is the
    same. strict: fail rather than leave a photo out. force: replace a dataset that is at `out`.

    Photos are left out, with their reason in rejected.jsonl, where they are unreadable, truncated, smaller than half
    of `size`, of one colour only, a duplicate or near duplicate of one before, links, or not files. Files that are no
    pictures by name and content do not count against `strict`. Datasets, runs and pictures of fewgan are passed over.
    The photos themselves are never written to.

    Raises UsageError for a request that cannot be served, FewganError where strict finds something to leave out, a
    worker dies or the disk fails.
    """
    started = time.monotonic()
    photos, out = Path(photos), Path(out)
    _check_options(photos, size, crop, aspect, duplicates)
    _check_numbers(limit=(limit, 1), holdout=(holdout, 0), seed=(seed, 0), workers=(workers, 1))
    try:
        if os.path.isfile(photos):
            screen.note(f"Reading {safe(str(photos))}")
        with (
            new_folder(out, photos, force) as folder,
            gather(photos, grouped=classes, skip=out, spool=folder) as found,
            Writer(folder, size, crop, seed, aspect) as writer,
        ):
            _check_found(found, photos, classes, min(len(found.photos), limit or len(found.photos)), holdout)
            if found.own:
                screen.note(f"Skipped, because fewgan wrote it: {_listed(found.own)}")
            if classes:
                _tell_of_empty(found, photos, screen)
            else:
                _tell_of_folders(found, photos, screen)
            if crop == "stretch" and aspect is None:
                writer.aspect = _median_aspect(found)
            fill(writer, found, screen, limit=limit, workers=workers, duplicates=duplicates)
            _tell_left_out(writer, screen)
            _check_kept(writer, found, photos, screen, strict=strict, limit=limit)
            names = tuple(sorted({entry.group for entry in writer.entries})) if classes else ()
            _hold_out(writer.entries, holdout, seed, wrapped=os.path.isfile(photos) and _wrapped(found))
            writer.finish(names)
    except OSError as error:
        raise FewganError(f"{safe(str(error.filename or out))}: {error.strerror or error}") from None
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


def _check_options(photos: Path, size: int, crop: str, aspect: float | None, duplicates: str) -> None:
    if not os.path.exists(photos):
        raise missing(photos)
    if not SIZES[0] <= size <= SIZES[1]:
        raise UsageError(f"--size {size}: give {SIZES[0]} to {SIZES[1]} pixels")
    if crop not in CROPS:
        raise UsageError(f"--crop {crop}: give one of {', '.join(CROPS)}")
    if aspect is not None and crop != "stretch":
        raise UsageError("--aspect goes with --crop stretch")
    if aspect is not None and not 1 / WIDEST <= aspect <= WIDEST:
        raise UsageError(f"--aspect: give a width by height from 1:{WIDEST} to {WIDEST}:1, such as 3:2")
    if duplicates not in DUPLICATES:
        raise UsageError(f"--duplicates {duplicates}: give one of {', '.join(DUPLICATES)}")


def _check_numbers(**options: tuple[int | None, int]) -> None:
    for name, (value, least) in options.items():
        if value is not None and value < least:
            raise UsageError(f"--{name} {value}: give {least} or more")


def _check_found(found: Found, photos: Path, classes: bool, most: int, holdout: int) -> None:
    """What can be refused before any photo is read. most: how many can be kept."""
    where = safe(str(photos))
    if not found.photos and not any(pictured(refusal.name) for refusal in found.refused):
        raise nothing(found, where)
    if not found.photos and classes:
        raise UsageError(f"--classes: {where} has no folders with photos in them; leave --classes out")
    if holdout and holdout >= most:
        has = counted(most, "photo")
        raise UsageError(f"--holdout {holdout}: {where} has {has} to take, and at least one must remain for training")


def _tell_of_folders(found: Found, photos: Path, screen: Screen) -> None:
    groups = sorted({photo.group for photo in with_groups(found).photos if pictured(photo.name)})
    if len(groups) > 1:
        screen.note(
            f"{safe(str(photos))}: {len(groups)} folders ({_listed(groups)}) are taken as one set; --classes makes "
            "each a class"
        )


def _tell_of_empty(found: Found, photos: Path, screen: Screen) -> None:
    """Of folders that make no class, since nothing in them looks like a photo."""
    if not os.path.isdir(photos):
        return
    groups = {unicodedata.normalize("NFC", photo.group) for photo in found.photos}
    folders = {entry.name for entry in os.scandir(photos) if entry.is_dir() and not entry.name.startswith(".")}
    passed = {name.partition("/")[0] for name in (*found.own, *(refusal.name for refusal in found.refused))}
    if empty := sorted(name for name in folders - passed if unicodedata.normalize("NFC", name) not in groups):
        screen.warn(f"--classes: there is no photo in {_listed(empty)}, so that it makes no class")


def _median_aspect(found: Found) -> float:
    """Width by height of the photos, from their headers; 1 where none can be read."""
    aspects = []
    for photo in found.photos:
        with suppress(Refused, OSError), open_photo(found.read(photo)) as file:
            aspects.append(aspect_of(file))
    return min(max(statistics.median(aspects or [1.0]), 1 / WIDEST), WIDEST)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(safe, names[:3])) + (", …" if len(names) > 3 else "")


def _tell_left_out(writer: Writer, screen: Screen) -> None:
    """A line for each kind of file that the user can do something about, and for many duplicates."""
    for kind in _TOLD:
        if files := [refusal for refusal in writer.rejected if refusal.kind == kind]:
            screen.warn(f"left out: {len(files)} {kind}{'s' * (len(files) > 1 and kind in _NOUNS)}. {_told(files, 1)}")
    counts = _counted(writer.rejected)
    repeated = counts.get(EXACT, 0) + counts.get(NEAR, 0)
    share = repeated / max(1, repeated + len(writer.entries))
    if share > MANY_DUPLICATES:
        option = "--duplicates exact or --duplicates keep" if counts.get(NEAR) else "--duplicates keep"
        screen.warn(
            f"left out: {counts.get(EXACT, 0)} exact and {counts.get(NEAR, 0)} near duplicates, {share:.0%} of the "
            f"photos; give {option} to train on them too"
        )


def _check_kept(writer: Writer, found: Found, photos: Path, screen: Screen, *, strict: bool, limit: int | None) -> None:
    """What there is to say once every photo was read."""
    where = safe(str(photos))
    faults = [refusal for refusal in writer.rejected if is_fault(refusal.name, refusal.kind)]
    if not writer.entries:
        counts = ", ".join(f"{count} {kind}" for kind, count in _counted(writer.rejected).items())
        smaller = "; give a smaller --size" if all(one.kind == "too small" for one in writer.rejected) else ""
        raise UsageError(f"No usable photo in {where}: {counts}. {_told(writer.rejected, 1)}{smaller}")
    if strict and faults:
        raise FewganError(f"--strict: {len(faults)} of the files in {where} cannot be used. {_told(faults, 5)}")
    if writer.enlarged:
        screen.note(f"{counted(writer.enlarged, 'photo')} enlarged: fewer than {writer.size} pixels a side")
    empty = {photo.group for photo in found.photos if pictured(photo.name)} - {entry.group for entry in writer.entries}
    left_out = {refusal.name for refusal in writer.rejected}
    unusable = empty & {photo.group for photo in found.photos if photo.name in left_out}
    for why, groups in (
        ("these classes have no usable photo", unusable),
        (f"--limit {limit} leaves no photo for these classes", empty - unusable),
    ):
        if groups:
            screen.warn(f"{why}: {', '.join(safe(name) for name in sorted(groups))}")
    if len(writer.entries) < FEW:
        screen.warn(f"only {counted(len(writer.entries), 'photo')}; at least 100 are recommended")


def _counted(rejected: Iterable[Refusal]) -> dict[str, int]:
    return dict(Counter(refusal.kind for refusal in rejected).most_common())


def _told(refusals: Sequence[Refusal], most: int) -> str:
    told = "; ".join(f"{safe(refusal.name)}: {safe(refusal.reason)}" for refusal in refusals[:most])
    return told + (f"; and {len(refusals) - most} more" if len(refusals) > most else "")


def _hold_out(entries: list[Entry], holdout: int, seed: int, *, wrapped: bool) -> None:
    """Marks `holdout` entries, each class in proportion, at least one of each left to train.

    Which ones depends on seed and name alone, so that the marks hardly move when photos are added. wrapped: the first
    folder is no part of a name, so that a zip of a folder has the marks of the folder.
    """
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(entry.group, []).append(entry)
    most = len(entries) - len(groups)
    if holdout > most:
        kept = "a photo is left" if len(groups) == 1 else "each class keeps a photo"
        raise UsageError(f"--holdout {holdout}: give {most} or fewer, so that {kept} to train on")
    fair = {name: holdout * len(group) / len(entries) for name, group in groups.items()}
    shares = {name: min(int(fair[name]), len(group) - 1) for name, group in groups.items()}
    while sum(shares.values()) < holdout:
        open_groups = [name for name, group in groups.items() if shares[name] < len(group) - 1]
        shares[max(open_groups, key=lambda name: (fair[name] - shares[name], name))] += 1
    for name, group in groups.items():
        for entry in sorted(group, key=lambda entry: _draw(seed, entry.name, wrapped))[: shares[name]]:
            entry.held_out = True


def _wrapped(found: Found) -> bool:
    """Whether all photos are in one folder."""
    folders = [photo.name.partition("/") for photo in found.photos if pictured(photo.name)]
    return len({first for first, _, _ in folders}) == 1 and all(below for _, below, _ in folders)


def _draw(seed: int, name: str, wrapped: bool) -> bytes:
    name = name.partition("/")[2] if wrapped else name
    return blake2b(f"{seed}/{name}".encode(errors="surrogatepass"), digest_size=16).digest()
