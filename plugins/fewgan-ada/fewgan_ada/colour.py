"""Colour, image-space filtering, noise and cutout (section 2.2 and appendix B)."""

from __future__ import annotations

import math
from collections.abc import Collection
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

from fewgan.plugin import constant
from fewgan_ada.draws import Draws

SYM2 = (-0.12940952255092145, 0.22414386804185735, 0.836516303737469, 0.48296291314469025)
POWER = (10 / 13, 1 / 13, 1 / 13, 1 / 13)  # of natural pictures, by band
LUMA = (1 / math.sqrt(3),) * 3 + (0.0,)  # the axis of grey, in (R, G, B, 1)


def colour_map(draws: Draws, operations: Collection[str], p: Tensor) -> Tensor:
    """[N, 4, 4] over (R, G, B, 1)."""
    eye = torch.eye(4, device=draws.device, dtype=draws.dtype)
    total = eye.repeat(draws.count, 1, 1)
    axis = constant(LUMA, eye)
    along = torch.outer(axis, axis)

    if "brightness" in operations:
        shift = draws.where(p, draws.normal() * 0.2, 0)
        step = eye.repeat(draws.count, 1, 1)
        step[:, :3, 3] = shift[:, None]
        total = step @ total
    if "contrast" in operations:
        gain = draws.where(p, torch.exp2(draws.normal() * 0.5), 1)
        total = torch.diag_embed(torch.stack([gain, gain, gain, torch.ones_like(gain)], -1)) @ total
    if "lumaflip" in operations:
        flip = draws.where(p, (draws.uniform() * 2).floor(), 0)
        total = (eye - 2 * along * flip[:, None, None]) @ total
    if "hue" in operations:
        total = _about_luma(draws.where(p, (2 * draws.uniform() - 1) * math.pi, 0)) @ total
    if "saturation" in operations:
        gain = draws.where(p, torch.exp2(draws.normal()), 1)
        total = (along + (eye - along) * gain[:, None, None]) @ total
    return total


def _about_luma(angle: Tensor) -> Tensor:
    """Right-handed rotation about the axis of luma, by Rodrigues' formula: [N, 4, 4]."""
    x, y, z = LUMA[:3]
    cross = constant(((0, -z, y), (z, 0, -x), (-y, x, 0)), angle)
    eye = torch.eye(3, device=angle.device, dtype=angle.dtype)
    sin, cos = angle.sin()[:, None, None], angle.cos()[:, None, None]
    turned = eye + sin * cross + (1 - cos) * (cross @ cross)
    total = torch.eye(4, device=angle.device, dtype=angle.dtype).repeat(len(angle), 1, 1)
    total[:, :3, :3] = turned
    return total


def recolour(images: Tensor, matrix: Tensor) -> Tensor:
    """Images [N, 3, H, W] through [N, 4, 4]. Values are not cut off."""
    flat = matrix[:, :3, :3] @ images.flatten(2) + matrix[:, :3, 3:]
    return flat.view_as(images)


@cache
def filter_bank(dtype: torch.dtype, device: torch.device) -> Tensor:
    """[4, 43]: kernels that split a signal into four octaves and add up to a single 1."""
    low = torch.tensor(SYM2, dtype=torch.float64)
    high = low * torch.tensor([1, -1, 1, -1])
    smooth, detail = _convolve(low, low.flip(0)) / 2, _convolve(high, high.flip(0)) / 2
    bank = torch.eye(4, dtype=torch.float64)[:, :1]
    for band in range(1, 4):
        spread = bank.new_zeros(4, 2 * bank.shape[1] - 1)
        spread[:, ::2] = bank
        bank = torch.stack([_convolve(row, smooth) for row in spread])
        start = (bank.shape[1] - len(detail)) // 2
        bank[band, start : start + len(detail)] += detail
    return bank.to(device, dtype)


def _convolve(one: Tensor, other: Tensor) -> Tensor:
    full = F.conv1d(one[None, None], other.flip(0)[None, None], padding=len(other) - 1)
    return full[0, 0]


def band_filter(images: Tensor, draws: Draws, p: Tensor) -> Tensor:
    """Each of four frequency bands louder or quieter, the expected power kept (appendix B)."""
    count, channels, height, width = images.shape
    power = constant(POWER, images)
    gains = images.new_ones(count, 4)
    for band in range(4):
        own = torch.ones_like(gains)
        own[:, band] = draws.where(p, torch.exp2(draws.normal()), 1)
        gains = gains * own / (power * own**2).sum(1, keepdim=True).sqrt()
    kernels = gains @ filter_bank(images.dtype, images.device)
    reach = kernels.shape[1] // 2
    kernels = kernels.repeat_interleave(channels, 0)
    stacked = _reflect(images, reach).reshape(1, count * channels, height + 2 * reach, width + 2 * reach)
    stacked = F.conv2d(stacked, kernels[:, None, None, :], groups=count * channels)
    stacked = F.conv2d(stacked, kernels[:, None, :, None], groups=count * channels)
    return stacked.view(count, channels, height, width)


def _reflect(images: Tensor, reach: int) -> Tensor:
    """Reflection padding that may be wider than the picture, which is then reflected again."""
    while reach > 0:
        now = min(reach, min(images.shape[2:]) - 1)
        images, reach = F.pad(images, [now] * 4, mode="reflect"), reach - now
    return images


def noise(images: Tensor, draws: Draws, p: Tensor) -> Tensor:
    strength = draws.where(p, draws.half_normal(1, 1, 1) * 0.1, 0)
    return images + torch.randn_like(images) * strength


def cutout(images: Tensor, draws: Draws, p: Tensor) -> Tensor:
    """A square of half the side, anywhere, is set to 0 (grey)."""
    height, width = images.shape[2:]
    size = draws.where(p, images.new_full((draws.count, 1, 1, 1), 0.5), 0)
    centre = draws.uniform(2, 1, 1, 1)
    rows = ((torch.arange(height, device=images.device).view(1, 1, -1, 1) + 0.5) / height - centre[:, 1]).abs()
    columns = ((torch.arange(width, device=images.device).view(1, 1, 1, -1) + 0.5) / width - centre[:, 0]).abs()
    outside = (rows >= size / 2) | (columns >= size / 2)
    return images * outside.to(images.dtype)
