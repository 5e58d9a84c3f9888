"""The operations of TransGAN's augmentation (appendix, and DiffAugment, Zhao et al. 2020) as functions of their draws.

Images are [N, 3, S, S] in about [-1, 1]; every operation is differentiable twice. Draws are one per sample, [N] or
anything that reshapes to it, or one for the whole batch, 0-d.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor, nn

from fewgan.plugin import constant

SHIFT = 0.2  # of the side, at most; DiffAugment's is 0.125
COIN = 0.3  # probability that a batch has squares erased
HUE = 0.5  # and that a sample has its hue turned
FILTER = 0.25  # and a band of it its strength changed
SYM2 = (-0.12940952255092145, 0.22414386804185735, 0.836516303737469, 0.48296291314469025)
POWER = (10 / 13, 1 / 13, 1 / 13, 1 / 13)  # of natural pictures in each band (Karras et al. 2020, appendix B)


def translation(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """out[i, j] = images[i + rows, j + columns], zeros outside; whole pixels, int64."""
    side = images.shape[-1]
    for axis, draw in ((2, rows), (3, columns)):
        place = torch.arange(side, device=images.device) + draw.reshape(-1, 1)
        shape = (len(images), 1, side, 1) if axis == 2 else (len(images), 1, 1, side)
        # Cyclic, so that each index is a permutation; what came round is cleared.
        images = images.gather(axis, (place % side).view(shape).expand_as(images))
        images = images.masked_fill(((place < 0) | (place >= side)).view(shape), 0)
    return images


def erase(images: Tensor, sizes: tuple[Tensor, Tensor], rows: Tensor, columns: Tensor, fired: Tensor) -> Tensor:
    """Zeroes a rectangle of sizes (height, width), 0-d, around pixel (rows, columns), where `fired`, 0-d, is true."""
    side = torch.arange(images.shape[-1], device=images.device)
    hits = []
    for size, centre in zip(sizes, (rows, columns), strict=True):
        place = side - centre.reshape(-1, 1) + size // 2
        hits.append((place >= 0) & (place < size))
    hit = hits[0][:, None, :, None] & hits[1][:, None, None, :] & fired
    return images.masked_fill(hit, 0)


def color(images: Tensor, brightness: Tensor, saturation: Tensor, contrast: Tensor) -> Tensor:
    """DiffAugment's three, in this order; draws in [0, 1)."""
    images = images + (_each(brightness, images) - 0.5)
    images = torch.lerp(images.mean(1, keepdim=True), images, 2 * _each(saturation, images))
    return torch.lerp(images.mean((1, 2, 3), keepdim=True), images, _each(contrast, images) + 0.5)


def hue(images: Tensor, angle: Tensor) -> Tensor:
    """Turns colours about grey, right-handed, by an angle in radians."""
    third = 1 / math.sqrt(3)
    cross = constant(((0, -third, third), (third, 0, -third), (-third, third, 0)), images)
    angle = angle.reshape(-1, 1, 1).to(images.dtype)
    eye = torch.eye(3, dtype=images.dtype, device=images.device)
    turn = eye + angle.sin() * cross + (1 - angle.cos()) * (cross @ cross)
    return (turn @ images.flatten(2)).view_as(images)


def band_filter(images: Tensor, gains: Tensor) -> Tensor:
    """Four frequency bands louder or quieter by gains [N, 4], the expected power kept (Karras et al. 2020, appendix B).

    A filter along an axis, reflection at the edges included, is a matrix, and that of a sample the sum of the bands'.
    """
    power = constant(POWER, gains)
    total = torch.ones_like(gains)
    for band in range(4):
        own = torch.ones_like(gains)
        own[:, band] = gains[:, band]
        total = total * own / (power * own.square()).sum(1, keepdim=True).sqrt()
    matrices = _band_matrices(images.shape[-1], images.device, images.dtype)
    matrix = torch.einsum("nb,bij->nij", total.to(images.dtype), matrices)[:, None]
    return matrix @ images @ matrix.transpose(2, 3)


def filter_bank() -> Tensor:
    """[4, 43], float64: kernels that split a signal into four octaves and add up to a single 1."""
    low = torch.tensor(SYM2, dtype=torch.float64)
    high = low * torch.tensor([1, -1, 1, -1])
    smooth, detail = _convolved(low, low.flip(0)) / 2, _convolved(high, high.flip(0)) / 2
    rows = [torch.tensor([float(band == 0)], dtype=torch.float64) for band in range(4)]
    for band in range(1, 4):
        spread = [torch.stack((row, torch.zeros_like(row)), 1).flatten()[:-1] for row in rows]
        rows = [_convolved(row, smooth) for row in spread]
        start = (len(rows[band]) - len(detail)) // 2
        rows[band][start : start + len(detail)] += detail
    return torch.stack(rows)


def _convolved(one: Tensor, other: Tensor) -> Tensor:
    full = one.new_zeros(len(one) + len(other) - 1)
    for place, value in enumerate(one.tolist()):
        full[place : place + len(other)] += value * other
    return full


@cache
def _band_matrices(side: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """[4, side, side]: the filter of each band along an axis with reflected edges, computed in float64."""
    bank = filter_bank()
    reach = bank.shape[1] // 2
    period = max(2 * (side - 1), 1)
    places = (torch.arange(side)[:, None] + torch.arange(-reach, reach + 1)) % period
    places = torch.minimum(places, period - places)
    taps = bank[:, None, :].expand(-1, side, -1)
    matrices = torch.zeros(4, side, side, dtype=torch.float64)
    return matrices.scatter_add_(2, places.expand(4, -1, -1), taps).to(device, dtype)


class Augment(nn.Module):
    """images -> images, with fresh draws in every call. parts: names of PARTS, applied in their order."""

    def __init__(self, parts: Sequence[str]) -> None:
        super().__init__()
        self.parts = tuple(parts)

    def forward(self, images: Tensor) -> Tensor:
        for part in self.parts:
            images = getattr(self, f"_{part}")(images)
        return images

    def _translation(self, images: Tensor) -> Tensor:
        reach = int(SHIFT * images.shape[-1] + 0.5)
        return translation(images, _whole(images, -reach, reach), _whole(images, -reach, reach))

    def _color(self, images: Tensor) -> Tensor:
        return color(images, _uniform(images), _uniform(images), _uniform(images))

    def _cutout(self, images: Tensor) -> Tensor:
        coin = torch.rand((), device=images.device)
        half = int(0.5 * images.shape[-1] + 0.5)
        size = torch.full((), half, device=images.device)
        return self._erased(images, (size, size), coin)

    def _erase_ratio(self, images: Tensor) -> Tensor:
        side = images.shape[-1]
        return self._rectangle(images, int(0.2 * side), int(0.7 * side))

    def _stl_erase_ratio(self, images: Tensor) -> Tensor:
        return self._rectangle(images, 20, images.shape[-1] // 2 + 20)

    def _rectangle(self, images: Tensor, least: int, most: int) -> Tensor:
        height, width = (torch.randint(least, most + 1, (), device=images.device) for _ in range(2))
        return self._erased(images, (height, width), torch.rand((), device=images.device))

    def _erased(self, images: Tensor, sizes: tuple[Tensor, Tensor], coin: Tensor) -> Tensor:
        """Centres of an even size reach one pixel past the last row and column, as published."""
        rows, columns = (_below(images, images.shape[-1] + 1 - size % 2) for size in sizes)
        return erase(images, sizes, rows, columns, coin < COIN)

    def _hue(self, images: Tensor) -> Tensor:
        angle, fires = _uniform(images), _uniform(images) < HUE
        return hue(images, torch.where(fires, (2 * angle - 1) * math.pi, 0))

    def _filter(self, images: Tensor) -> Tensor:
        gains = []
        for _ in range(4):
            drawn = torch.exp2(torch.randn(len(images), device=images.device))
            gains.append(torch.where(_uniform(images) < FILTER, drawn, 1))
        return band_filter(images, torch.stack(gains, 1))


def _uniform(images: Tensor) -> Tensor:
    return torch.rand(len(images), device=images.device)


def _whole(images: Tensor, low: int, high: int) -> Tensor:
    """Whole numbers from low to high, both included."""
    return torch.randint(low, high + 1, (len(images),), device=images.device)


def _below(images: Tensor, limit: Tensor) -> Tensor:
    """Whole numbers from 0 to below a limit that the device alone knows."""
    return (torch.rand(len(images), dtype=torch.float32, device=images.device) * limit).long()


def _each(draw: Tensor, images: Tensor) -> Tensor:
    return draw.reshape(-1, 1, 1, 1).to(images.dtype)
