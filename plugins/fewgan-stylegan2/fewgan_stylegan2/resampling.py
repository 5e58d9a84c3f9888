"""The low-pass filter of StyleGAN2 (Karras et al. 2020, arXiv 1912.04958, appendix B) beside convolutions and alone.

F = outer([1, 3, 3, 1]) / 64 sums to 1. Upsampling by two inserts zeros, which takes 4 F.

Beside a strided 3x3 convolution the filter stays a pass of its own, channel by channel. One strided convolution with
the full convolution of both, a 6x6 kernel, would be the same function with four times the multiply-adds.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

TAPS = (1.0, 3.0, 3.0, 1.0)


def low_pass() -> Tensor:
    """F, float32 [4, 4]."""
    taps = torch.tensor(TAPS)
    return torch.outer(taps, taps) / taps.sum() ** 2


class _Filter(torch.autograd.Function):
    """A convolution of each channel by itself, whose derivatives are the adjoint and, of that, the convolution again.

    F.conv2d would do, but its second derivative also makes the gradient of the kernel, one group after the other.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Tensor, settings: tuple[int, int, bool]) -> Tensor:
        ctx.save_for_backward(kernel)
        padding, stride, adjoint = ctx.settings = settings
        convolve = F.conv_transpose2d if adjoint else F.conv2d
        channels = x.shape[1]
        # In bfloat16 this takes 40 to 100 times as long on CPUs: 53 ms in the place of 1.3 for [4, 256, 64, 64].
        slow = adjoint and stride > 1 and x.dtype == torch.bfloat16 and x.device.type == "cpu"
        taken = x.float() if slow else x
        weight = kernel.to(taken.dtype).expand(channels, 1, *kernel.shape)
        return convolve(taken, weight, padding=padding, stride=stride, groups=channels).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (kernel,) = ctx.saved_tensors
        padding, stride, adjoint = ctx.settings
        return _Filter.apply(gradient, kernel, (padding, stride, not adjoint)), None, None


def filter_channels(x: Tensor, low_pass: Tensor, *, padding: int, stride: int = 1) -> Tensor:
    """Each channel of x [N, C, H, W] zero-padded and filtered by itself; every `stride`-th pixel is kept.

    The padded side must be such that stride 2 leaves nothing over, as an even side with padding 1.
    """
    filtered: Tensor = _Filter.apply(x, low_pass, (padding, stride, False))
    return filtered


def upsample(x: Tensor, low_pass: Tensor) -> Tensor:
    """x2: a zero after each pixel, then 4 F; [N, C, H, W] -> [N, C, 2H, 2W]."""
    upsampled: Tensor = _Filter.apply(x, 4 * low_pass, (1, 2, True))
    return upsampled


def upsample_conv2d(x: Tensor, weight: Tensor, low_pass: Tensor, *, groups: int = 1) -> Tensor:
    """Transposed 3x3 convolution with stride 2, then 4 F; x [N, in, H, W], weight [in, out, 3, 3] -> [N, out, 2H, 2W].

    The kernel is not mirrored: out[2i + k] gets weight[k] x[i]. With groups, in and out are the sums over them in x
    and the number in one group in weight's second axis, as in conv_transpose2d.
    """
    return filter_channels(F.conv_transpose2d(x, weight, stride=2, groups=groups), 4 * low_pass, padding=1)


def downsample_conv2d(x: Tensor, weight: Tensor, bias: Tensor | None, low_pass: Tensor) -> Tensor:
    """F, then a convolution with stride 2; x [N, in, 2H, 2W], weight [out, in, k, k], k = 1 or 3 -> [N, out, H, W].

    The 1x1 convolution needs F at every second pixel alone.
    """
    if weight.shape[-1] == 1:
        return F.conv2d(filter_channels(x, low_pass, padding=1, stride=2), weight, bias)
    return F.conv2d(filter_channels(x, low_pass, padding=2), weight, bias, stride=2)
