"""Pixel blitting and geometry: one affine map for each sample, then one resampling (section 2.2 and appendix B)."""

from __future__ import annotations

import math
from collections.abc import Collection

import torch
from torch import Tensor
from torch.nn import functional as F

from fewgan.plugin import constant
from fewgan_ada.draws import Draws

# Wavelet low-pass filters, orthogonal, of length 12: what surrounds the resampling so that it does not alias.
SYM6 = (
    0.015404109327027373, 0.0034907120842174702, -0.11799011114819057, -0.048311742585633, 0.4910559419267466,
    0.787641141030194, 0.3379294217276218, -0.07263752278646252, -0.021060292512300564, 0.04472490177066578,
    0.0017677118642428036, -0.007800708325034148,
)  # fmt: skip
PADDING = len(SYM6) // 4


def matrix(rows: list[list[Tensor | float]], like: Tensor) -> Tensor:
    """[N, R, C] from entries that are [N] or numbers; like: [N]."""
    return torch.stack(
        [torch.stack([e if isinstance(e, Tensor) else torch.full_like(like, e) for e in row], -1) for row in rows], -2
    )


def translation(x: Tensor, y: Tensor) -> Tensor:
    return matrix([[1, 0, x], [0, 1, y], [0, 0, 1]], x)


def scaling(x: Tensor, y: Tensor) -> Tensor:
    return matrix([[x, 0, 0], [0, y, 0], [0, 0, 1]], x)


def rotation(angle: Tensor) -> Tensor:
    cos, sin = angle.cos(), angle.sin()
    return matrix([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]], angle)


def inverse_map(draws: Draws, operations: Collection[str], p: Tensor, height: int, width: int) -> Tensor:
    """[N, 3, 3]: from output to input pixels, origin in the middle, x right, y down."""
    ones = torch.ones(draws.count, device=draws.device, dtype=draws.dtype)
    total = scaling(ones, ones)
    rotates = 1 - (1 - p).clamp(min=0).sqrt()  # two rotations: together they fire with p

    if "xflip" in operations:
        side = draws.where(p, (draws.uniform() * 2).floor(), 0)
        total = total @ scaling(1 - 2 * side, ones)
    if "rotate90" in operations:
        turns = draws.where(p, (draws.uniform() * 4).floor(), 0)
        total = total @ rotation(turns * (math.pi / 2))
    if "xint" in operations:
        shift = draws.where(p, (2 * draws.uniform(2) - 1) * 0.125, 0)
        total = total @ translation(-(shift[:, 0] * width).round(), -(shift[:, 1] * height).round())
    if "scale" in operations:
        size = draws.where(p, torch.exp2(draws.normal() * 0.2), 1)
        total = total @ scaling(1 / size, 1 / size)
    if "rotate" in operations:
        total = total @ rotation(draws.where(rotates, draws.angle(), 0))
    if "aniso" in operations:
        size = draws.where(p, torch.exp2(draws.normal() * 0.2), 1)
        total = total @ scaling(1 / size, size)
    if "rotate" in operations:
        total = total @ rotation(draws.where(rotates, draws.angle(), 0))
    if "xfrac" in operations:
        shift = draws.where(p, draws.normal(2) * 0.125, 0)
        total = total @ translation(-shift[:, 0] * width, -shift[:, 1] * height)
    return total


def resample(images: Tensor, inverse: Tensor) -> Tensor:
    """Images [N, C, H, W] through the map: reflected at the edges, on a grid twice as fine between two filters."""
    channels, height, width = images.shape[1:]
    left, right, top, bottom = _margins(inverse, height, width)
    images = F.pad(images, [left, right, top, bottom], mode="reflect")
    ones = inverse.new_ones(len(inverse))
    inverse = translation(ones * ((left - right) / 2), ones * ((top - bottom) / 2)) @ inverse

    kernel = constant(SYM6, images)
    kernel = kernel / kernel.sum()
    images = _upsample(images, kernel)
    half = ones * 0.5
    inverse = (
        translation(-half, -half)
        @ scaling(2 * ones, 2 * ones)
        @ inverse
        @ scaling(half, half)
        @ translation(half, half)
    )

    fine_height, fine_width = 2 * (height + 2 * PADDING), 2 * (width + 2 * PADDING)
    into = scaling(ones * (2 / images.shape[3]), ones * (2 / images.shape[2]))
    out = scaling(ones * (fine_width / 2), ones * (fine_height / 2))
    grid = F.affine_grid(
        (into @ inverse @ out)[:, :2], [len(images), channels, fine_height, fine_width], align_corners=False
    )
    images = F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    return _filter(images[:, :, 1:-1, 1:-1], kernel, stride=2)


def _margins(inverse: Tensor, height: int, width: int) -> tuple[int, int, int, int]:
    """How far the corners of any sample reach beyond the picture: left, right, top, bottom, in pixels.

    The host waits for them, as in the published code: the size of what follows depends on them.
    """
    x, y = (width - 1) / 2, (height - 1) / 2
    corners = constant(((-x, -y, 1), (x, -y, 1), (x, y, 1), (-x, y, 1)), inverse)
    reached = (inverse @ corners.T)[:, :2]
    far = torch.stack((-reached[:, 0], reached[:, 0], -reached[:, 1], reached[:, 1])).amax(dim=(1, 2))
    beyond = far + 2 * PADDING - constant((x, x, y, y), far)
    most = constant((width - 1, width - 1, height - 1, height - 1), far)
    left, right, top, bottom = beyond.clamp(min=0).minimum(most).ceil().int().tolist()
    return left, right, top, bottom


def _upsample(images: Tensor, kernel: Tensor) -> Tensor:
    """Zeros between the pixels, then a true (mirrored) convolution, gain 2 an axis."""
    count, channels, height, width = images.shape
    spread = images.new_zeros(count, channels, height, 2, width, 2)
    spread[:, :, :, 0, :, 0] = images
    before, after = len(SYM6) // 2, len(SYM6) // 2 - 1
    padded = F.pad(spread.view(count, channels, 2 * height, 2 * width), [before, after, before, after])
    return _filter(padded, 2 * kernel.flip(0))


def _filter(images: Tensor, kernel: Tensor, stride: int = 1) -> Tensor:
    """Correlation with the kernel along both axes, no padding."""
    channels = images.shape[1]
    rows = kernel.view(1, 1, -1, 1).expand(channels, 1, -1, 1)
    columns = kernel.view(1, 1, 1, -1).expand(channels, 1, 1, -1)
    images = F.conv2d(images, rows, stride=(stride, 1), groups=channels)
    return F.conv2d(images, columns, stride=(1, stride), groups=channels)
