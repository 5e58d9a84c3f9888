"""The photos in a folder, a zip or a tar: found, put in name order, read one by one. Nothing is extracted or written.

What a hostile or careless folder can hold is refused, each with its reason: links that lead out, links to folders
(so no loop is ever followed), pipes, devices and sockets (never opened), archive members outside the archive's root,
links and devices in archives, members too large to be photos. Hidden files, and what operating systems leave behind,
are passed over in silence.
"""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

from fewgan.errors import UsageError
from fewgan.photos.decode import Refused

EXTENSIONS = (
    ".jpg",
    ".jpeg",
    ".jpe",
    ".jfif",
    ".mpo",
    ".png",
    ".apng",
    ".webp",
    ".gif",
    ".bmp",
    ".dib",
    ".tif",
    ".tiff",
    ".avif",
    ".avifs",
    ".jp2",
    ".j2k",
    ".jpx",
    ".ppm",
    ".pgm",
    ".pbm",
    ".pnm",
    ".pfm",
)
# Photos all the same, but not for Pillow; camera raws would even open, as their thumbnails.
_FOREIGN = (
    ".heic",
    ".heif",
    ".jxl",
    ".dng",
    ".cr2",
    ".cr3",
    ".crw",
    ".nef",
    ".nrw",
    ".arw",
    ".srf",
    ".sr2",
    ".rw2",
    ".orf",
    ".raf",
    ".pef",
    ".srw",
    ".raw",
    ".rwl",
    ".3fr",
    ".x3f",
    ".psd",
    ".svg",
)
_JUNK = ("__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "@eadir", "$recycle.bin", "lost+found")
NOT_A_FILE = "not a file: pipes, devices and sockets are never opened"


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


@dataclass(frozen=True)
class Found:
    """photos: in name order. refused: what is left out unread. read(photo): its file's bytes, or the path to open."""

    photos: list[Photo]
    refused: list[Refusal]
    read: Callable[[Photo], bytes | Path]


def shown(name: str) -> str:
    """A file's name on one line of a screen, whatever is in it."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)


def pictured(name: str) -> bool:
    """Whether the name says that the file is a picture, readable here or not."""
    return os.path.splitext(name)[1].lower() in EXTENSIONS + _FOREIGN


def check_kind(name: str) -> None:
    """Raises Refused for photos of kinds that cannot be read here."""
    extension = os.path.splitext(name)[1].lower()
    if extension in _FOREIGN:
        raise Refused("unsupported", f"unsupported: {extension} files cannot be read; convert it to JPEG or PNG")


@contextmanager
def gather(
    source: Path, *, grouped: bool = False, skip: Path | None = None, spool: Path | None = None
) -> Iterator[Found]:
    """The photos in `source`: a folder (all levels), a zip, a tar, or a tar packed by gzip, bzip2 or xz.

    grouped: each photo in the group that its folder names, see `with_groups`. skip: a folder below `source` that is no
    part of it. spool: the folder on whose disk a packed tar is unpacked, as one nameless file, because its members
    are wanted in name order.

    Raises UsageError where `source` is none of these, or damaged.
    """
    with ExitStack() as stack:
        found = _found(source, skip, spool, stack)
        yield with_groups(found) if grouped else found


def _found(source: Path, skip: Path | None, spool: Path | None, stack: ExitStack) -> Found:
    try:
        mode = os.stat(source).st_mode
        if stat.S_ISDIR(mode):
            return _folder(source, skip)
        if stat.S_ISREG(mode):
            import fewgan.photos.archive

            return fewgan.photos.archive.members(source, spool, stack)
        raise UsageError(f"{shown(str(source))} is a pipe or device: give a folder of photos, a zip or a tar")
    except (FileNotFoundError, NotADirectoryError):
        raise missing(source) from None
    except PermissionError as error:
        raise UsageError(f"{shown(str(error.filename or source))} cannot be read: {error.strerror}") from None


def missing(source: Path) -> UsageError:
    return UsageError(f"{shown(str(source))} does not exist: give a folder of photos, a zip or a tar")


def with_groups(found: Found) -> Found:
    """The same photos, each in the group its folder names; photos outside any folder are refused.

    The groups are the first level of folders; folders that merely wrap all the others are passed through.
    """
    names = [photo.name for photo in found.photos]
    paths = [name.split("/") for name in (list(filter(pictured, names)) or names)]
    depth = 0
    while paths and len({path[depth] for path in paths}) == 1 and all(len(path) > depth + 1 for path in paths):
        if not any(len(path) > depth + 2 for path in paths):
            break  # one folder of photos and nothing deeper: it is the only class
        depth += 1
    wrap = paths[0][:depth] if paths else []
    photos, refused = [], list(found.refused)
    for photo in found.photos:
        parts = photo.name.split("/")
        if parts[:depth] == wrap and len(parts) > depth + 1:
            photos.append(replace(photo, group=parts[depth]))
        elif pictured(photo.name):
            refused.append(Refusal(photo.name, "in no class", "in no class: it lies in no folder that names its class"))
        else:
            refused.append(Refusal(photo.name, "not a picture", "not a picture"))
    return replace(found, photos=photos, refused=sorted(refused, key=lambda refusal: refusal.name))


def open_file(path: Path) -> BinaryIO:
    """Opens a regular file for reading, without waiting for or following anything that took its place."""
    flags = os.O_RDONLY
    for name in ("O_BINARY", "O_CLOEXEC", "O_NOFOLLOW", "O_NONBLOCK"):
        flags |= getattr(os, name, 0)
    number = os.open(path, flags)
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise Refused("not a file", NOT_A_FILE)
    return os.fdopen(number, "rb")


def open_photo(source: bytes | Path) -> BinaryIO:
    """What `Found.read` gave, as a file. Raises Refused where it cannot be opened."""
    if isinstance(source, bytes):
        return io.BytesIO(source)
    try:
        return open_file(source)
    except OSError as error:
        raise Refused("unreadable", f"unreadable: {error.strerror or error}") from None


def ignored(name: str) -> bool:
    return any(part.startswith(".") or part.lower() in _JUNK for part in name.split("/"))


def in_order(photos: list[Photo], refused: list[Refusal], read: Callable[[Photo], bytes | Path]) -> Found:
    photos.sort(key=lambda photo: photo.name)
    refused.sort(key=lambda refusal: refusal.name)
    return Found(photos, refused, read)


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
            refused.append(Refusal(prefix, "unreadable", f"unreadable: {error.strerror}"))
            continue
        if {"dataset.json", "images.safetensors"} <= {entry.name for entry in entries}:
            if folder == root:
                raise UsageError(f"{shown(str(source))} is a dataset already: train on it, or give a folder of photos")
            continue  # one made earlier: its preview is no photo
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
                refused.append(Refusal(name, error.kind, error.reason))
            except OSError as error:
                refused.append(Refusal(name, "unreadable", f"unreadable: {error.strerror}"))
    return in_order(photos, refused, lambda photo: photo.place)


def _file(entry: os.DirEntry[str], root: str) -> tuple[Path, int]:
    """Path to open and length in bytes. Raises Refused for what is no file, or no file of this folder."""
    path = entry.path
    if entry.is_symlink():
        try:
            path = os.path.realpath(path, strict=True)
        except OSError:
            raise Refused("link", "link: it leads nowhere") from None
        if not Path(path).is_relative_to(root):
            raise Refused("link", "link: it leads out of the folder")
        if os.path.isdir(path):
            raise Refused("link", "link: it leads to a folder, whose photos are taken where they lie")
    found = os.lstat(path)
    if not stat.S_ISREG(found.st_mode):
        raise Refused("not a file", NOT_A_FILE)
    return Path(path), found.st_size
