"""The transforms of Winograd's F(2x2, 3x3) of a piece of a batch, in memory that is taken again for the next piece."""

from __future__ import annotations

import math

import torch
from torch import Tensor


class Room:
    """Memory for a piece, which the next piece takes again: fresh pages cost as much as what is computed in them."""

    def __init__(self, like: Tensor) -> None:
        self.like = like
        self.held: dict[str, Tensor] = {}

    def __call__(self, name: str, shape: tuple[int, ...]) -> Tensor:
        count = math.prod(shape)
        if name not in self.held or self.held[name].numel() < count:
            self.held[name] = self.like.new_empty(count)
        return self.held[name][:count].view(shape)


def _framed(pixels: Tensor, images: slice, rows: slice, room: Room) -> Tensor:
    """The pixels of a piece of [N, H, W, C] with one more on each side, 0 outside: [n, h + 2, W + 2, C]."""
    _, height, width, channels = pixels.shape
    first, last = max(rows.start - 1, 0), min(rows.stop + 1, height)
    inside = pixels[images, first:last]
    above = first - rows.start + 1
    made = room("framed", (len(inside), rows.stop - rows.start + 2, width + 2, channels))
    made[:, :, 0].zero_()
    made[:, :, -1].zero_()
    made[:, :above].zero_()
    made[:, above + last - first :].zero_()
    made[:, above : above + last - first, 1:-1] = inside
    return made


def of_pixels(pixels: Tensor, images: slice, rows: slice, room: Room) -> Tensor:
    """A piece of [N, H, W, C], images and rows -> [4, 4, n, h/2, W/2, C]."""
    padded = _framed(pixels, images, rows, room)
    count, height, width, channels = padded.shape
    by_row = room("rows", (4, count, height // 2 - 1, width, channels))
    _four(padded[:, 0::2], padded[:, 1::2], by_row, axis=1)
    tiles = room("tiles", (4, 4, count, height // 2 - 1, width // 2 - 1, channels))
    _four(by_row[:, :, :, 0::2], by_row[:, :, :, 1::2], tiles.transpose(0, 1), axis=3)
    return tiles


def _four(even: Tensor, odd: Tensor, out: Tensor, *, axis: int) -> None:
    """Pixels 0 to 3 of each tile on one axis -> 0 - 2, 1 + 2, 2 - 1, 1 - 3."""
    count = even.shape[axis] - 1
    first, third = even.narrow(axis, 0, count), even.narrow(axis, 1, count)
    second, fourth = odd.narrow(axis, 0, count), odd.narrow(axis, 1, count)
    torch.sub(first, third, out=out[0])
    torch.add(second, third, out=out[1])
    torch.sub(third, second, out=out[2])
    torch.sub(second, fourth, out=out[3])


def to_results(products: Tensor, y: Tensor, room: Room) -> None:
    """[4, 4, n, h/2, W/2, C] -> y [n, h, W, C]: on each axis 0 + 1 + 2 and 1 - 2 - 3."""
    count, height, width, channels = products.shape[2:]
    half = room("half", (2, 4, count, height, width, channels))
    _two(products.transpose(0, 1), half)
    halves = half.transpose(0, 1)
    by_column = y.view(count, height, 2, width, 2, channels)
    for column in range(2):
        _two(halves[:, column], by_column[:, :, :, :, column].permute(2, 0, 1, 3, 4))


def _two(four: Tensor, out: Tensor) -> None:
    torch.add(four[0], four[1], out=out[0]).add_(four[2])
    torch.sub(four[1], four[2], out=out[1]).sub_(four[3])


def of_gradients(gradient: Tensor, room: Room) -> Tensor:
    """The adjoint of `to_results`: [n, h, W, C] -> [4, 4, n, h/2, W/2, C]."""
    count, height, width, channels = gradient.shape
    rows = room("spread rows", (4, count, height // 2, width, channels))
    _spread_axis(gradient[:, 0::2], gradient[:, 1::2], rows)
    places = room("places", (4, 4, count, height // 2, width // 2, channels))
    _spread_axis(rows[:, :, :, 0::2], rows[:, :, :, 1::2], places.transpose(0, 1))
    return places


def _spread_axis(even: Tensor, odd: Tensor, out: Tensor) -> None:
    out[0].copy_(even)
    torch.add(even, odd, out=out[1])
    torch.sub(even, odd, out=out[2])
    torch.neg(odd, out=out[3])
