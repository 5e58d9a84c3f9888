"""Latents and labels as functions of (seed, picture): picture i does not depend on which others are made.

Everything starts from standard normal numbers. Truncation is the paper's truncated normal (Brock et al. 2018, arXiv
1809.11096, section 3.1), by inverse CDF: each number goes through the normal's CDF and comes back through that of the
normal truncated to ±t. So picture i changes smoothly with t, and a path of normal vectors becomes a path of truncated
ones.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import erf, erfinv
from torch import Tensor

from fewgan.errors import UsageError

Array = NDArray[np.float64]
ROWS = 1024  # of a path that are computed at once

# Separate streams of the same (seed, index).
LATENT, LABEL, STATISTICS_LATENT, STATISTICS_LABEL, NOISE = range(5)


def latents(
    seed: int, first: int, count: int, dim: int, truncation: float | None = None, *, stream: int = LATENT
) -> Tensor:
    """float32 [count, dim] for the pictures first … first + count − 1; row i depends on (seed, first + i) alone.

    truncation t: every value is in [−t, t]; None: standard normal. Raises UsageError unless t is finite and above 0,
    and for a seed outside 0 … 2^63 − 1.
    """
    return truncate(_normals(seed, first, count, dim, stream), truncation)


def labels(
    seed: int,
    first: int,
    count: int,
    classes: int,
    chosen: Sequence[int] | Tensor | None = None,
    *,
    counts: Sequence[int] = (),
    stream: int = LABEL,
) -> Tensor:
    """int64 [count], for the pictures first … first + count − 1.

    chosen: picture i gets chosen[i mod len(chosen)]; None: drawn from (seed, i) alone, as often as `counts` says of
    each class, uniformly without counts. classes 0: zeros.
    """
    if chosen is not None:
        given = torch.as_tensor(chosen, dtype=torch.int64).flatten()
        return given[torch.arange(first, first + count) % len(given)]
    if classes <= 1:
        return torch.zeros(count, dtype=torch.int64)
    total = sum(counts) if len(counts) == classes else 0
    if not total or len(set(counts)) == 1:
        drawn = [int(_random(seed, index, stream).integers(classes)) for index in range(first, first + count)]
        return torch.tensor(drawn, dtype=torch.int64)
    places = [int(_random(seed, index, stream).integers(total)) for index in range(first, first + count)]
    return torch.searchsorted(torch.tensor(counts).cumsum(0), torch.tensor(places, dtype=torch.int64), right=True)


def number(seed: int, index: int, *, stream: int = NOISE) -> int:
    """One 63-bit number from (seed, index), to seed torch with."""
    return int(_random(seed, index, stream).integers(2**63))


def check_labels(chosen: Sequence[int] | Tensor | None, classes: int) -> None:
    """Raises UsageError for labels outside 0 … classes − 1, and for none at all."""
    if chosen is None:
        return
    allowed = max(classes, 1)
    try:
        given = torch.as_tensor(chosen)
        wrong = not given.numel() or given.is_floating_point() or bool(((given < 0) | (given >= allowed)).any())
    except (TypeError, ValueError, RuntimeError):  # names, a set
        wrong = True
    if wrong:
        raise UsageError(f"labels: give whole numbers from 0 to {allowed - 1}, at least one")


def truncate(normals: Array, truncation: float | None) -> Tensor:
    """Standard normal numbers [N, Z] -> float32 [N, Z] of the normal truncated to ±truncation, monotonically."""
    if truncation is None:
        return torch.from_numpy(normals.astype(np.float32))
    check_truncation(truncation)
    # erf and erfinv rather than the CDF and its inverse: they are exact near 0, where a tiny t lives.
    inside = math.sqrt(2) * erfinv(erf(normals / math.sqrt(2)) * math.erf(truncation / math.sqrt(2)))
    # Truncation only ever pulls inwards; rounding in the far tail, where erf is 1, must not push out.
    inside = np.clip(inside, -np.abs(normals), np.abs(normals))
    bound = np.float32(min(truncation, float(np.finfo(np.float32).max)))
    if float(bound) > truncation:  # float32 may lie just outside
        bound = np.nextafter(bound, np.float32(0))
    return torch.from_numpy(np.clip(inside.astype(np.float32), -bound, bound))


def check_truncation(truncation: float | None) -> None:
    """Raises UsageError unless it is None or a finite number above 0."""
    if truncation is not None and not 0 < truncation < math.inf:
        raise UsageError(f"--truncation {truncation:g}: give a number above 0, such as 0.5, or leave it out for none")


def check_seed(seed: int) -> None:
    """Raises UsageError unless it is a whole number from 0 to 2^63 − 1."""
    try:
        wrong = not 0 <= operator.index(seed) < 2**63
    except TypeError:
        wrong = True
    if wrong:
        raise UsageError(f"--seed {seed}: give a whole number from 0 to {2**63 - 1}")


def loop(
    seed: int, keyframes: int, frames_each: int, dim: int, truncation: float | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """A smooth closed path through the latents of the pictures 0 … keyframes − 1, which it meets exactly.

    Returns the latents float32 [keyframes · frames_each, dim], and for each frame the keyframe it left, int64, and how
    far it has come to the next one, float32 in [0, 1). Trigonometric interpolation, scaled so that every frame is a
    draw from the same distribution as the keyframes.
    """
    path, left, share = path_through(_normals(seed, 0, keyframes, dim, LATENT), frames_each, rescaled=True)
    return truncate(path, truncation), left, share


def between(corners: Tensor, frames_each: int) -> tuple[Tensor, Tensor, Tensor]:
    """A closed path as `loop` returns it, of straight lines between float latents [K, ...], at rest at each corner."""
    frame = torch.arange(len(corners) * frames_each)
    left, share = frame // frames_each, (frame % frames_each).float() / frames_each
    weight = eased(share).view(-1, *[1] * (corners.ndim - 1))
    return torch.lerp(corners[left], corners[(left + 1) % len(corners)], weight.to(corners)), left, share


def eased(share: Tensor) -> Tensor:
    """The share of the next picture in a blend: at rest at each picture, so that there is no corner."""
    return share * share * (3 - 2 * share)


def path_through(corners: Array, frames_each: int, *, rescaled: bool) -> tuple[Array, Tensor, Tensor]:
    """A smooth closed path through the rows of `corners` [K, D], which it meets exactly, as for `loop`.

    rescaled: between them as long as independent normal numbers are; else as trigonometric interpolation gives it.
    """
    keyframes = len(corners)
    frame = np.arange(keyframes * frames_each)
    time = frame / frames_each
    # A weight depends on the distance round the loop alone, of which there are as many as frames.
    cardinal, starts = _cardinal(time, keyframes), frames_each * np.arange(keyframes)
    path = np.empty((len(frame), corners.shape[1]))
    for first in range(0, len(frame), ROWS):
        weights = cardinal[(frame[first : first + ROWS, None] - starts) % len(frame)]
        if rescaled:
            # Independent standard normals keep unit variance where the squared weights sum to 1.
            weights /= np.sqrt((weights**2).sum(axis=1, keepdims=True))
        path[first : first + ROWS] = weights @ corners
    left = torch.from_numpy(frame // frames_each)
    return path, left, torch.from_numpy((time % 1).astype(np.float32))


def _cardinal(distance: Array, period: int) -> Array:
    """Trigonometric interpolation's weight of a keyframe at this distance: 1 at 0, 0 at every other whole number.

    distance: from 0 to below the period. The sum of the harmonics in closed form (Dirichlet's kernel).
    """
    whole = np.round(distance)
    wave = np.sin(np.pi * (distance - whole)) * np.where(whole % 2, -1.0, 1.0)  # sin(pi x), and 0 where it is 0
    slope = (np.sin if period % 2 else np.tan)(np.pi * distance / period)
    weight: Array = np.divide(wave, period * slope, out=np.zeros_like(distance), where=wave != 0)
    weight[distance == 0] = 1
    return weight


def _normals(seed: int, first: int, count: int, dim: int, stream: int) -> Array:
    rows = np.empty((count, dim))
    for row in range(count):
        # Odd multiples of 2^-52: symmetric about 0 and never ±1, so that every normal number is finite.
        whole = _random(seed, first + row, stream).integers(2**52, size=dim)
        rows[row] = (2 * whole.astype(np.float64) + 1) / 2**52 - 1
    return np.asarray(math.sqrt(2) * erfinv(rows))


def _random(seed: int, index: int, stream: int) -> np.random.Generator:
    """Philox is a function of its key: independent numbers for each (seed, index), without state in between."""
    check_seed(seed)
    return np.random.Generator(np.random.Philox(key=[seed, index], counter=[0, 0, 0, stream]))
