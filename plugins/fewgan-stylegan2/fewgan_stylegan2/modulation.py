"""Modulated convolution (Karras et al. 2020, arXiv 1912.04958, section 2.2) in two forms that give the same function.

The style s [N, in] multiplies the weights along their input channels, for each image by itself; demodulation divides
by the root of the sum of squares over input channels and taps.

grouped: makes the weights of each image, and convolves the batch as one image with a group of channels each.
scaled: the same convolution for all images, with x times s before it and times the demodulation factor after it. The
    factors need the sums of squares of the weights over taps alone: rsqrt(s² · Σ weight² + 1e-8), a product [N, in] by
    [in, out].
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from fewgan.plugin import full_precision
from fewgan_stylegan2 import winograd
from fewgan_stylegan2.layers import at_least_float32
from fewgan_stylegan2.resampling import upsample_conv2d

Form = Literal["grouped", "scaled"]
EPSILON = 1e-8


def demodulation(weight: Tensor, style: Tensor) -> Tensor:
    """weight [out, in, k, k], style [N, in] -> factors [N, out], in float32 or wider also under autocast."""
    with full_precision(style.device):
        squares = at_least_float32(weight).square().sum(dim=(2, 3))
        return torch.rsqrt(at_least_float32(style).square() @ squares.t() + EPSILON)


def choose(x: Tensor, weight: Tensor) -> Form:
    """The form with less work for x [N, in, H, W] and weight [out, in, k, k].

    Several images are faster in one ordinary convolution than in groups: on CPUs, with gradients, 1.2 to 18 times for
    2 to 8 images (benchmarks/forms.py). For one image both run the same convolution, and it is a question of which has
    fewer numbers to multiply, weights or activations.
    """
    count, channels, height, width = x.shape
    alone = count == 1 and weight.numel() < (channels + weight.shape[0]) * height * width
    return "grouped" if alone else "scaled"


def _transposed(weight: Tensor) -> Tensor:
    """weight [out, in, k, k] -> [in, out, k, k], contiguous, as a transposed convolution takes it.

    In channels_last this is the transpose of one matrix, for which there is a copy four times as fast as the general
    one; that one takes almost as long as the convolution with 512 channels at 8x8.
    """
    if not weight.is_contiguous(memory_format=torch.channels_last):
        return weight.transpose(0, 1)
    out, channels, side, _ = weight.shape
    matrix = weight.permute(0, 2, 3, 1).reshape(-1, channels)
    return matrix.t().contiguous().view(channels, out, side, side)


def modulated_conv2d(
    x: Tensor, weight: Tensor, style: Tensor, *, up: Tensor | None = None, form: Form | None = None
) -> tuple[Tensor, Tensor | None]:
    """A modulated and demodulated convolution, as (y, factor).

    x [N, in, H, W], weight [out, in, 3, 3], style [N, in]; up: the low-pass filter [4, 4] of an upsampling by two.
    The result is y [N, out, H', W'] times factor [N, out], so that the caller can join the product with what follows;
    None where y is the result. form: None chooses by shape.
    """
    factor = demodulation(weight, style)
    if (form or choose(x, weight)) == "scaled":
        scaled = x * style[:, :, None, None].to(x.dtype)
        if up is None and winograd.serves(scaled, weight):
            return winograd.conv2d(scaled, weight), factor
        if up is None:
            return F.conv2d(scaled, weight, padding=1), factor
        return upsample_conv2d(scaled, _transposed(weight), up), factor
    count, channels, height, width = x.shape
    weights = weight * style[:, None, :, None, None] * factor[:, :, None, None, None]
    grouped = x.reshape(1, count * channels, height, width)
    if up is None:
        y = F.conv2d(grouped, weights.flatten(0, 1), padding=1, groups=count)
    else:
        y = upsample_conv2d(grouped, weights.transpose(1, 2).flatten(0, 1), up, groups=count)
    return y.view(count, -1, *y.shape[2:]), None


def modulated_projection(x: Tensor, weight: Tensor, style: Tensor, bias: Tensor) -> Tensor:
    """A modulated 1x1 convolution without demodulation to few channels; x [N, in, H, W], weight [out, in, 1, 1].

    One product of matrices for each image: with few channels, the weights of an image cost nothing to make, and x is
    read once.
    """
    count, channels, height, width = x.shape
    weights = (weight[:, :, 0, 0] * style[:, None, :]).to(x.dtype)
    pixels = x.permute(0, 2, 3, 1).reshape(count, height * width, channels)  # a view in channels_last
    y = torch.baddbmm(bias.to(x.dtype), pixels, weights.transpose(1, 2))
    return y.view(count, height, width, -1).permute(0, 3, 1, 2)
