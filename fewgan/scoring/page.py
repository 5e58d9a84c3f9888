"""The picture of samples beside their nearest training photos."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from torch import Tensor

from fewgan.scoring.extract import Pictures
from fewgan.scoring.figures import GREY, INK, drawn, figure, label
from fewgan.scoring.neighbours import NearestNeighbours, Neighbour, Sample

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SMALLEST, LARGEST = 96, 192  # side of a picture as shown, in pixels
GAP, CAPTION, MARGIN, HEAD = 6, 20, 24, 104
DPI = 100
Pixels = np.ndarray[Any, Any]
_LETTER = 0.55  # width of a letter of the font, of its height


def draw(found: NearestNeighbours, photos: Pictures, *, title: str, photo: str = "training photo") -> Image.Image:
    """Two blocks side by side, the closest samples and an even choice, each a row with its nearest photos.

    photo: what a single one of them is.
    """
    summary = _summary(found, photo)  # first: it completes the search
    blocks = [("Samples closest to a photo", found.closest), ("Samples, an even choice", found.even())]
    blocks = [(head, rows) for head, rows in blocks if rows]
    side = _side(blocks[0][1][0].picture.shape[-1])
    columns = 1 + len(blocks[0][1][0].neighbours)
    block = columns * (side + GAP) + GAP  # one more gap separates the sample from its photos
    width = max(2 * MARGIN + len(blocks) * block + (len(blocks) - 1) * 2 * MARGIN, 2 * MARGIN + 700)
    height = HEAD + max(len(rows) for _, rows in blocks) * (side + CAPTION + GAP) + MARGIN
    page = _Page(figure(width / DPI, height / DPI, DPI), height)
    page.text(MARGIN, 26, title, 20, width - 2 * MARGIN)
    page.text(MARGIN, 54, summary, 13, width - 2 * MARGIN, colour=GREY)
    shown = _Photos(photos, [rows for _, rows in blocks], side)
    for number, (name, rows) in enumerate(blocks):
        left = MARGIN + number * (block + 2 * MARGIN)
        page.text(left, 86, f"{name} | their nearest photos", 14, block)
        for row, sample in enumerate(rows):
            top = HEAD + row * (side + CAPTION + GAP)
            page.picture(left, top, _pixels(sample.picture, side))
            page.text(left, top + side + 10, f"sample {sample.index}", 12, side)
            for place, neighbour in enumerate(sample.neighbours, 1):
                x = left + place * (side + GAP) + GAP
                page.picture(x, top, shown.of(neighbour))
                caption = f"{neighbour.distance:.3g}" + (", mirrored" if neighbour.mirrored else "")
                page.text(x, top + side + 10, caption, 12, side, colour=GREY)
    return drawn(page.figure)


def _summary(found: NearestNeighbours, photo: str) -> str:
    numbers = found.result()
    words = f"Median distance to the nearest {photo}: samples {numbers.samples:.3g}"
    words += f", other {photo}s {numbers.photos:.3g}"
    return words + ("" if numbers.held_out is None else f", held-out photos {numbers.held_out:.3g}")


class _Page:
    """A figure that is drawn on in pixels from its upper left corner."""

    def __init__(self, made: Figure, height: int) -> None:
        self.figure, self._height = made, height

    def text(self, x: float, y: float, text: str, size: int, room: float, *, colour: str = INK) -> None:
        """One line in pixels of height `size`, centred vertically on y, cut to `room` pixels."""
        width, height = self.figure.get_size_inches() * DPI
        words = label(text, int(room / (size * _LETTER)))
        points = size * 72 / DPI
        self.figure.text(x / width, 1 - y / height, words, fontsize=points, color=colour, va="center_baseline")

    def picture(self, x: int, y: int, pixels: Pixels) -> None:
        """Pixels uint8 [S, S, 3], one to one."""
        self.figure.figimage(pixels, x, self._height - y - len(pixels), origin="upper")


class _Photos:
    """The photos that appear on the page, each read once."""

    def __init__(self, photos: Pictures, blocks: Sequence[Sequence[Sample]], side: int) -> None:
        wanted = sorted({one.photo for rows in blocks for sample in rows for one in sample.neighbours})
        self._found, self._side = dict(zip(wanted, photos.read(wanted), strict=True)), side

    def of(self, neighbour: Neighbour) -> Pixels:
        photo = self._found[neighbour.photo]
        return _pixels(photo.flip(2) if neighbour.mirrored else photo, self._side)


def _side(size: int) -> int:
    """The size itself, or a multiple of it that is large enough to look at."""
    return min(size * max(1, -(-SMALLEST // size)), LARGEST)


def _pixels(picture: Tensor, side: int) -> Pixels:
    image = Image.fromarray(picture.permute(1, 2, 0).numpy())
    return np.asarray(image if image.size == (side, side) else image.resize((side, side), Image.Resampling.BICUBIC))
