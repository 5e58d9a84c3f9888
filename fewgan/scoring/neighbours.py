"""Does a generator copy its photos? The nearest training photos of its samples in feature space, and numbers."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from fewgan import distributed
from fewgan.scoring.distances import nearest
from fewgan.scoring.manifold import nearest_other

NEIGHBOURS = 3
ROWS = 6  # samples to show of each kind, the closest and an even choice
KEPT = 256  # samples held in memory at once


@dataclass(frozen=True)
class Memorising:
    """Euclidean distances in feature space, medians over the pictures.

    samples: from a sample to its nearest training photo. photos: from a training photo to its nearest other one.
    held_out: from a held-out photo to its nearest training photo, None without such photos. closer: the share of
    samples whose distance is below `photos`; new photos of the same kind have about one half, copies much more.
    copies: the share of samples that are closer to a training photo than any two training photos to each other.
    mirrored: whether mirrored photos were searched too, because the training used them.
    """

    samples: float
    photos: float
    held_out: float | None
    closer: float
    copies: float
    mirrored: bool = False

    def text(self, photo: str) -> str:
        """photo: what the samples were compared with, such as "training photo"."""
        words = f"{100 * self.closer:.0f} % of the samples are closer to a {photo} than the median distance between "
        words += f"{photo}s (new ones: about 50 %)"
        if self.copies:
            words += f"; {100 * self.copies:.0f} % are closer than any two of them: look at nearest.png"
        return words


@dataclass(frozen=True)
class ReferenceSet:
    """The training photos that samples are compared with.

    rows float32 [n or 2 n, d]: their features, followed by those of the mirrored photos where training mirrored them.
    count: n. typical, smallest, held_out: see Memorising (photos; the smallest of those distances; held_out).
    """

    rows: Tensor
    count: int
    typical: float
    smallest: float
    held_out: float | None

    @classmethod
    def of(cls, photos: Tensor, held_out: Tensor | None = None, mirrored: Tensor | None = None) -> ReferenceSet:
        """From features float32 [n, d] of training photos, of held-out ones, and of the mirrored training photos."""
        rows = photos if mirrored is None else torch.cat((photos, mirrored))
        own = nearest_other(photos, rows)
        far = None if held_out is None else _median(nearest(held_out, rows)[0][:, 0])
        return cls(rows, len(photos), _median(own), float(own.min()), far)


@dataclass(frozen=True)
class Neighbour:
    """photo: the number of a training photo. mirrored: whether it is its mirror image that is near."""

    photo: int
    distance: float
    mirrored: bool


@dataclass(frozen=True)
class Sample:
    """A sample to show: its number, picture uint8 [3, S, S], and its nearest training photos, closest first."""

    index: int
    picture: Tensor
    neighbours: tuple[Neighbour, ...]


@dataclass
class NearestNeighbours:
    """Compares samples with the training photos as they are made.

    Keeps the closest ones and an even choice of all; memory does not grow with `count`, the number of samples.
    """

    reference: ReferenceSet
    count: int
    closest: list[Sample] = field(default_factory=list)
    _even: list[Sample] = field(default_factory=list)
    _distances: list[Tensor] = field(default_factory=list)
    _waiting: list[tuple[int, Tensor, Tensor]] = field(default_factory=list)

    def see(self, first: int, pictures: Tensor, features: Tensor) -> None:
        """Takes pictures uint8 [n, 3, S, S] and features float32 [n, d] of the samples from number `first` on."""
        self._waiting.append((first, pictures, features))
        # Several batches at once: each search reads all photos.
        if sum(len(rows) for _, _, rows in self._waiting) >= KEPT:
            self._search()

    def _search(self) -> None:
        if not self._waiting:
            return
        rows = torch.cat([features for _, _, features in self._waiting])
        # A photo and its mirror image can both be near; twice as many leave enough different photos.
        distances, indices = nearest(rows, self.reference.rows, min(2 * NEIGHBOURS, len(self.reference.rows)))
        self._distances.append(distances[:, 0])
        spread = set(np.linspace(0, self.count - 1, 2 * ROWS).round().astype(int).tolist())
        pictures = [(first + at, image) for first, images, _ in self._waiting for at, image in enumerate(images)]
        self._waiting = []
        near = set(distances[:, 0].topk(min(ROWS, len(distances)), largest=False).indices.tolist())
        for row, (index, image) in enumerate(pictures):
            if row in near or index in spread:
                made = Sample(index, image.clone(), self._neighbours(distances[row], indices[row]))
                if row in near:
                    self.closest.append(made)
                if index in spread:
                    self._even.append(made)
        self.closest = sorted(self.closest, key=_closeness)[:ROWS]

    def _neighbours(self, distances: Tensor, indices: Tensor) -> tuple[Neighbour, ...]:
        """The nearest different photos, each in the closer of its two forms."""
        found: dict[int, Neighbour] = {}
        for distance, index in zip(distances.tolist(), indices.tolist(), strict=True):
            photo = index % self.reference.count
            found.setdefault(photo, Neighbour(photo, distance, index >= self.reference.count))
        return tuple(found.values())[:NEIGHBOURS]

    def join(self) -> None:
        """Joins what the processes have seen, each a part of the samples in order of rank."""
        self._search()
        parts = distributed.all_gather_object((self.closest, self._even, self._distances))
        closest, even, distances = ([one for part in parts for one in part[kind]] for kind in range(3))
        self.closest = sorted(closest, key=_closeness)[:ROWS]
        self._even, self._distances = even, distances

    def even(self) -> list[Sample]:
        """Samples evenly spread over all of them, none of which is among the closest."""
        shown = {sample.index for sample in self.closest}
        others = [sample for sample in self._even if sample.index not in shown]
        return [others[index * len(others) // ROWS] for index in range(ROWS)] if len(others) > ROWS else others

    def result(self) -> Memorising:
        """The numbers, once every sample has been seen."""
        self._search()
        distances, reference = torch.cat(self._distances), self.reference
        return Memorising(
            samples=_median(distances),
            photos=reference.typical,
            held_out=reference.held_out,
            closer=float((distances < reference.typical).double().mean()),
            copies=float((distances < reference.smallest).double().mean()),
            mirrored=len(reference.rows) > reference.count,
        )


def _median(distances: Tensor) -> float:
    return float(distances.quantile(0.5))  # Tensor.median is the lower one of two in the middle


def _closeness(sample: Sample) -> float:
    return sample.neighbours[0].distance
