"""Distances between two sets of features: Fréchet distance, KID, nearest neighbours.

Everything is computed in float64 on the CPU, tile by tile. Beyond the features themselves, memory is that of a few
matrices [dim, dim], whatever the number of pictures.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fewgan.errors import UsageError

Rows = Tensor | np.ndarray[Any, Any]
"""[count, dim], any float type."""

FEW_PHOTOS = 50  # with fewer, distances depend on which photos they are
TILE = 512  # rows; small enough for the allocator to use the same memory again


@dataclass(frozen=True)
class Kernel:
    """Kernel distance (KID). mean, deviation: over subsets, as published. full: one estimate from all features."""

    mean: float
    deviation: float
    full: float


def frechet(a: Rows, b: Rows) -> float:
    """Squared Fréchet distance of the Gaussians fitted to a [n, d] and b [m, d] (Heusel et al. 2017, arXiv 1706.08500).

    Covariances divide by n - 1. Tr sqrt(Σa Σb) is the nuclear norm of A Bᵀ / sqrt((n - 1)(m - 1)) for the centred
    features A and B, so no matrix square root is taken and singular covariances (few photos) need no correction.
    Raises UsageError with fewer than 2 rows on a side.
    """
    a, b = check_pair(a, b)
    mean_a, variance_a = _moments(a)
    mean_b, variance_b = _moments(b)
    cross = torch.linalg.svdvals(_root(a, mean_a) @ _root(b, mean_b).T).sum() / ((len(a) - 1) * (len(b) - 1)) ** 0.5
    return max(float((mean_a - mean_b).square().sum() + variance_a + variance_b - 2 * cross), 0.0)


def kid(a: Rows, b: Rows, *, subsets: int = 100, size: int = 1000, seed: int = 0) -> Kernel:
    """Squared maximum mean discrepancy under k(x, y) = (x·y / d + 1)³, unbiased (Bińkowski et al. 2018, 1801.01401).

    a [n, d], b [m, d]. Subsets hold min(size, n, m) rows of each side, drawn from `seed`; the deviation is the
    population one. It may be negative. Raises UsageError with fewer than 2 rows on a side.
    """
    a, b = check_pair(a, b)
    size = min(size, len(a), len(b))
    if size == len(a) == len(b):
        subsets = 0  # each would be everything
    random = np.random.default_rng(seed)
    chosen_a, chosen_b = (torch.zeros(len(side), subsets + 1, dtype=torch.bool) for side in (a, b))
    for column in range(subsets):
        for chosen in (chosen_a, chosen_b):
            chosen[random.choice(len(chosen), size, replace=False), column] = True
    chosen_a[:, -1] = chosen_b[:, -1] = True  # the last subset is everything
    across = _across(a, b, chosen_a, chosen_b) / (chosen_a.sum(dim=0) * chosen_b.sum(dim=0))
    values = _within(a, chosen_a) + _within(b, chosen_b) - 2 * across
    some = values[:-1] if subsets else values
    return Kernel(mean=float(some.mean()), deviation=float(some.std(correction=0)), full=float(values[-1]))


def nearest(a: Rows, b: Rows, k: int = 1) -> tuple[Tensor, Tensor]:
    """The k rows of b nearest to each row of a: Euclidean distances float64 [n, k], rising, and indices int64 [n, k].

    a [n, d], b [m, d]. k is at most m.
    """
    a, b = torch.as_tensor(a).detach().cpu(), torch.as_tensor(b).detach().cpu()
    found = []
    for start in range(0, len(a), TILE):
        rows = a[start : start + TILE].double()
        _, indices = smallest(rows, b, k, None)
        # Once more without the cancellation of the expanded square, so that a copy is at distance 0.
        distances = torch.stack([(rows - b[column].double()).norm(dim=1) for column in indices.T], dim=1)
        distances, order = distances.sort(dim=1, stable=True)
        found.append((distances, indices.gather(1, order)))
    return torch.cat([pair[0] for pair in found]), torch.cat([pair[1] for pair in found])


def check_pair(a: Rows, b: Rows) -> tuple[Tensor, Tensor]:
    """Both as tensors on the CPU. Raises UsageError with fewer than 2 rows on a side."""
    a, b = torch.as_tensor(a).detach().cpu(), torch.as_tensor(b).detach().cpu()
    if min(len(a), len(b)) < 2:
        raise UsageError(f"a distance needs at least 2 pictures on each side; there are {len(a)} and {len(b)}")
    return a, b


def tiles(x: Tensor, count: int | None = None) -> Iterator[Tensor]:
    """x in parts of `count` rows, float64."""
    count = count or TILE
    for start in range(0, len(x), count):
        yield x[start : start + count].double()


def _moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """The mean [d] and the trace of the covariance."""
    total, squares = torch.zeros(x.shape[1], dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    shift = x[0].double()  # near enough to the mean that the squares keep their digits
    for tile in tiles(x):
        moved = tile - shift
        total += moved.sum(dim=0)
        squares += torch.linalg.vector_norm(moved).square()
    mean = total / len(x)
    return mean + shift, (squares - len(x) * mean.square().sum()) / (len(x) - 1)


def _root(x: Tensor, mean: Tensor) -> Tensor:
    """A matrix float64 [at most dim, dim] with the scatter of the centred x: x itself, or R of its decomposition Q R.

    Q has orthonormal columns, so that the singular values of a product of two such matrices are those of A Bᵀ.
    """
    if len(x) <= x.shape[1]:
        return x.double() - mean
    triangle = torch.empty(0, x.shape[1], dtype=torch.float64)
    for rows in tiles(x, 4 * x.shape[1]):  # fewer rows would be decomposed together with R too often
        triangle = torch.linalg.qr(torch.cat((triangle, rows - mean)), mode="r").R
    return triangle


def _kernel(x: Tensor, y: Tensor) -> Tensor:
    return (x @ y.T / x.shape[1] + 1) ** 3


# A sum of the kernel over a subset is vᵀ K v with a 0/1 vector v: all subsets come from one pass over K.


def _across(a: Tensor, b: Tensor, chosen_a: Tensor, chosen_b: Tensor) -> Tensor:
    """The kernel's sums over the pairs of a [n, d] and b [m, d] in each subset; chosen [n, s], [m, s] -> [s]."""
    total = torch.zeros(chosen_a.shape[1], dtype=torch.float64)
    for x, of_x in zip(tiles(a), tiles(chosen_a), strict=True):
        for y, of_y in zip(tiles(b), tiles(chosen_b), strict=True):
            total += (of_x * (_kernel(x, y) @ of_y)).sum(dim=0)
    return total


def _within(a: Tensor, chosen: Tensor) -> Tensor:
    """The kernel's means over the pairs of different rows of a [n, d] in each subset; chosen [n, s] -> [s]."""
    total = torch.zeros(chosen.shape[1], dtype=torch.float64)
    for start in range(0, len(a), TILE):
        rows, of_rows = a[start : start + TILE].double(), chosen[start : start + TILE].double()
        total += (of_rows * (_kernel(rows, rows).fill_diagonal_(0) @ of_rows)).sum(dim=0)
        rest = slice(start + TILE, None)
        total += 2 * _across(rows, a[rest], of_rows, chosen[rest])
    counts = chosen.sum(dim=0)
    return total / (counts * (counts - 1))


def square_distances(rows: Tensor, b: Tensor, own: int | None = None) -> Iterator[tuple[int, Tensor]]:
    """Tiles (first column, squared distances of float64 rows to rows of b). own: which row of b the first row is."""
    squares = rows.square().sum(dim=1, keepdim=True)
    for first in range(0, len(b), TILE):
        columns = b[first : first + TILE].double()
        tile = (squares + columns.square().sum(dim=1) - 2 * rows @ columns.T).clamp_min_(0)
        if own is not None:
            mine = torch.arange(own, own + len(rows)).unsqueeze(1) == torch.arange(first, first + len(columns))
            tile.masked_fill_(mine, torch.inf)
        yield first, tile


def smallest(rows: Tensor, b: Tensor, k: int, own: int | None) -> tuple[Tensor, Tensor]:
    """The k smallest squared distances of float64 rows to rows of b, [n, k], and whose they are."""
    k = min(k, len(b) - (own is not None))
    squares, indices = torch.empty(len(rows), 0, dtype=torch.float64), torch.empty(len(rows), 0, dtype=torch.int64)
    for first, tile in square_distances(rows, b, own):
        values, columns = tile.topk(min(k, tile.shape[1]), largest=False)
        squares, indices = torch.cat((squares, values), dim=1), torch.cat((indices, columns + first), dim=1)
        squares, order = squares.topk(min(k, squares.shape[1]), largest=False)
        indices = indices.gather(1, order)
    return squares, indices
