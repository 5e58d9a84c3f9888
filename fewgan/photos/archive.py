"""The photos in a zip or a tar, read one by one into memory. Nothing is extracted under a name.

Refused, each with its reason: members whose names lead out of the archive's root, links, devices, encrypted members,
and members too large to be photos.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import stat
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from fewgan.errors import UsageError
from fewgan.photos.found import LOOKED_AT, NEVER_OPENED, Found, Photo, Refusal, ends_of, ignored, in_order, open_file
from fewgan.photos.kinds import HEAD, Refused, check_head, is_picture, too_large
from fewgan.screen import safe

MEMBER_BYTES = 256 * 1024**2
"""Members are read whole; larger ones are refused."""

_PACKED: dict[bytes, Any] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\x00": lzma.open,
}
_LIMIT = f"more than {MEMBER_BYTES // 1024**2} MiB in one file"


def members(source: Path, spool: Path | None, stack: ExitStack) -> Found:
    """source: a zip, a tar or a packed tar; the files opened here close with `stack`. For spool see `gather`.

    Raises UsageError where it is none, or damaged.
    """
    name = safe(str(source))
    try:
        file: IO[bytes] = stack.enter_context(open_file(Path(os.path.realpath(source))))
        magic = file.read(6)
        file.seek(0)
        if magic[:4] in (b"PK\x03\x04", b"PK\x05\x06") or _is_late_zip(file):
            try:
                packed = zipfile.ZipFile(file)
            except zipfile.BadZipFile:  # its table of contents is at the end
                raise EOFError from None
            except (NotImplementedError, ValueError, struct.error) as error:  # UnicodeDecodeError is a ValueError
                raise UsageError(f"{name}: Python cannot read this zip ({error}); unpack it, give the folder") from None
            return _zip(stack.enter_context(packed))
        unpack = next((opener for start, opener in _PACKED.items() if magic.startswith(start)), None)
        if unpack is not None:
            packed = stack.enter_context(unpack(file))
            file = stack.enter_context(tempfile.TemporaryFile(dir=spool))  # noqa: SIM115
            _unpack(packed, file, max(1024**3, 100 * os.path.getsize(source)), name)
        else:
            _check_tar(file, name)
        return _tar(file)
    except (tarfile.TarError, zipfile.BadZipFile) as error:
        words = " ".join(str(error).split())
        raise UsageError(f"{name} is not a folder of photos, a zip or a tar, or it is damaged ({words})") from None
    except (EOFError, zlib.error, lzma.LZMAError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the disk's trouble, not the archive's
        raise UsageError(f"{name} is damaged or cut short: download or pack it again") from None


def _is_late_zip(file: IO[bytes]) -> bool:
    """Whether it is a zip that the program which unpacks it stands before, or the mark of one in parts."""
    late = file.read(6).startswith((b"MZ", b"\x7fELF", b"#!", b"PK00PK")) and zipfile.is_zipfile(file)
    file.seek(0)
    return late


def _check_tar(file: IO[bytes], name: str) -> None:
    """Raises UsageError, saying what the file is, where that is known and it is no tar."""
    head = file.read(HEAD)
    file.seek(0)
    if head[257:262] == b"ustar":
        return
    give = "give a folder of photos, a zip or a tar"
    try:
        check_head(head, name)
    except Refused as error:
        what = error.what.removesuffix("; unpack it first")
        raise UsageError(f"{name} is {what}: {give}") from None
    if is_picture(head):
        raise UsageError(f"{name} is a single picture: {give}")


def _unpack(packed: IO[bytes], plain: IO[bytes], limit: int, name: str) -> None:
    """Photos hardly shrink when packed, so a file that grows a hundredfold holds something else."""
    done = 0
    while block := packed.read(1024**2):
        done += len(block)
        if done > limit:
            raise UsageError(f"{name} unpacks to more than {limit // 1024**2} MiB, which no photos do: refused")
        plain.write(block)
    plain.seek(0)


@dataclass(frozen=True)
class _Member:
    """What an archive says of one of its files. kind: "file", "link" or "other"; trouble: why it cannot be read."""

    name: str
    size: int
    kind: str
    place: Any
    trouble: Refused | None = None


def _sorted_out(members: Iterable[_Member], read: Callable[[Photo], bytes], ends: Callable[[Photo], bytes]) -> Found:
    photos: dict[str, Photo] = {}
    refused: list[Refusal] = []
    for member in members:
        name = member.name.replace("\\", "/")
        parts = [part for part in name.split("/") if part not in ("", ".")]
        error: Refused | None
        if name.startswith("/") or ".." in parts or (parts and parts[0][1:] == ":"):
            error = Refused("outside the archive", "its name leads out of the archive's root")
        elif ignored(name := "/".join(parts)):
            continue
        elif member.kind == "link":
            error = Refused("link", "links in archives are not followed")
        elif member.kind == "other":
            error = Refused("not a file", NEVER_OPENED)
        elif member.size > MEMBER_BYTES:
            error = too_large(name, _LIMIT)
        else:
            error = member.trouble
        if error:
            refused.append(Refusal.of(name, error))
        else:  # of two members of one name the later counts, as in unpacking
            photos[name] = Photo(name, member.place, member.size)
    return in_order(list(photos.values()), refused, read, ends)


def _zip(archive: zipfile.ZipFile) -> Found:
    def listed() -> Iterator[_Member]:
        kinds = {0: "file", stat.S_IFREG: "file", stat.S_IFLNK: "link"}
        for info in archive.infolist():
            if not info.is_dir():
                trouble = Refused("encrypted", "unpack it with its password first") if info.flag_bits & 1 else None
                kind = kinds.get(stat.S_IFMT(info.external_attr >> 16), "other")
                yield _Member(info.filename, info.file_size, kind, info, trouble)

    def read(photo: Photo, most: int = MEMBER_BYTES) -> bytes:
        try:
            with archive.open(photo.place) as member:
                data = member.read(most + 1)
        except NotImplementedError:
            raise Refused("unsupported", "packed by a method that Python's zip cannot read") from None
        except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, RuntimeError, ValueError) as error:
            raise Refused("unreadable", " ".join(str(error).split())) from None
        if len(data) > MEMBER_BYTES:
            raise Refused("too large", _LIMIT)
        return data

    def ends(photo: Photo) -> bytes:
        if not photo.name.lower().endswith(".webp"):  # only there the comment is at the end
            return read(photo, LOOKED_AT)
        data = read(photo)
        return data[:LOOKED_AT] + data[-LOOKED_AT:]

    return _sorted_out(listed(), read, ends)


def _tar(file: IO[bytes]) -> Found:
    def listed() -> Iterator[_Member]:
        with tarfile.open(fileobj=file, mode="r:") as archive:
            before = -1
            while (info := archive.next()) is not None:
                if info.offset <= before or info.size < 0:
                    raise tarfile.ReadError("its headers lead back to themselves")
                before = info.offset
                archive.members = []  # type: ignore[attr-defined]  # it would keep every header otherwise
                if not info.isdir():
                    kind = "link" if info.issym() or info.islnk() else "file" if info.isreg() else "other"
                    trouble = Refused("unsupported", "a sparse file") if info.issparse() else None
                    yield _Member(info.name, info.size, kind, (info.offset_data, info.size), trouble)

    def read(photo: Photo) -> bytes:
        offset, length = photo.place
        file.seek(offset)
        return file.read(length)

    def ends(photo: Photo) -> bytes:
        return ends_of(file, *photo.place)

    return _sorted_out(listed(), read, ends)
