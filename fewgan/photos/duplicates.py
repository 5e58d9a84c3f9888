"""Which photos are the same photo again: byte for byte after decoding, or saved again, resized, cropped a little.

Two searches and one comparison decide about near duplicates. A difference hash (the luma is reduced to 9 x 8 and each
pixel is compared with its right neighbour, 64 bits) leaves few photos of many. Of those, 12 x 12 thumbnails are
compared by tangent distance (Simard et al., 1993): what brightness, contrast, a shift and a change of scale explain to
first order is taken out, and what is left is divided by the thumbnail's variance. Each photo has two hashes and two
thumbnails, of the whole and of its inner 92 %, so that a photo is found again from either side of a crop. The closest
CANDIDATES are read again, and `comparison` decides.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fewgan.photos.comparison import Floats, tangents

DUPLICATES = ("near", "exact", "keep")
EXACT, NEAR = "exact duplicate", "near duplicate"
CANDIDATES = 3
HAMMING = 16
DISTANCE = 0.15
INNER = 0.92
_THUMBNAIL = 12


@dataclass(frozen=True)
class Print:
    """What is remembered of a photo: the digest of its pixels, two hashes, two thumbnails (whole, inner part).

    hashes: uint64 [2]. thumbnails: luma, uint8 [2, 12, 12].
    """

    digest: bytes
    hashes: NDArray[np.uint64]
    thumbnails: NDArray[np.uint8]


def fingerprint(pixels: NDArray[np.uint8]) -> Print:
    """pixels: uint8 [S, S, 3]."""
    luma = Image.fromarray(pixels).convert("L")
    margin = (1 - INNER) / 2 * luma.width
    inner = (margin, margin, luma.width - margin, luma.height - margin)
    hashes, thumbnails = [], []
    for box in (None, inner):
        small = np.asarray(luma.resize((9, 8), Image.Resampling.BOX, box=box))
        bits = np.packbits(small[:, 1:] > small[:, :-1])
        hashes.append(int.from_bytes(bits.tobytes(), "little"))
        thumbnails.append(np.asarray(luma.resize((_THUMBNAIL, _THUMBNAIL), Image.Resampling.BOX, box=box)))
    digest = hashlib.blake2b(pixels.tobytes(), digest_size=16).digest()
    return Print(digest, np.array(hashes, np.uint64), np.stack(thumbnails))


class Seen:
    """The photos kept so far, numbered in the order they were added; a third of a kilobyte each."""

    def __init__(self) -> None:
        self._exact: dict[bytes, int] = {}
        self._count = 0
        self._hashes = np.empty((1024, 2), np.uint64)
        self._thumbnails = np.empty((1024, 2, _THUMBNAIL, _THUMBNAIL), np.uint8)

    def add(self, print: Print) -> None:
        if self._count == len(self._hashes):
            self._hashes = np.concatenate([self._hashes, np.empty_like(self._hashes)])
            self._thumbnails = np.concatenate([self._thumbnails, np.empty_like(self._thumbnails)])
        self._hashes[self._count] = print.hashes
        self._thumbnails[self._count] = print.thumbnails
        self._exact.setdefault(print.digest, self._count)
        self._count += 1

    def exact(self, print: Print) -> int | None:
        """The number of the photo with the same pixels."""
        return self._exact.get(print.digest)

    def near(self, print: Print) -> list[tuple[int, float]]:
        """The photos that this one may repeat, closest first: (number, scale), at most CANDIDATES.

        scale: the side of the part of that photo that this one shows, about; above 1 where this one shows more.
        """
        found: dict[int, tuple[float, float]] = {}
        # The whole of both; this one is a crop of that one; that one is a crop of this one.
        bases = [_basis(thumbnail) for thumbnail in print.thumbnails]
        for mine, theirs, scale in ((0, 0, 1.0), (0, 1, INNER), (1, 0, 1 / INNER)):
            close = np.flatnonzero(_bits(self._hashes[: self._count, theirs] ^ print.hashes[mine]) <= HAMMING)
            if len(close):
                distances = _distances(bases[mine], self._thumbnails[close, theirs])
                for number, distance in zip(close.tolist(), distances.tolist(), strict=True):
                    if distance < min(DISTANCE, found.get(number, (np.inf, 0))[0]):
                        found[number] = (distance, scale)
        best = sorted((distance, number, scale) for number, (distance, scale) in found.items())
        return [(number, scale) for _, number, scale in best[:CANDIDATES]]


def _basis(thumbnail: NDArray[np.uint8]) -> Floats:
    """[12, 12] → [144, 6]: orthonormal directions of what a tangent distance ignores."""
    basis: Floats = np.linalg.qr(tangents(thumbnail.astype(np.float32)).reshape(-1, 6))[0]
    return basis


def _distances(basis: Floats, others: NDArray[np.uint8]) -> Floats:
    """Tangent distances to thumbnails [n, 12, 12], each in parts of the thumbnail's variance → [n]."""
    rows = others.reshape(len(others), -1).astype(np.float32)
    rows -= rows.mean(axis=1, keepdims=True)
    whole = (rows**2).sum(axis=1)
    distances: Floats = 1 - ((rows @ basis) ** 2).sum(axis=1) / np.maximum(whole, 1e-3)
    return distances


def _bits(values: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """Number of set bits. By halves, because numpy before 2.0 has no bitwise_count."""
    if hasattr(np, "bitwise_count"):
        return np.asarray(np.bitwise_count(values))
    ones = values - ((values >> np.uint64(1)) & np.uint64(0x5555555555555555))
    ones = (ones & np.uint64(0x3333333333333333)) + ((ones >> np.uint64(2)) & np.uint64(0x3333333333333333))
    ones = (ones + (ones >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    counted: NDArray[np.uint8] = ((ones * np.uint64(0x0101010101010101)) >> np.uint64(56)).astype(np.uint8)
    return counted
