"""Whether two pictures are the same photo, pixel by pixel.

One is shifted and scaled onto the other (Lucas and Kanade, 1981), and brightness and contrast are fitted. The two are
the same photo where no cell of 1/16 of the side differs by LOCAL grey levels in the mean (nor a cell of 1/8 in a
colour, nor the whole in its colour), and where details finer than 1/8 of the side are correlated by DETAIL. A copy
differs a little everywhere; another mouth, pose or colour of hair differs a lot in one place. Skies and gradients have
no such details: their brightness must be the same, too, to SMOOTH, so that a brighter sky is another photo.

The numbers were measured on faces, sketches, flowers and drawn avatars at 32, 64 and 128 px. LOCAL: of copies (JPEG
quality 20, halved, brightened by 10 %, cropped by 2 to 6 %) 97 in 100 lie below 11 from 64 px on (18 at 32 px, 23 for
avatars); different photos lie above 40, sketches above 33, avatars of other mouths, eyes or hair above 26. DETAIL:
copies lie above 0.91; rendered planets before one dark ground lie below 0.84.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

LOCAL = 22.0  # grey levels
DETAIL = 0.88
COARSE = 40.0  # as LOCAL, at 32 px, where copies lie below 33
SMOOTH = 12.0  # as LOCAL, of a sky or a gradient, which differs from another one by brightness and colour alone
FAINT = 2.0  # grey levels: details fainter than what saving leaves behind are not compared
UNRELATED = 0.1  # correlation of finer details; 0.13 and more in copies that were halved or saved badly
_ALIGNED, _FINE, _CELLS = 64, 32, 16

Floats = NDArray[np.floating[Any]]
Box = tuple[float, float, float, float]
"""A part of a picture: width and height, then how far its centre lies to the right and down; in parts of the side."""


def same_photo(one: NDArray[np.uint8], other: NDArray[np.uint8], scale: float = 1.0) -> bool:
    """Whether a person would call two pictures, uint8 [S, S, 3], the same photo. scale: see `Seen.near`."""
    local, detail = differences(one, other, scale)
    return local < LOCAL and detail > DETAIL


def differences(one: NDArray[np.uint8], other: NDArray[np.uint8], scale: float = 1.0) -> tuple[float, float]:
    """(largest difference of a cell in grey levels, correlation of details), once `other` is brought onto `one`.

    (infinity, 0) where it cannot be: shift and scale must stay small, and contrast change by less than half.
    """
    box: Box = (scale, scale, 0.0, 0.0)
    local, detail = float("inf"), 0.0
    # Most pairs are told apart at 32 px already, at a quarter of the cost.
    for side, steps in ((_FINE, 5), (_ALIGNED, 3)) if len(one) > _FINE else ((len(one), 6),):
        small, source = (_reduced(pixels, min(side, len(one))) for pixels in (one, other))
        found = _aligned(_luma(small), _luma(source), box, steps)
        if found is None:
            return float("inf"), 0.0
        box = found
        inside = _inside(box, len(small))
        moved = np.stack([_warped(source[..., channel], box) for channel in range(3)], axis=-1)
        cell = max(1, len(small) // _CELLS)
        local = min(_left(small, moved, inside, cell), _left(moved, small, inside, cell))
        if local > COARSE:
            break
        strengths, detail = _correlation(_luma(small), _luma(moved), inside, _FINE)
        if max(strengths) < FAINT:  # nothing to compare, unless in what is finer still
            alike = len(one) < _FINE or _cells((small - moved) * inside[..., None], cell) < SMOOTH
            detail = _finer(one, other, box, alike) if local < LOCAL else 1.0
    return local, detail


def _finer(one: NDArray[np.uint8], other: NDArray[np.uint8], box: Box, alike: bool) -> float:
    """1 where details above 32 px are related, 0 where they are not; `alike` where they are not strong in both.

    Saving and resizing take them from one.
    """
    luma, theirs = (_luma(pixels.astype(np.float32)) for pixels in (one, other))
    boxes: tuple[Box, Box] = (box, (1.0, 1.0, 0.0, 0.0))  # as aligned, which is not exact to a pixel, and as they are
    side = 2 * _FINE
    while side <= len(one):
        found = [_correlation(luma, _warped(theirs, part), _inside(part, len(one)), side) for part in boxes]
        strong = [detail for strengths, detail in found if min(strengths) > FAINT]
        if len(strong) == len(found):
            if max(strong) < UNRELATED:
                return 0.0
            alike = True
        side *= 2
    return float(alike)


def _correlation(one: Floats, other: Floats, inside: NDArray[np.bool_], side: int) -> tuple[tuple[float, float], float]:
    """Of what is finer than a quarter of `side`, at `side` px: how strong it is in each, and the correlation."""
    if len(one) < side:
        return (0.0, 0.0), 1.0
    weights = np.asarray(Image.fromarray(inside.astype(np.float32)).resize((side, side), Image.Resampling.BOX))
    a, b = (_fine(luma, side) * (weights > 0.99) for luma in (one, other))
    first, second = (float(np.sqrt((part**2).mean())) for part in (a, b))
    return (first, second), float((a * b).mean() / max(first * second, 1e-6))


def _fine(luma: Floats, side: int) -> Floats:
    image = Image.fromarray(luma).resize((side, side), Image.Resampling.BOX)
    coarse = image.resize((side // 4, side // 4), Image.Resampling.BOX).resize(image.size, Image.Resampling.BICUBIC)
    fine: Floats = np.asarray(image) - np.asarray(coarse)
    return fine


def _left(one: Floats, other: Floats, inside: NDArray[np.bool_], cell: int) -> float:
    """The largest difference of a cell that brightness and contrast do not explain. Both [s, s, 3]."""
    mean, other_mean = one[inside].mean(axis=0), other[inside].mean(axis=0)
    a, b = one[inside] - mean, other[inside] - other_mean
    spread = float((b * b).sum())
    gain = float((a * b).sum()) / spread if spread > 0 else 1.0
    if not 0.6 < gain < 1.7:
        return float("inf")
    cast = mean - gain * other_mean  # brightness and contrast move all channels alike; another colour does not
    if float(np.abs(cast - cast.mean()).max()) > LOCAL:
        return float("inf")
    fitted = np.clip(gain * (other - other_mean) + mean, 0, 255)
    rest: Floats = (one - fitted) * inside[..., None]
    return _cells(rest, cell)


def _cells(rest: Floats, cell: int) -> float:
    """The largest mean of luma in cells, and of colours, which saving changes more, in cells twice as wide.

    rest: [s, s, 3].
    """
    return max(_largest(_luma(rest), cell), _largest(rest, 2 * cell))


def _largest(rest: Floats, cell: int) -> float:
    """The largest mean of a cell, regardless of sign. rest: [s, s] or [s, s, 3]."""
    count = len(rest) // cell
    cells = rest[: count * cell, : count * cell].reshape(count, cell, count, cell, -1).mean(axis=(1, 3))
    return float(np.abs(cells).max())


def _reduced(pixels: NDArray[np.uint8], side: int) -> Floats:
    return np.asarray(Image.fromarray(pixels).resize((side, side), Image.Resampling.BOX), np.float32)


def _luma(pixels: Floats) -> Floats:
    luma: Floats = pixels @ np.array([0.299, 0.587, 0.114], np.float32)
    return luma


def _aligned(one: Floats, other: Floats, box: Box, steps: int) -> Box | None:
    """The part of `other` that `one` shows, found from a part close to it; None where the two do not fit."""
    width, height, x, y = box
    wanted = one.ravel()
    for _ in range(steps):
        moved = _warped(other, (width, height, x, y))
        inside = _inside((width, height, x, y), len(one)).ravel()
        columns = tangents(moved).reshape(len(wanted), -1)[inside]
        square = columns.T @ columns
        square[np.diag_indices(len(square))] += 1e-3 * (1 + np.trace(square) / len(square) * 1e-3)
        _, gain, dx, dy, wide, high = np.linalg.solve(square, columns.T @ wanted[inside]).tolist()
        if not 0.4 < gain < 2.5:
            return None
        x, y = x + width * dx / gain, y + height * dy / gain
        width, height = width * (1 + wide / gain), height * (1 + high / gain)
        if not (0.8 < width < 1.25 and 0.8 < height < 1.25 and abs(x) < 0.12 and abs(y) < 0.12):
            return None
    return width, height, x, y


def tangents(image: Floats) -> Floats:
    """[s, s] → [s, s, 6]: a constant, the picture, and its derivatives by a shift in x and y and a scale in x and y.

    Shifts are in parts of the side.
    """
    side = len(image)
    down, right = np.gradient(image) if side > 1 else (np.zeros_like(image), np.zeros_like(image))
    place = ((np.arange(side, dtype=np.float32) + 0.5) / side - 0.5) * side
    parts = [np.ones_like(image), image, right * side, down * side, right * place, down * place[:, None]]
    return np.stack(parts, axis=-1)


def _warped(image: Floats, box: Box) -> Floats:
    """The part of an image, [s, s] → [s, s], bilinear; the edge goes on outside."""
    columns, rows = _places(box, len(image))
    across = _interpolated(image, rows)
    return _interpolated(across.T, columns).T


def _interpolated(image: Floats, places: Floats) -> Floats:
    last = len(image) - 1
    places = np.clip(places, 0, last)
    low = np.minimum(places.astype(np.int64), max(last - 1, 0))
    part = (places - low)[:, None].astype(np.float32)
    mixed: Floats = image[low] * (1 - part) + image[np.minimum(low + 1, last)] * part
    return mixed


def _places(box: Box, side: int) -> tuple[Floats, Floats]:
    """Where the columns and rows of a part lie in the image, in pixels."""
    width, height, x, y = box
    centred: Floats = (np.arange(side, dtype=np.float32) + 0.5) / side - 0.5
    return (centred * width + x + 0.5) * side - 0.5, (centred * height + y + 0.5) * side - 0.5


def _inside(box: Box, side: int) -> NDArray[np.bool_]:
    columns, rows = (((place >= -0.75) & (place <= side - 0.25)) for place in _places(box, side))
    inside: NDArray[np.bool_] = rows[:, None] & columns[None, :]
    return inside
