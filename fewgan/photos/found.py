"""What folders and archives have in common: the photos found in them, in name order, and what is passed over."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, BinaryIO

from fewgan import run, signatures
from fewgan.errors import UsageError
from fewgan.photos.kinds import Refused, pictured
from fewgan.photos.place import FACTS, IMAGES
from fewgan.screen import safe

NEVER_OPENED = "pipes, devices and sockets are never opened"
LOOKED_AT = 4096  # bytes at the start and at the end of a file, where formats keep comments
_MADE = f"{signatures.OWN}{{".encode()
_JUNK = ("__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "@eadir", "$recycle.bin", "lost+found")


@dataclass(frozen=True)
class Photo:
    """A file that may be a photo. name: path below the root, joined by "/". place: what `read` needs; length: bytes."""

    name: str
    place: Any
    length: int = 0
    group: str = ""


@dataclass(frozen=True)
class Refusal:
    """A file left out. kind: a few words to count by; reason: a sentence."""

    name: str
    kind: str
    reason: str

    @classmethod
    def of(cls, name: str, error: Refused) -> Refusal:
        return cls(name, error.kind, error.reason)


@dataclass(frozen=True)
class Found:
    """photos: in name order. refused: what is left out unread. read(photo): its file's bytes, or the path to open.

    ends(photo): the first and the last bytes of its file, where formats keep comments. own: the folders and files
    passed over because fewgan made them.
    """

    photos: list[Photo]
    refused: list[Refusal]
    read: Callable[[Photo], bytes | Path]
    ends: Callable[[Photo], bytes]
    own: tuple[str, ...] = ()


def ignored(name: str) -> bool:
    return any(part.startswith(".") or part.lower() in _JUNK for part in name.split("/"))


def in_order(
    photos: list[Photo],
    refused: list[Refusal],
    read: Callable[[Photo], bytes | Path],
    ends: Callable[[Photo], bytes],
) -> Found:
    """Sorted by name, without datasets, runs and scores of fewgan."""
    own = _own_folders({photo.name for photo in photos})
    if "" in own:
        return Found([], [], read, ends, ("",))
    photos = sorted((p for p in photos if not _below(p.name, own)), key=lambda photo: photo.name)
    refused = sorted((r for r in refused if not _below(r.name, own)), key=lambda refusal: refusal.name)
    return Found(photos, refused, read, ends, tuple(sorted(own)))


def without_samples(found: Found) -> Found:
    """Without sheets and animations of fewgan's, and where there are other pictures, without its samples too."""
    pictures = [photo for photo in found.photos if pictured(photo.name)]
    marks = {photo.name: mark for photo in pictures if (mark := _mark(photo, found)) is not None}
    theirs = len(marks) < len(pictures)
    own = {name for name, mark in marks.items() if theirs or "index" not in mark}
    if not own:
        return found
    photos = [photo for photo in found.photos if photo.name not in own]
    places = {*found.own, *(os.path.dirname(name) or name for name in own)}
    return replace(found, photos=photos, own=tuple(sorted(places)))


def _mark(photo: Photo, found: Found) -> dict[str, Any] | None:
    """What fewgan wrote into a picture that it made; None where it did not make it."""
    try:
        _, made, rest = found.ends(photo).partition(_MADE)
        facts: dict[str, Any] | None = _decoded(rest) if made else None
    except (OSError, Refused, RecursionError):
        return None
    return facts


def _decoded(rest: bytes) -> dict[str, Any]:
    try:
        facts: dict[str, Any] = json.JSONDecoder().raw_decode("{" + rest.decode("utf-8", "replace"))[0]
    except ValueError:  # cut off
        return {"index": 0} if b'"index"' in rest else {}
    return facts


def ends_of(file: IO[bytes], start: int, length: int) -> bytes:
    """For `Found.ends`, of a file that stands within another, or is a whole one."""
    file.seek(start)
    head = file.read(min(length, LOOKED_AT))
    file.seek(start + max(len(head), length - LOOKED_AT))
    return head + file.read(min(length - len(head), LOOKED_AT))


def _own_folders(names: set[str]) -> set[str]:
    """The folders, by the names of the files in them, that hold a dataset, a run or scores; "" is the root."""
    own = set()
    for name in names:
        folder, _, file = name.rpartition("/")
        inside = f"{folder}/" if folder else ""
        if file == FACTS:
            ours = inside + IMAGES in names
        elif file == "config.json":
            ours = any(inside + mark in names for mark in run.MARKS)
        else:
            ours = file == "scores.json" and inside + "nearest.png" in names
        if ours:
            own.add(folder)
    return own


def _below(name: str, folders: set[str]) -> bool:
    parts = name.split("/")
    return any("/".join(parts[:depth]) in folders for depth in range(1, len(parts)))


def nothing(found: Found, where: str) -> UsageError:
    """The error for a place without pictures: what lies there instead, as far as it was looked at."""
    there = [f"{safe(refusal.name)}: {refusal.reason}" for refusal in found.refused[:3]]
    if len(found.refused) > 3:
        there.append(f"and {len(found.refused) - 3} more")
    if found.own:
        there.append("what fewgan made there is passed over")
    return UsageError(
        f"No pictures in {where}"
        + (f" ({'; '.join(there)})" if there else "")
        + ": give a folder of photos, a zip or a tar"
    )


def open_file(path: Path) -> BinaryIO:
    """Opens a regular file for reading, without waiting for or following anything that took its place."""
    flags = os.O_RDONLY
    for name in ("O_BINARY", "O_CLOEXEC", "O_NOFOLLOW", "O_NONBLOCK"):
        flags |= getattr(os, name, 0)
    if not hasattr(os, "O_NOFOLLOW") and os.path.islink(path):
        raise Refused("link", "another file was here when it was found")
    number = os.open(path, flags)
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise Refused("not a file", NEVER_OPENED)
    return os.fdopen(number, "rb")
