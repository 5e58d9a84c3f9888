"""Colour operations of SimCLR's views on images [N, 3, H, W] in [0, 1]; every random number is an argument.

Hue is the angle in the plane of chromas, without the hexagon of the usual HSV, so that the way to HSV and back is not
the identity (up to 0.014 off); this is what ContraD was published with.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from fewgan.plugin import constant

EPSILON = 1e-8
LUMA = (0.299, 0.587, 0.114)
BACK = (5.0, 3.0, 1.0)


def contrast(images: Tensor, factor: Tensor) -> Tensor:
    """factor [N, 1, 1, 1], about the mean of each channel over its pixels; clamped to [0, 1]."""
    mean = images.mean(dim=(2, 3), keepdim=True)
    return ((images - mean) * factor + mean).clamp(0, 1)


def rgb_to_hsv(images: Tensor) -> Tensor:
    """Hue in turns [0, 1), saturation, value."""
    red, green, blue = images.unbind(1)
    hue = torch.atan2(math.sqrt(3) * (green - blue), 2 * red - green - blue) / (2 * math.pi) % 1
    least, most = images.amin(1), images.amax(1)
    return torch.stack((hue, 1 - least / (most + EPSILON), most), dim=1)


def hsv_to_rgb(images: Tensor) -> Tensor:
    """The way back, by the usual piecewise linear colours of a hue."""
    hue, saturation, value = (channel.unsqueeze(1) for channel in images.unbind(1))
    place = (constant(BACK, images).view(1, 3, 1, 1) + 6 * hue) % 6
    return value - value * saturation * torch.minimum(place, 4 - place).clamp(0, 1)


def shift_hsv(images: Tensor, hue: Tensor, saturation: Tensor, value: Tensor) -> Tensor:
    """hue in turns is added, saturation and value are factors; each [N, 1, 1]. HSV is clamped to [0, 1].

    The gradient passes straight through: that of the images is that of the result.
    """
    with torch.no_grad():
        hsv = rgb_to_hsv(images)
        parts = ((hsv[:, 0] + hue) % 1, hsv[:, 1] * saturation, hsv[:, 2] * value)
        result = hsv_to_rgb(torch.stack(parts, dim=1).clamp(0, 1))
    return result + (images - images.detach())


def grey(images: Tensor) -> Tensor:
    """The luma in all three channels."""
    weights = constant(LUMA, images).view(1, 3, 1, 1)
    return (images * weights).sum(dim=1, keepdim=True).expand_as(images)
