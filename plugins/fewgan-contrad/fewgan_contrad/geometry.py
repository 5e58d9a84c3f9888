"""Operations of SimCLR's views on the pixels of images [N, 3, S, S] in [0, 1]; every random number is an argument."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def box_sides(area: Tensor, log_aspect: Tensor, side: int) -> tuple[Tensor, Tensor, Tensor]:
    """Shares of the area and logarithms of the aspect, any shape -> widths, heights in pixels, and whether they fit."""
    aspect = log_aspect.exp()
    wide, high = ((area * side**2 * factor).sqrt().round().long() for factor in (aspect, 1 / aspect))
    return wide, high, (wide <= side) & (high <= side)


def crop(images: Tensor, wide: Tensor, high: Tensor, right: Tensor, down: Tensor) -> Tensor:
    """Crops of wide x high pixels, resampled to the full side, bilinear with reflection.

    All int64 [N]. right, down: how far the centre is from the image's, in halves of a pixel; at most side − wide and
    side − high.
    """
    side = images.shape[-1]
    zero = torch.zeros_like(wide)
    rows = (torch.stack((wide, zero, right), dim=1), torch.stack((zero, high, down), dim=1))
    theta = torch.stack(rows, dim=1).to(images.dtype) / side
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def flip(images: Tensor, flipped: Tensor) -> Tensor:
    """flipped: bool [N]."""
    return torch.where(flipped.view(-1, 1, 1, 1), images.flip(3), images)


def blur_radius(side: int) -> int:
    """Half the side of the kernel, which is about a tenth of the image's and odd."""
    return side // 10 // 2


def blur(images: Tensor, sigma: Tensor) -> Tensor:
    """Gaussian of the standard deviation sigma, a scalar in pixels; reflection without repeating the edge."""
    radius = blur_radius(images.shape[-1])
    channels = images.shape[1]
    places = torch.arange(-radius, radius + 1, dtype=images.dtype, device=images.device)
    taps = (-places.square() / (2 * sigma.to(images.dtype).square())).exp()
    taps = (taps / taps.sum()).expand(channels, 1, -1)
    padded = F.pad(images, (radius, radius, radius, radius), mode="reflect")
    return F.conv2d(F.conv2d(padded, taps.unsqueeze(2), groups=channels), taps.unsqueeze(3), groups=channels)


def cutout(images: Tensor, rows: Tensor, columns: Tensor, side: int) -> Tensor:
    """Black squares of an odd side around rows, columns, int64 [N], clipped at the border."""
    places = torch.arange(images.shape[-1], device=images.device)
    in_row, in_column = ((places - centre.view(-1, 1)).abs() <= side // 2 for centre in (rows, columns))
    return images.masked_fill((in_row[:, :, None] & in_column[:, None, :]).unsqueeze(1), 0)
