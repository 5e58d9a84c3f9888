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

from fewgan.spectral import SpectralConv2d

# Rows are the taps of the 4x4 kernel along one axis, columns the taps of the 3x3 kernel.
UP = ((0.0, 0.0, 1.0), (0.0, 1.0, 1.0), (1.0, 1.0, 0.0), (1.0, 0.0, 0.0))
DOWN = ((0.5, 0.0, 0.0), (0.5, 0.5, 0.0), (0.0, 0.5, 0.5), (0.0, 0.0, 0.5))


def compose(weight: Tensor, taps: tuple[tuple[float, ...], ...]) -> Tensor:
    """Kernels [out, in, 3, 3] -> [out, in, 4, 4], the taps along both axes."""
    matrix = torch.tensor(taps, dtype=weight.dtype, device=weight.device)
    out_channels, in_channels = weight.shape[:2]
    # One small product on the flattened kernel: both axes at once, as the Kronecker square of the taps.
    flat = weight.reshape(out_channels * in_channels, 9) @ torch.kron(matrix, matrix).t()
    return flat.view(out_channels, in_channels, 4, 4)


class UpsampleConv2d(SpectralConv2d):
    """conv3x3 of the nearest x2 upsampling; x [N, in, H, W] -> [N, out, 2H, 2W]."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        kernel = compose(self.normalized(), UP).transpose(0, 1)
        return F.conv_transpose2d(x, kernel, self.bias, stride=2, padding=1)


class DownsampleConv2d(SpectralConv2d):
    """avgpool2 of conv3x3; x [N, in, 2H, 2W] -> [N, out, H, W]."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, compose(self.normalized(), DOWN), self.bias, stride=2, padding=1)
