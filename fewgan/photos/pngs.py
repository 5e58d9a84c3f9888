"""PNG files with more metadata than Pillow agrees to read: the picture is sound, so the metadata goes."""

from __future__ import annotations

import io
import zlib
from typing import BinaryIO

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_TEXT = (b"tEXt", b"zTXt", b"iTXt")
_PER_CHUNK, _IN_ALL = 1024**2, 16 * 1024**2  # bytes unpacked; Pillow's limits are 1 MiB and 64 MiB
_PROFILE = 16 * 1024**2


def readable(file: BinaryIO) -> tuple[BinaryIO, bytes | None]:
    """(the file, or a copy without oversized texts and profile; the ICC profile that was taken out).

    A profile of up to 16 MiB is given back, a larger one is dropped as a decompression bomb. Files of other kinds, and
    damaged ones, come back as they are. The file is rewound.
    """
    if file.read(8) != _SIGNATURE:
        file.seek(0)
        return file, None
    dropped, profile = _oversized(file)
    file.seek(0)
    if not dropped:
        return file, None
    copy = io.BytesIO()
    place = 0
    for start, end in dropped:
        copy.write(file.read(start - place))
        file.seek(end)
        place = end
    copy.write(file.read())
    file.seek(0)
    copy.seek(0)
    return copy, profile


def _oversized(file: BinaryIO) -> tuple[list[tuple[int, int]], bytes | None]:
    """Where the chunks to leave out start and end, and the profile among them."""
    end = file.seek(0, 2)
    place, total = 8, 0
    dropped: list[tuple[int, int]] = []
    profile = None
    while place + 12 <= end:
        file.seek(place)
        head = file.read(8)
        length, kind = int.from_bytes(head[:4], "big"), head[4:8]
        after = place + length + 12
        if after > end or kind == b"IEND":
            break
        if kind in _TEXT:
            size = _text_size(kind, file.read(length)) if length <= _PER_CHUNK else _PER_CHUNK + 1
            total += size
            if size >= _PER_CHUNK or total > _IN_ALL:
                dropped.append((place, after))
        elif kind == b"iCCP" and length <= _PROFILE:
            _, _, packed = file.read(length).partition(b"\0")
            unpacked = _unpacked(packed[1:], _PROFILE + 1)
            if len(unpacked) >= _PER_CHUNK:
                dropped.append((place, after))
                profile = unpacked if len(unpacked) <= _PROFILE else None
        elif kind == b"iCCP":
            dropped.append((place, after))
        place = after
    return dropped, profile


def _text_size(kind: bytes, chunk: bytes) -> int:
    """Bytes of a text once it is unpacked, counted up to the limit."""
    _, _, rest = chunk.partition(b"\0")
    if kind == b"zTXt":
        return len(_unpacked(rest[1:], _PER_CHUNK + 1))
    if kind == b"iTXt" and rest[:1] == b"\1":
        _, _, rest = rest[2:].partition(b"\0")
        _, _, rest = rest.partition(b"\0")
        return len(_unpacked(rest, _PER_CHUNK + 1))
    return len(chunk)


def _unpacked(data: bytes, most: int) -> bytes:
    try:
        return zlib.decompressobj().decompress(data, most)
    except zlib.error:
        return b""
