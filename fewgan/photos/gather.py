"""The photos in a folder, a zip or a tar: found, put in name order, read one by one. Nothing is extracted or written.

What a hostile or careless folder can hold is refused, each with its reason: links that lead out, links to folders
(so no loop is ever followed), pipes, devices and sockets (never opened), archive members outside the archive's root,
links and devices in archives, members too large to be photos. Hidden files, and what operating systems leave behind,
are passed over in silence; so are datasets, runs and pictures that fewgan made.
"""

from __future__ import annotations

import io
import os
import stat
import unicodedata
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from fewgan import run
from fewgan.errors import UsageError, of_address
from fewgan.photos import archive
from fewgan.photos.found import (
    NEVER_OPENED,
    Found,
    Photo,
    Refusal,
    ends_of,
    ignored,
    in_order,
    nothing,
    open_file,
    without_samples,
)
from fewgan.photos.kinds import Refused, pictured
from fewgan.photos.place import FACTS, IMAGES
from fewgan.screen import safe


@contextmanager
def gather(
    source: Path, *, grouped: bool = False, samples: bool = False, skip: Path | None = None, spool: Path | None = None
) -> Iterator[Found]:
    """The photos in `source`: a folder (all levels), a zip, a tar, or a tar packed by gzip, bzip2 or xz.

    grouped: each photo in the group that its folder names, see `with_groups`. samples: pictures that fewgan made are
    taken like others. skip: a folder below `source` that is no part of it. spool: the folder on whose disk a packed tar
    is unpacked, as one nameless file, because its members are wanted in name order.

    Raises UsageError where `source` is none of these, or damaged.
    """
    with ExitStack() as stack:
        found = _found(source, skip, spool, stack)
        if not samples:
            place = Path(os.path.realpath(source))
            if place.name == "samples" and run.is_run(place.parent):
                raise UsageError(f"{safe(str(source))}: holds the sample grids of a run: give a folder of photos")
            found = without_samples(found)
        if "" in found.own:
            raise UsageError(
                f"{safe(str(source))} was written by fewgan, not a folder of photos: give the photos themselves"
            )
        if not found.photos and (found.refused or found.own):
            raise nothing(found, safe(str(source)))
        yield with_groups(found) if grouped else found


def _found(source: Path, skip: Path | None, spool: Path | None, stack: ExitStack) -> Found:
    try:
        mode = os.stat(source).st_mode
        if stat.S_ISDIR(mode):
            return _folder(source, skip)
        if stat.S_ISREG(mode):
            return archive.members(source, spool, stack)
        raise UsageError(f"{safe(str(source))} is a pipe or device: give a folder of photos, a zip or a tar")
    except (FileNotFoundError, NotADirectoryError):
        raise missing(source) from None
    except PermissionError as error:
        raise UsageError(f"{safe(str(error.filename or source))} cannot be read: {error.strerror}") from None


def missing(source: Path) -> UsageError:
    return of_address(source) or UsageError(
        f"{safe(str(source))} does not exist: give a folder of photos, a zip or a tar"
    )


def with_groups(found: Found) -> Found:
    """The same photos, each in the group its folder names; photos outside any folder are refused.

    The groups are the first level of folders; a folder that merely wraps all the others is passed through, though some
    photos, fewer than in it, may lie beside it. A folder of photos with a few more in folders below is a group, not a
    wrap.
    """
    names = [photo.name for photo in found.photos]
    paths = [name.split("/") for name in (list(filter(pictured, names)) or names)]
    depth = 0
    while paths:
        below = [path for path in paths if len(path) > depth + 1]
        if len({path[depth] for path in below}) != 1 or 2 * len(below) <= len(paths):
            break
        if 2 * sum(len(path) == depth + 2 for path in below) > len(below):
            break  # most photos lie in the one folder: it is the only class
        paths, depth = below, depth + 1
    wrap = paths[0][:depth] if paths else []
    photos, refused = [], list(found.refused)
    for photo in found.photos:
        parts = photo.name.split("/")
        if parts[:depth] == wrap and len(parts) > depth + 1:
            photos.append(replace(photo, group=unicodedata.normalize("NFC", parts[depth])))  # as one name is one class
        elif pictured(photo.name):
            refused.append(Refusal.of(photo.name, Refused("in no class", "not inside a class folder")))
        else:
            refused.append(Refusal.of(photo.name, Refused("not a picture")))
    return replace(found, photos=photos, refused=sorted(refused, key=lambda refusal: refusal.name))


def open_photo(source: bytes | Path) -> BinaryIO:
    """What `Found.read` gave, as a file. Raises Refused where it cannot be opened."""
    if isinstance(source, bytes):
        return io.BytesIO(source)
    try:
        return open_file(source)
    except OSError as error:
        raise Refused("unreadable", f"{error.strerror or error}") from None


# Folders --------------------------------------------------------------------------------------------------------------


def _folder(source: Path, skip: Path | None) -> Found:
    root = os.path.realpath(source)
    passed = os.path.realpath(skip) if skip else None
    photos: list[Photo] = []
    refused: list[Refusal] = []
    folders = [(root, "")]
    while folders:
        folder, prefix = folders.pop()
        try:
            entries = list(os.scandir(folder))
        except OSError as error:
            if folder == root:
                raise
            refused.append(Refusal.of(prefix, Refused("unreadable", error.strerror or "")))
            continue
        if folder == root and {FACTS, IMAGES} <= {entry.name for entry in entries}:
            raise UsageError(f"{safe(str(source))} is a dataset already: train on it, or give a folder of photos")
        for entry in entries:
            name = prefix + entry.name
            if ignored(entry.name) or entry.path == passed:
                continue
            if entry.is_dir(follow_symlinks=False):
                folders.append((entry.path, name + "/"))
                continue
            try:
                path, length = _file(entry, root)
                photos.append(Photo(name, path, length))
            except Refused as error:
                refused.append(Refusal.of(name, error))
            except OSError as error:
                refused.append(Refusal.of(name, Refused("unreadable", error.strerror or "")))
    return in_order(photos, refused, lambda photo: photo.place, _ends)


def _ends(photo: Photo) -> bytes:
    with open_file(photo.place) as file:
        return ends_of(file, 0, photo.length)


def _file(entry: os.DirEntry[str], root: str) -> tuple[Path, int]:
    """Path to open and length in bytes. Raises Refused for what is no file, or no file of this folder."""
    path = entry.path
    if entry.is_symlink():
        try:
            path = os.path.realpath(path, strict=True)
        except OSError:
            raise Refused("link", "its target does not exist") from None
        if not Path(path).is_relative_to(root):
            raise Refused("link", "it leads out of the folder; copy what it leads to here, or give that folder")
        if os.path.isdir(path):
            raise Refused("link", "it leads to a folder below, whose photos are taken once")
    found = os.lstat(path)
    if not stat.S_ISREG(found.st_mode):
        raise Refused("not a file", NEVER_OPENED)
    return Path(path), found.st_size
