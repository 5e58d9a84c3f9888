"""Which photos are the same photo again: byte for byte after decoding, or resaved, resized, slightly brightened.

A near duplicate passes three tests. The first is a difference hash: the luma is reduced to 9 x 8 and each pixel is
compared with its right neighbour, 64 bits; two photos are candidates when at most HAMMING bits differ. On aligned
faces that test alone is far too generous (of 309 different sketches, 16,000 pairs pass it), so candidates are then
compared by the correlation of 12 x 12 thumbnails, each channel's mean taken out; DISTANCE is one minus it.

The two numbers were chosen on 8,000 photos of faces, sketches and flowers. Copies resaved at JPEG quality 20, halved
and enlarged again, or 10 to 20 % brighter, darker or richer in contrast lie below 0.014 in 99 of 100 cases; different
photos lie above 0.033, and every pair between was a recropped copy.

Different bright things before the same dark ground still pass both: of 20,006 rendered planets, 1,878 did. So what is
finer than 8 x 8 is compared last, at 32 x 32, by its correlation: at most 0.84 for 400 such pairs, at least 0.91 for
240 copies of planets, faces, sketches and flowers. The photo that is kept is read again for that.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

EXACT, NEAR = "exact duplicate", "near duplicate"
HAMMING = 10
DISTANCE = 0.025
DETAIL = 0.88
FAINT = 2.0  # grey levels
_THUMBNAIL, _FINE = 12, 32


@dataclass(frozen=True)
class Print:
    """What is remembered of a photo: digest of its pixels, difference hash (uint64), thumbnail (uint8 [12, 12, 3])."""

    digest: bytes
    hash: int
    thumbnail: NDArray[np.uint8]


def fingerprint(pixels: NDArray[np.uint8]) -> Print:
    """pixels: uint8 [S, S, 3]."""
    image = Image.fromarray(pixels)
    luma = np.asarray(image.convert("L").resize((9, 8), Image.Resampling.LANCZOS))
    bits = np.packbits(luma[:, 1:] > luma[:, :-1])
    return Print(
        hashlib.blake2b(pixels.tobytes(), digest_size=16).digest(),
        int.from_bytes(bits.tobytes(), "little"),
        np.asarray(image.resize((_THUMBNAIL, _THUMBNAIL), Image.Resampling.BOX)),
    )


class Seen:
    """The photos kept so far, numbered in the order they were added; half a kilobyte each."""

    def __init__(self) -> None:
        self._exact: dict[bytes, int] = {}
        self._hashes = np.empty(1024, np.uint64)
        self._thumbnails = np.empty((1024, _THUMBNAIL, _THUMBNAIL, 3), np.uint8)

    def add(self, print: Print) -> None:
        count = len(self._exact)
        if count == len(self._hashes):
            self._hashes = np.concatenate([self._hashes, np.empty_like(self._hashes)])
            self._thumbnails = np.concatenate([self._thumbnails, np.empty_like(self._thumbnails)])
        self._hashes[count] = print.hash
        self._thumbnails[count] = print.thumbnail
        self._exact[print.digest] = count

    def find(self, print: Print) -> tuple[str, int] | None:
        """("exact duplicate" or "near duplicate", number of the photo it repeats), or None."""
        if print.digest in self._exact:
            return EXACT, self._exact[print.digest]
        close = np.flatnonzero(_bits(self._hashes[: len(self._exact)] ^ np.uint64(print.hash)) <= HAMMING)
        if not len(close):
            return None
        correlations = _standard(self._thumbnails[close]) @ _standard(print.thumbnail[None])[0]
        best = int(correlations.argmax())
        return (NEAR, int(close[best])) if 1 - correlations[best] < DISTANCE else None


def same_detail(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> bool:
    """Whether two pictures, uint8 [S, S, 3], agree in what is finer than 8 x 8.

    They do where there is nothing to compare: below 32 px, and in pictures as smooth as what saving leaves behind.
    """
    if len(one) < _FINE:
        return True
    fine = np.stack([_detail(one), _detail(other)])
    strengths = np.sqrt((fine**2).mean(axis=1))
    return bool(strengths.min() < FAINT or (fine[0] * fine[1]).mean() > DETAIL * strengths.prod())


def _detail(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """[_FINE ** 2], in grey levels."""
    luma = Image.fromarray(pixels).convert("F").resize((_FINE, _FINE), Image.Resampling.BOX)
    coarse = luma.resize((_FINE // 4, _FINE // 4), Image.Resampling.BOX).resize(luma.size, Image.Resampling.BICUBIC)
    fine: NDArray[np.float32] = (np.asarray(luma) - np.asarray(coarse)).ravel()
    return fine


def _bits(values: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """Number of set bits. By halves, because numpy before 2.0 has no bitwise_count."""
    counted: NDArray[np.uint8]
    if hasattr(np, "bitwise_count"):
        counted = np.bitwise_count(values)
        return counted
    ones = values - ((values >> np.uint64(1)) & np.uint64(0x5555555555555555))
    ones = (ones & np.uint64(0x3333333333333333)) + ((ones >> np.uint64(2)) & np.uint64(0x3333333333333333))
    ones = (ones + (ones >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    counted = ((ones * np.uint64(0x0101010101010101)) >> np.uint64(56)).astype(np.uint8)
    return counted


def _standard(thumbnails: NDArray[np.uint8]) -> NDArray[np.float32]:
    """[n, 12, 12, 3] → [n, 432], each channel's mean taken out, of length 1 (0 where a picture is flat)."""
    centred = thumbnails - thumbnails.mean(axis=(1, 2), keepdims=True, dtype=np.float32)
    rows: NDArray[np.float32] = centred.reshape(len(centred), -1)
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)
    return rows
