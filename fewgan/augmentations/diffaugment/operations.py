"""The five operations of DiffAugment (Zhao et al. 2020, arXiv 2006.10738, section 3.2) as functions of their draws.

Images are [N, 3, S, S] in [-1, 1], of any device, floating dtype and memory format; every operation is differentiable
twice. The draws are one per sample, [N, 1, 1, 1] or anything that reshapes to it, and carry no gradient.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def brightness(images: Tensor, draw: Tensor) -> Tensor:
    """Adds draw - 0.5; draw in [0, 1)."""
    return images + (_each(draw, images) - 0.5)


def saturation(images: Tensor, draw: Tensor) -> Tensor:
    """Moves every pixel from its own grey (mean over channels) by the factor 2 draw; draw in [0, 1)."""
    return torch.lerp(images.mean(1, keepdim=True), images, 2 * _each(draw, images))


def contrast(images: Tensor, draw: Tensor) -> Tensor:
    """Moves every value from the mean of its image by the factor draw + 0.5; draw in [0, 1)."""
    return torch.lerp(images.mean((1, 2, 3), keepdim=True), images, _each(draw, images) + 0.5)


def translation(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """out[i, j] = images[i + rows, j + columns], zeros outside; rows and columns are whole pixels, int64."""
    _, channels, height, width = images.shape
    row = torch.arange(height, device=images.device) + rows.reshape(-1, 1)
    column = torch.arange(width, device=images.device) + columns.reshape(-1, 1)
    # Cyclic first, one axis at a time: each index is a permutation of a line, so the gradient has no collisions and no
    # index over all pixels is ever stored. What came round is then cleared.
    out = images.gather(2, (row % height)[:, None, :, None].expand(-1, channels, -1, width))
    out = out.gather(3, (column % width)[:, None, None, :].expand(-1, channels, height, -1))
    inside = _between(row, 0, height)[:, None, :, None] & _between(column, 0, width)[:, None, None, :]
    return out.masked_fill(~inside, 0)


def cutout(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Zeroes a square of int(0.5 S + 0.5) pixels around pixel (rows, columns), int64; clipped to the image."""
    height, width = images.shape[2:]
    row = torch.arange(height, device=images.device) - rows.reshape(-1, 1)
    column = torch.arange(width, device=images.device) - columns.reshape(-1, 1)
    tall, wide = _half(height), _half(width)
    hit_rows = _between(row, -(tall // 2), tall - tall // 2)
    hit_columns = _between(column, -(wide // 2), wide - wide // 2)
    return images.masked_fill(hit_rows[:, None, :, None] & hit_columns[:, None, None, :], 0)


class DiffAugment(nn.Module):
    """images -> images, with fresh draws for every image of every call.

    parts: names among color, translation, cutout, applied in that order (arXiv 2006.10738, section 4).
    """

    def __init__(self, parts: Sequence[str]) -> None:
        super().__init__()
        self.parts = tuple(parts)

    def forward(self, images: Tensor) -> Tensor:
        height, width = images.shape[2:]
        for part in self.parts:
            if part == "color":
                images = brightness(images, _uniform(images))
                images = saturation(images, _uniform(images))
                images = contrast(images, _uniform(images))
            elif part == "translation":
                tall, wide = int(0.125 * height + 0.5), int(0.125 * width + 0.5)
                images = translation(images, _whole(images, -tall, tall), _whole(images, -wide, wide))
            else:
                # An even square has no middle pixel: its draws reach one past the last row and column, as published.
                tall, wide = height - _half(height) % 2, width - _half(width) % 2
                images = cutout(images, _whole(images, 0, tall), _whole(images, 0, wide))
        return images


def _uniform(images: Tensor) -> Tensor:
    return torch.rand(len(images), 1, 1, 1, device=images.device)


def _whole(images: Tensor, low: int, high: int) -> Tensor:
    """Whole numbers from low to high, both included."""
    return torch.randint(low, high + 1, (len(images),), device=images.device)


def _each(draw: Tensor, images: Tensor) -> Tensor:
    return draw.reshape(-1, 1, 1, 1).to(images.dtype)


def _between(values: Tensor, low: int, high: int) -> Tensor:
    return (values >= low) & (values < high)


def _half(side: int) -> int:
    return int(0.5 * side + 0.5)
