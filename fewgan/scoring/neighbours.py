"""Does a generator copy its photos? Samples beside their nearest training photos in feature space, and numbers."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from fewgan import distributed
from fewgan.scoring.curve import GREY, INK, plain
from fewgan.scoring.distances import nearest
from fewgan.scoring.extract import Pictures

NEIGHBOURS = 3
ROWS = 6  # of each of the two blocks
SMALLEST, LARGEST = 96, 192  # side of a picture as shown
GAP, CAPTION, MARGIN = 6, 20, 24
KEPT = 256  # pictures held at once


@dataclass(frozen=True)
class Memorising:
    """Euclidean distances in feature space, medians over the pictures.

    samples: from a sample to its nearest training photo. photos: from a training photo to its nearest other one, the
    yardstick. held_out: from a held-out photo to its nearest training photo, None without such photos. closer: the
    share of samples nearer to a training photo than `photos`; about half is to be expected of new photos of the same
    kind, and much more of copies. copies: the share nearer than any two training photos are to each other.
    """

    samples: float
    photos: float
    held_out: float | None
    closer: float
    copies: float

    def __str__(self) -> str:
        words = f"{100 * self.closer:.0f} % of the samples are nearer to a training photo than those are to each other"
        beside = "about 50 % is usual for new photos"
        if self.copies:
            beside += f"; {100 * self.copies:.0f} % are nearer than any two of them, look at nearest.png"
        return f"{words} ({beside})"


@dataclass(frozen=True)
class Yardstick:
    """What samples are held against. photos float32 [n, d]: the training photos' features."""

    photos: Tensor
    typical: float
    smallest: float
    held_out: float | None

    @classmethod
    def of(cls, photos: Tensor, held_out: Tensor | None = None) -> Yardstick:
        own, _ = nearest(photos, photos, same=True)
        far = None if held_out is None else float(nearest(held_out, photos)[0].median())
        return cls(photos, float(own.median()), float(own.min()), far)


@dataclass(frozen=True)
class Sample:
    """A sample to show: its number, picture uint8 [3, S, S], and its nearest photos with their distances."""

    index: int
    picture: Tensor
    photos: tuple[int, ...]
    distances: tuple[float, ...]


@dataclass
class Watch:
    """Sees samples go by, keeps the nearest to a photo and an even choice of all; memory does not grow with count."""

    yardstick: Yardstick
    count: int
    closest: list[Sample] = field(default_factory=list)
    _even: list[Sample] = field(default_factory=list)
    _distances: list[Tensor] = field(default_factory=list)
    _waiting: list[tuple[int, Tensor, Tensor]] = field(default_factory=list)

    def see(self, first: int, pictures: Tensor, features: Tensor) -> None:
        """pictures uint8 [n, 3, S, S] and features float32 [n, d] of the samples from number `first` on."""
        self._waiting.append((first, pictures, features))
        # Several groups at once: each search walks through all photos.
        if sum(len(rows) for _, _, rows in self._waiting) >= KEPT:
            self._look()

    def _look(self) -> None:
        if not self._waiting:
            return
        distances, photos = nearest(
            torch.cat([rows for _, _, rows in self._waiting]), self.yardstick.photos, NEIGHBOURS
        )
        self._distances.append(distances[:, 0])
        spread = set(np.linspace(0, self.count - 1, 2 * ROWS).round().astype(int).tolist())
        pictures = [(first + at, image) for first, images, _ in self._waiting for at, image in enumerate(images)]
        self._waiting = []
        near = set(distances[:, 0].topk(min(ROWS, len(distances)), largest=False).indices.tolist())
        for row, (index, image) in enumerate(pictures):
            if row in near or index in spread:
                made = Sample(index, image.clone(), tuple(photos[row].tolist()), tuple(distances[row].tolist()))
                if row in near:
                    self.closest.append(made)
                if index in spread:
                    self._even.append(made)
        self.closest = sorted(self.closest, key=lambda sample: sample.distances[0])[:ROWS]

    def join(self) -> None:
        """Makes one of what several processes have seen, each a part of the samples in order of rank."""
        self._look()
        parts = distributed.all_gather_object((self.closest, self._even, self._distances))
        closest, even, distances = ([one for part in parts for one in part[kind]] for kind in range(3))
        self.closest = sorted(closest, key=lambda sample: sample.distances[0])[:ROWS]
        self._even, self._distances = even, distances

    def even(self) -> list[Sample]:
        """Samples evenly spread over all of them, none of which is among the closest."""
        shown = {sample.index for sample in self.closest}
        others = [sample for sample in self._even if sample.index not in shown]
        return [others[index * len(others) // ROWS] for index in range(ROWS)] if len(others) > ROWS else others

    def result(self) -> Memorising:
        """The numbers, once every sample has been seen."""
        self._look()
        distances, yardstick = torch.cat(self._distances), self.yardstick
        return Memorising(
            samples=float(distances.median()),
            photos=yardstick.typical,
            held_out=yardstick.held_out,
            closer=float((distances < yardstick.typical).double().mean()),
            copies=float((distances < yardstick.smallest).double().mean()),
        )


def draw(watch: Watch, photos: Pictures, *, title: str) -> Image.Image:
    """Two blocks side by side, the closest samples and an even choice, each a row with its nearest photos."""
    numbers = watch.result()
    blocks = [("Samples nearest to a photo", watch.closest), ("Samples, an even choice", watch.even())]
    blocks = [(head, rows) for head, rows in blocks if rows]
    wanted = sorted({index for _, rows in blocks for sample in rows for index in sample.photos})
    found = dict(zip(wanted, photos.read(wanted), strict=True))
    side = _side(blocks[0][1][0].picture.shape[-1])
    columns = 1 + len(blocks[0][1][0].photos)
    block = columns * side + columns * GAP + GAP  # one more gap parts the sample from its photos
    head = 104
    height = head + max(len(rows) for _, rows in blocks) * (side + CAPTION + GAP) + MARGIN
    width = max(2 * MARGIN + len(blocks) * block + (len(blocks) - 1) * 2 * MARGIN, 2 * MARGIN + 640)
    page = Image.new("RGB", (width, height), "white")
    pen = ImageDraw.Draw(page)
    _text(pen, (MARGIN, 26), title, width - 2 * MARGIN, size=20)
    yardstick = f"Distance to the nearest training photo: samples {numbers.samples:.3g}"
    yardstick += f", training photos themselves {numbers.photos:.3g}"
    yardstick += "" if numbers.held_out is None else f", held-out photos {numbers.held_out:.3g}"
    _text(pen, (MARGIN, 52), f"{yardstick} (medians)", width - 2 * MARGIN, size=14, colour=GREY)
    for number, (name, rows) in enumerate(blocks):
        left = MARGIN + number * (block + 2 * MARGIN)
        _text(pen, (left, 86), f"{name} | their nearest photos", block, size=14)
        for row, sample in enumerate(rows):
            top = head + row * (side + CAPTION + GAP)
            page.paste(_shown(sample.picture, side), (left, top))
            _text(pen, (left, top + side + 10), f"sample {sample.index}", side, size=13)
            for place, (photo, distance) in enumerate(zip(sample.photos, sample.distances, strict=True), 1):
                x = left + place * (side + GAP) + GAP
                page.paste(_shown(found[photo], side), (x, top))
                _text(pen, (x, top + side + 10), f"{distance:.3g}", side, size=13, colour=GREY)
    return page


def _side(size: int) -> int:
    """The size itself, or a multiple of it that is large enough to look at."""
    return min(size * max(1, -(-SMALLEST // size)), LARGEST)


def _shown(picture: Tensor, side: int) -> Image.Image:
    image = Image.fromarray(picture.permute(1, 2, 0).numpy())
    return image if image.size == (side, side) else image.resize((side, side), Image.Resampling.BICUBIC)


def _text(
    pen: ImageDraw.ImageDraw, place: tuple[float, float], text: str, room: float, *, size: int, colour: str = INK
) -> None:
    font, text = ImageFont.load_default(size=size), plain(text)
    while pen.textlength(text, font) > room and len(text) > 3:
        text = text.removesuffix("...")[:-1] + "..."
    pen.text(place, text, fill=colour, font=font, anchor="lm")
