"""Fidelity and diversity from nearest neighbours, and the share of samples that are no copies."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fewgan.scoring import distances
from fewgan.scoring.distances import Rows, check_pair, nearest, smallest, square_distances, tiles

VENDI_GROUPS = 10


@dataclass(frozen=True)
class Coverage:
    """precision, recall, coverage: in [0, 1]. density: from 0; 1 is to be expected of two sets of one law."""

    precision: float
    recall: float
    density: float
    coverage: float


def coverage(real: Rows, fake: Rows, *, k: int = 3, dense_k: int = 5) -> Coverage:
    """Precision, recall, density and coverage of fake [m, d] against real [n, d].

    The ball of a picture reaches to its k-th nearest other picture of its own set.
    Precision: the share of fakes in the ball of some real picture. Recall: the share of real pictures in the ball of
    some fake. Both by Kynkäänniemi et al. 2019 (arXiv 1904.06991), with k = 3 and the border included, as there.
    Density: the number of balls of real pictures that hold a fake, a mean over the fakes, divided by their k.
    Coverage: the share of real pictures whose ball holds a fake. Both by Naeem et al. 2020 (arXiv 2002.09797), with
    k = dense_k = 5 and without the border, as in their code. With k or fewer pictures on a side, k is one less than
    there are.
    Raises UsageError with fewer than 2 rows on a side.
    """
    real, fake = check_pair(real, fake)
    (radii, _), (_, dense_radii) = _radii(real, (k, dense_k))
    held, dense, reached = 0, 0, torch.zeros(len(real), dtype=torch.bool)
    for rows in tiles(fake):
        inside = torch.zeros(len(rows), dtype=torch.bool)
        for first, tile in square_distances(rows, real):
            columns = slice(first, first + tile.shape[1])
            inside |= (tile <= radii[columns]).any(dim=1)
            balls = tile < dense_radii[columns]
            dense += int(balls.sum())
            reached[columns] |= balls.any(dim=0)
        held += int(inside.sum())
    ((fake_radii, _),) = _radii(fake, (k,))
    recalled = sum(int(_inside(rows, fake, fake_radii).sum()) for rows in tiles(real))
    return Coverage(
        precision=held / len(fake),
        recall=recalled / len(real),
        density=dense / (min(dense_k, len(real) - 1) * len(fake)),
        coverage=float(reached.double().mean()),
    )


def authentic(real: Rows, fake: Rows, mirrored: Rows | None = None) -> float:
    """The share of fakes [m, d] that are authentic, in [0, 1] (Alaa et al. 2022, arXiv 2102.08921; AuthPct).

    A fake is authentic where its nearest real picture [n, d] has another real picture nearer to it than the fake.
    mirrored: features [n, d] of the mirrored real pictures, where they count as real too.
    """
    real, fake = check_pair(real, fake)
    rows = real if mirrored is None else torch.cat((real, torch.as_tensor(mirrored).detach().cpu()))
    own = nearest_other(real, rows)
    far, indices = nearest(fake, rows)
    return float((own[indices[:, 0] % len(real)] < far[:, 0]).double().mean())


def nearest_other(real: Tensor, rows: Tensor) -> Tensor:
    """The distance of each real picture [n, d] to the nearest row that is neither itself nor its mirror image, [n].

    rows: the real pictures, followed by their mirror images or not, [n or 2 n, d].
    """
    far, indices = nearest(real, rows, min(3, len(rows)))
    own = indices % len(real) == torch.arange(len(real)).unsqueeze(1)
    return far.masked_fill(own, torch.inf).amin(dim=1)


def vendi(x: Rows) -> float:
    """The Vendi score of x [n, d], from 1 (all alike) to n (Friedman & Dieng 2022, arXiv 2210.02410).

    The exponential of the entropy of the eigenvalues of K / n, where K holds the cosine similarities of the rows.
    """
    rows = torch.nn.functional.normalize(torch.as_tensor(x).detach().cpu().double(), dim=1)
    # K and the smaller of both products have the same eigenvalues above zero.
    product = rows @ rows.T if len(rows) <= rows.shape[1] else rows.T @ rows
    values = torch.linalg.eigvalsh(product / len(rows)).clamp_min(0)
    return float(torch.special.entr(values).sum().exp())


def vendi_ratio(real: Rows, fake: Rows) -> float:
    """The Vendi score of fake [m, d] divided by that of real [n, d]: below 1, the fakes are less diverse.

    The score grows with the number of pictures, so equally many of both sides are compared: the larger side in
    groups, up to 10, whose scores are averaged.
    """
    real, fake = check_pair(real, fake)
    size = min(len(real), len(fake))
    return _mean_vendi(fake, size) / _mean_vendi(real, size)


def _mean_vendi(x: Tensor, size: int) -> float:
    groups = min(len(x) // size, VENDI_GROUPS)
    # Each group is spread over the whole side: photos come in the order of their names.
    return sum(vendi(x[start :: len(x) // size][:size]) for start in range(groups)) / groups


def _radii(x: Tensor, ks: tuple[int, ...]) -> list[tuple[Tensor, Tensor]]:
    """Squared distances of each row to its k-th nearest other row, for each k: one above the border, one below it.

    Exact copies lie on the border. Rounding in the expanded square, some 1e-14 of a row's own square, must not decide
    about them.
    """
    found = torch.cat([smallest(rows, x, max(ks), index * distances.TILE)[0] for index, rows in enumerate(tiles(x))])
    found = found.sort(dim=1).values
    slack = torch.cat([1e-12 * rows.square().sum(1) for rows in tiles(x)])
    borders = [found[:, min(k, found.shape[1]) - 1] for k in ks]
    return [(border + slack, border - slack) for border in borders]


def _inside(points: Tensor, centres: Tensor, radii: Tensor) -> Tensor:
    """Which points lie in the ball of some centre."""
    inside = torch.zeros(len(points), dtype=torch.bool)
    for first, tile in square_distances(points, centres):
        inside |= (tile <= radii[first : first + tile.shape[1]]).any(dim=1)
    return inside
