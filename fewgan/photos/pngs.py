"""PNG files with metadata that Pillow refuses to read: the picture is sound, so the metadata goes."""

from __future__ import annotations

import io
import zlib
from typing import BinaryIO

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_TEXT = (b"tEXt", b"zTXt", b"iTXt")
_PER_CHUNK, _IN_ALL = 1024**2, 16 * 1024**2  # bytes unpacked; Pillow's limits are 1 MiB and 64 MiB
_PROFILE = 16 * 1024**2
_SHORTEST = {b"gAMA": 4, b"cHRM": 32, b"sRGB": 1, b"pHYs": 9}  # bytes
_SHORTEST_TRANSPARENCY = {b"\0": 2, b"\2": 6}  # by the type of colour: grey and RGB
_ANIMATION = (b"acTL", b"fcTL", b"fdAT")  # the picture is that of IDAT, as without them


def readable(file: BinaryIO) -> tuple[BinaryIO, bytes | None]:
    """(the file, or a copy without metadata that is oversized or wrong; the ICC profile that was taken out).

    A profile of up to 16 MiB is given back, a larger one is dropped as a decompression bomb. Files of other kinds, and
    damaged ones, come back as they are. The file is rewound.
    """
    if file.read(8) != _SIGNATURE:
        file.seek(0)
        return file, None
    dropped, profile = _left_out(file)
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


def _left_out(file: BinaryIO) -> tuple[list[tuple[int, int]], bytes | None]:
    """Where the chunks to leave out start and end, and the profile among them."""
    end = file.seek(0, 2)
    file.seek(25)
    colour = file.read(1)
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
        if kind[:1].islower():  # not needed for the picture
            most = _PROFILE if kind in (b"iCCP", b"eXIf") else _PER_CHUNK
            data = file.read(length) if length <= most and kind not in _ANIMATION else None
            if data is None or not _sound(kind, data, file.read(4), colour):
                dropped.append((place, after))
            elif kind in _TEXT:
                size = _text_size(kind, data)
                total += size
                if size >= _PER_CHUNK or total > _IN_ALL:
                    dropped.append((place, after))
            elif kind == b"iCCP":
                unpacked = _unpacked(data.partition(b"\0")[2][1:], _PROFILE + 1)
                if len(unpacked) >= _PER_CHUNK:
                    dropped.append((place, after))
                    profile = unpacked if len(unpacked) <= _PROFILE else None
        place = after
    return dropped, profile


def _sound(kind: bytes, data: bytes, checksum: bytes, colour: bytes) -> bool:
    """Whether a chunk is what was written, and as long and as packed as its kind must be."""
    if zlib.crc32(kind + data) != int.from_bytes(checksum, "big"):
        return False
    if kind in (b"iCCP", b"zTXt"):
        return data.partition(b"\0")[2][:1] == b"\0"  # the one method there is
    shortest = _SHORTEST_TRANSPARENCY.get(colour, 0) if kind == b"tRNS" else _SHORTEST.get(kind, 0)
    return len(data) >= shortest


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
