"""Distances between two sets of features: Fréchet, kernel, precision and recall, nearest neighbours.

Everything is computed in float64 on the CPU and in tiles, so that memory does not grow with the product of the counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fewgan.errors import UsageError

Features = Tensor | np.ndarray[Any, Any]
"""[count, dim], any float type."""

TILE = 512  # rows; small enough for the allocator to use the same memory again


@dataclass(frozen=True)
class Kernel:
    """Kernel distance (KID). mean, deviation: over subsets, as it is published. full: one estimate from all features,
    which has the least noise."""

    mean: float
    deviation: float
    full: float


def frechet(a: Features, b: Features) -> float:
    """Squared Fréchet distance of the Gaussians fitted to a [n, d] and b [m, d] (Heusel et al. 2017, arXiv 1706.08500).

    Covariances divide by n - 1. Tr sqrt(Σa Σb) is the nuclear norm of A Bᵀ / sqrt((n - 1)(m - 1)) for the centred
    features A and B, so no matrix square root is taken and singular covariances (few photos) need no correction.
    Raises UsageError with fewer than 2 rows on a side.
    """
    a, b = _pair(a, b)
    mean_a, variance_a = _moments(a)
    mean_b, variance_b = _moments(b)
    if min(len(a), len(b)) > a.shape[1]:
        # Both sides have more rows than dimensions: R of the QR decomposition has the same scatter and is smaller.
        product = _triangle(a, mean_a) @ _triangle(b, mean_b).T
    else:
        few, mean, many = (a, mean_a, b) if len(a) <= len(b) else (b, mean_b, a)
        rows = few.double() - mean
        product = torch.cat([rows @ tile.T for tile in _tiles(many)], dim=1)
        product -= product.mean(dim=1, keepdim=True)  # the same as centring the many
    cross = torch.linalg.svdvals(product).sum() / ((len(a) - 1) * (len(b) - 1)) ** 0.5
    return max(float((mean_a - mean_b).square().sum() + variance_a + variance_b - 2 * cross), 0.0)


def kid(a: Features, b: Features, *, subsets: int = 100, size: int = 1000, seed: int = 0) -> Kernel:
    """Squared maximum mean discrepancy under k(x, y) = (x·y / d + 1)³, unbiased (Bińkowski et al. 2018, 1801.01401).

    a [n, d], b [m, d]. Subsets hold min(size, n, m) rows of each side, drawn from `seed`; the deviation is the
    population one. It may be negative. Raises UsageError with fewer than 2 rows on a side.
    """
    a, b = _pair(a, b)
    size = min(size, len(a), len(b))
    random = np.random.default_rng(seed)
    chosen_a, chosen_b = (torch.zeros(len(side), subsets + 1, dtype=torch.float64) for side in (a, b))
    for column in range(subsets):
        for chosen in (chosen_a, chosen_b):
            chosen[random.choice(len(chosen), size, replace=False), column] = 1
    chosen_a[:, -1] = chosen_b[:, -1] = 1  # the last subset is everything
    across = _across(a, b, chosen_a, chosen_b) / (chosen_a.sum(dim=0) * chosen_b.sum(dim=0))
    values = _within(a, chosen_a) + _within(b, chosen_b) - 2 * across
    some = values[:-1]
    return Kernel(mean=float(some.mean()), deviation=float(some.std(correction=0)), full=float(values[-1]))


def precision_recall(real: Features, fake: Features, k: int = 3) -> tuple[float, float]:
    """Precision and recall (Kynkäänniemi et al. 2019, arXiv 1904.06991), each in [0, 1].

    Precision: the share of fakes inside a ball of some real, whose radius is the distance to its k-th nearest real.
    Recall: the reverse. real [n, d], fake [m, d]; with k or fewer rows on a side the farthest neighbour takes the
    place of the k-th.
    """
    real, fake = _pair(real, fake)
    return _covered(real, fake, k), _covered(fake, real, k)


def nearest(a: Features, b: Features, k: int = 1, *, same: bool = False) -> tuple[Tensor, Tensor]:
    """The k rows of b nearest to each row of a: Euclidean distances float64 [n, k], rising, and indices int64 [n, k].

    a [n, d], b [m, d]. same: a and b are one set, and no row is its own neighbour. k is at most m (m - 1 with same).
    """
    a, b = torch.as_tensor(a).detach().cpu(), torch.as_tensor(b).detach().cpu()
    found = []
    for start in range(0, len(a), TILE):
        rows = a[start : start + TILE].double()
        _, indices = _smallest(rows, b, k, start if same else None)
        # Once more without the cancellation of the expanded square, so that a copy is at distance 0.
        distances = torch.stack([(rows - b[column].double()).norm(dim=1) for column in indices.T], dim=1)
        distances, order = distances.sort(dim=1, stable=True)
        found.append((distances, indices.gather(1, order)))
    return torch.cat([pair[0] for pair in found]), torch.cat([pair[1] for pair in found])


def _pair(a: Features, b: Features) -> tuple[Tensor, Tensor]:
    a, b = torch.as_tensor(a).detach().cpu(), torch.as_tensor(b).detach().cpu()
    if min(len(a), len(b)) < 2:
        raise UsageError(f"a distance needs at least 2 pictures on each side; there are {len(a)} and {len(b)}")
    return a, b


def _tiles(x: Tensor, count: int = TILE) -> Iterator[Tensor]:
    for start in range(0, len(x), count):
        yield x[start : start + count].double()


def _moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """The mean [d] and the trace of the covariance."""
    total, squares = torch.zeros(x.shape[1], dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    shift = x[0].double()  # near enough to the mean that the squares keep their digits
    for tile in _tiles(x):
        moved = tile - shift
        total += moved.sum(dim=0)
        squares += torch.linalg.vector_norm(moved).square()
    mean = total / len(x)
    return mean + shift, (squares - len(x) * mean.square().sum()) / (len(x) - 1)


def _triangle(x: Tensor, mean: Tensor) -> Tensor:
    """R [d, d] of the centred x = Q R, some rows at a time."""
    triangle = torch.empty(0, x.shape[1], dtype=torch.float64)
    for rows in _tiles(x, 4 * x.shape[1]):  # fewer rows would be decomposed together with R too often
        triangle = torch.linalg.qr(torch.cat((triangle, rows - mean)), mode="r").R
    return triangle


def _kernel(x: Tensor, y: Tensor) -> Tensor:
    return (x @ y.T / x.shape[1] + 1) ** 3


# A sum of the kernel over a subset is vᵀ K v with a 0/1 vector v: all subsets come from one pass over K.


def _across(a: Tensor, b: Tensor, chosen_a: Tensor, chosen_b: Tensor) -> Tensor:
    """The kernel's sums over the pairs of a [n, d] and b [m, d] in each subset; chosen [n, s], [m, s] -> [s]."""
    total = torch.zeros(chosen_a.shape[1], dtype=torch.float64)
    for x, of_x in zip(_tiles(a), _tiles(chosen_a), strict=True):
        for y, of_y in zip(_tiles(b), _tiles(chosen_b), strict=True):
            total += (of_x * (_kernel(x, y) @ of_y)).sum(dim=0)
    return total


def _within(a: Tensor, chosen: Tensor) -> Tensor:
    """The kernel's means over the pairs of different rows of a [n, d] in each subset; chosen [n, s] -> [s]."""
    total = torch.zeros(chosen.shape[1], dtype=torch.float64)
    for start in range(0, len(a), TILE):
        rows, of_rows = a[start : start + TILE].double(), chosen[start : start + TILE]
        total += (of_rows * (_kernel(rows, rows).fill_diagonal_(0) @ of_rows)).sum(dim=0)
        rest = slice(start + TILE, None)
        total += 2 * _across(rows, a[rest], of_rows, chosen[rest])
    counts = chosen.sum(dim=0)
    return total / (counts * (counts - 1))


def _square_distances(rows: Tensor, b: Tensor, own: int | None) -> Iterator[tuple[int, Tensor]]:
    """Tiles (first column, squared distances of float64 rows to rows of b). own: which row of b the first row is."""
    squares = rows.square().sum(dim=1, keepdim=True)
    for first in range(0, len(b), TILE):
        columns = b[first : first + TILE].double()
        tile = (squares + columns.square().sum(dim=1) - 2 * rows @ columns.T).clamp_min_(0)
        if own is not None:
            mine = torch.arange(own, own + len(rows)).unsqueeze(1) == torch.arange(first, first + len(columns))
            tile.masked_fill_(mine, torch.inf)
        yield first, tile


def _smallest(rows: Tensor, b: Tensor, k: int, own: int | None) -> tuple[Tensor, Tensor]:
    """The k smallest squared distances of float64 rows to rows of b, [n, k], and whose they are."""
    k = min(k, len(b) - (own is not None))
    squares, indices = torch.empty(len(rows), 0, dtype=torch.float64), torch.empty(len(rows), 0, dtype=torch.int64)
    for first, tile in _square_distances(rows, b, own):
        values, columns = tile.topk(min(k, tile.shape[1]), largest=False)
        squares, indices = torch.cat((squares, values), dim=1), torch.cat((indices, columns + first), dim=1)
        squares, order = squares.topk(min(k, squares.shape[1]), largest=False)
        indices = indices.gather(1, order)
    return squares, indices


def _covered(centres: Tensor, points: Tensor, k: int) -> float:
    """The share of points inside a ball of some centre, the border included."""
    radii = torch.cat([_smallest(t, centres, k, i * TILE)[0].amax(dim=1) for i, t in enumerate(_tiles(centres))])
    inside = 0
    for rows in _tiles(points):
        covered = torch.zeros(len(rows), dtype=torch.bool)
        for first, tile in _square_distances(rows, centres, None):
            covered |= (tile <= radii[first : first + tile.shape[1]]).any(dim=1)
        inside += int(covered.sum())
    return inside / len(points)
