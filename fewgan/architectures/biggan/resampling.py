"""A 3x3 convolution beside a resampling by two, as one strided 4x4 convolution: the same function, 16 instead of 36
multiply-adds a small-side pixel.

nearest x2, then conv3x3 (pad 1)   = transposed conv4x4, stride 2, pad 1; per axis [w2, w1+w2, w0+w1, w0]
conv3x3 (pad 1), then avgpool2     = conv4x4, stride 2, pad 1;            per axis [w0, w0+w1, w1+w2, w2] / 2

sigma is always that of the 3x3 kernel.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from fewgan.plugin import SpectralConv2d

# Rows are the taps of the 4x4 kernel along one axis, columns the taps of the 3x3 kernel.
UP = ((0.0, 0.0, 1.0), (0.0, 1.0, 1.0), (1.0, 1.0, 0.0), (1.0, 0.0, 0.0))
DOWN = ((0.5, 0.0, 0.0), (0.5, 0.5, 0.0), (0.0, 0.5, 0.5), (0.0, 0.0, 0.5))


def both_axes(taps: tuple[tuple[float, ...], ...]) -> Tensor:
    """The taps along both axes at once: their Kronecker square, [16, 9].

    Not by torch.kron, which imports torch's compiler on the meta device.
    """
    return torch.tensor([[a * b for a in one for b in other] for one in taps for other in taps])


def compose(weight: Tensor, taps: Tensor, sigma: Tensor | float = 1.0) -> Tensor:
    """Kernels [a, b, 3, 3] -> [a, b, 4, 4], taps [16, 9] from `both_axes`, divided by sigma.

    One small product for both axes, and the division where it costs nothing. The result is in channels_last, as
    convolutions want it.
    """
    both = taps / sigma
    kernels = torch.bmm(both.expand(len(weight), 16, 9), weight.permute(0, 2, 3, 1).flatten(1, 2).contiguous())
    return kernels.view(len(weight), 4, 4, -1).permute(0, 3, 1, 2)


class UpsampleConv2d(SpectralConv2d):
    """conv3x3 of the nearest x2 upsampling; x [N, in, H, W] -> [N, out, 2H, 2W]."""

    taps: Tensor

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 3)
        self.register_buffer("taps", both_axes(UP), persistent=False)

    def _make_kernel(self) -> Tensor:
        return compose(self.weight.transpose(0, 1), self.taps, self.sigma())

    def forward(self, x: Tensor) -> Tensor:
        return F.conv_transpose2d(x, self.kernel(), self.bias, stride=2, padding=1)


class DownsampleConv2d(SpectralConv2d):
    """avgpool2 of conv3x3; x [N, in, 2H, 2W] -> [N, out, H, W]."""

    taps: Tensor

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 3)
        self.register_buffer("taps", both_axes(DOWN), persistent=False)

    def _make_kernel(self) -> Tensor:
        return compose(self.weight, self.taps, self.sigma())

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.kernel(), self.bias, stride=2, padding=1)
