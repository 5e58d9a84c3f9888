"""Layers of StyleGAN2 (Karras et al. 2020, arXiv 1912.04958) with equalised learning rates (arXiv 1710.10196).

Weights are stored as N(0, 1), and the factor that He initialisation would have given is applied in forward. Leaky ReLU
always has slope 0.2, comes after the bias and is followed by a factor of √2; since a positive factor commutes with it,
√2 is applied to the weights and biases instead, which are smaller than the activations.

Linear layers run in float32 under autocast: they hold few operations, and the styles that they give steer everything.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fewgan.plugin import full_precision
from fewgan_stylegan2 import winograd
from fewgan_stylegan2.resampling import downsample_conv2d, low_pass

SLOPE = 0.2
GAIN = math.sqrt(2)


def at_least_float32(x: Tensor) -> Tensor:
    return x if x.dtype in (torch.float32, torch.float64) else x.float()


def second_moment_normalized(x: Tensor) -> Tensor:
    """x [N, F] divided by the root of the mean square of each row."""
    return x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + 1e-8)


def clamped(x: Tensor, limit: float | None) -> Tensor:
    return x if limit is None else x.clamp(-limit, limit)


class Linear(nn.Module):
    """y = act(x Wᵀ m/√in + m b), m the learning-rate multiplier; [N, in] -> [N, out], float32 or wider.

    activate: leaky ReLU times √2, else nothing. bias: the initial value.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        activate: bool = False,
        multiplier: float = 1.0,
        bias: float = 0.0,
        gain: float = 1.0,
    ) -> None:
        super().__init__()
        self.activate, self.multiplier = activate, multiplier
        self.gain = gain * (GAIN if activate else 1.0)
        self.weight = nn.Parameter(torch.randn(out_features, in_features) / multiplier)
        self.bias = nn.Parameter(torch.full((out_features,), float(bias)))

    def forward(self, x: Tensor) -> Tensor:
        factor = self.multiplier * self.gain
        with full_precision(x.device):
            scale = factor / math.sqrt(x.shape[1])
            y = torch.addmm(self.bias, at_least_float32(x), self.weight.t(), beta=factor, alpha=scale)
            return F.leaky_relu_(y, SLOPE) if self.activate else y


class ClassEmbedding(Linear):
    """The linear layer of one-hot labels, whose factor is that of their number; [N, classes] -> [N, out]."""

    def rows(self) -> Tensor:
        """What each class adds to the bias, [classes, out]."""
        return self.weight.t() / math.sqrt(self.weight.shape[1])

    @torch.no_grad()
    def set_rows(self, rows: Tensor) -> None:
        """Has each class add its row of [classes, out] to the bias."""
        self.weight.copy_(rows.t() * math.sqrt(len(rows)))


class Conv2d(nn.Module):
    """A convolution of the discriminator, zero-padded to the same size; with `down`, F before it and stride 2.

    activate: bias and leaky ReLU times √2; else neither. gain multiplies the result; clamp limits it to ±clamp·gain.
    """

    resample_filter: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        activate: bool = True,
        down: bool = False,
        gain: float = 1.0,
        clamp: float | None = None,
    ) -> None:
        super().__init__()
        self.down, self.activate = down, activate
        self.gain = gain * (GAIN if activate else 1.0)
        self.limit = None if clamp is None else clamp * gain
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, kernel_size, kernel_size))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if activate else None
        # In the published files; downsampling alone reads it.
        self.register_buffer("resample_filter", low_pass())

    def forward(self, x: Tensor) -> Tensor:
        weight: Tensor = self.weight
        scale = self.gain / math.sqrt(weight[0].numel())
        # The factor goes where there are fewer numbers.
        if x.numel() < weight.numel():
            x = x * scale
        else:
            weight = weight * scale
        bias = None if self.bias is None else self.bias * self.gain
        if self.down:
            y = downsample_conv2d(x, weight, bias, self.resample_filter)
        elif winograd.serves(x, weight):
            y = winograd.conv2d(x, weight, bias)
        else:
            y = F.conv2d(x, weight, bias, padding=weight.shape[-1] // 2)
        return clamped(F.leaky_relu_(y, SLOPE), self.limit) if self.activate else y


class Mapping(nn.Module):
    """z [N, z_dim] and a one-hot condition [N, classes] -> w [N, w_dim]: normalised, then linear layers.

    z_dim 0 leaves z out, classes 0 the condition. The condition is embedded and normalised as z is, and follows it.
    embedded, hidden: widths of the embedding and of the layers between, w_dim where not given. All layers have a
    learning-rate multiplier of 0.01 but for the embedding.
    """

    def __init__(
        self,
        z_dim: int,
        classes: int,
        w_dim: int,
        layers: int,
        *,
        embedded: int | None = None,
        hidden: int | None = None,
    ) -> None:
        super().__init__()
        embedded = 0 if classes == 0 else embedded or w_dim
        widths = [z_dim + embedded, *[hidden or w_dim] * (layers - 1), w_dim]
        self.z_dim, self.layers = z_dim, layers
        self.embed = ClassEmbedding(classes, embedded) if classes else None
        for index in range(layers):
            layer = Linear(widths[index], widths[index + 1], activate=True, multiplier=0.01)
            self.add_module(f"fc{index}", layer)

    def forward(self, z: Tensor | None, condition: Tensor | None) -> Tensor:
        parts = []
        if self.z_dim and z is not None:
            parts.append(second_moment_normalized(at_least_float32(z)))
        if self.embed is not None and condition is not None:
            parts.append(second_moment_normalized(self.embed(condition)))
        x = torch.cat(parts, dim=1) if len(parts) > 1 else parts[0]
        for index in range(self.layers):
            x = self.get_submodule(f"fc{index}")(x)
        return x
