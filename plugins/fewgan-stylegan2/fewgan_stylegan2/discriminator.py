"""StyleGAN2's discriminator (Karras et al. 2020, arXiv 1912.04958), in the names of the official files."""

from __future__ import annotations

import math
from collections.abc import Mapping as MappingType
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fewgan.plugin import full_precision
from fewgan_stylegan2.generator import sides
from fewgan_stylegan2.layers import Conv2d, Linear, Mapping, at_least_float32
from fewgan_stylegan2.resampling import low_pass

Architecture = Literal["resnet", "orig"]


@dataclass(frozen=True, kw_only=True)
class DiscriminatorShape:
    """Everything that decides the discriminator's parameters and function.

    channels: of the activations at each side, 4 to size. architecture: resnet, or orig without shortcuts. group: how
    many images share a standard deviation. embedded, hidden, mapping_layers: of the mapping of labels (see `Mapping`);
    projected: what it gives, as wide as the 4x4 activations where not given. clamp: as for the generator.
    """

    size: int
    channels: MappingType[int, int]
    classes: int = 0
    architecture: Architecture = "resnet"
    group: int = 4
    mapping_layers: int = 8
    embedded: int | None = None
    hidden: int | None = None
    projected: int | None = None
    clamp: float | None = None


def standard_deviation(x: Tensor, group: int) -> Tensor:
    """x [N, C, H, W] with one more channel, last: the spread within the groups of a batch (arXiv 1710.10196, sec. 3).

    Image j is grouped with j + N/G, j + 2N/G …, where G is the largest divisor of N up to `group`. In float32 or wider.
    """
    count, channels, height, width = x.shape
    size = max(divisor for divisor in range(1, min(group, count) + 1) if count % divisor == 0)
    with full_precision(x.device):
        x = at_least_float32(x)
        variance = x.reshape(size, count // size, channels, height, width).var(dim=0, correction=0)
        spread = (variance + 1e-8).sqrt().mean(dim=(1, 2, 3))
        channel = spread.repeat(size)[:, None, None, None].expand(-1, 1, height, width)
        return torch.cat((x, channel), dim=1)


class DiscriminatorBlock(nn.Module):
    """fromrgb in the first block; conv0, conv1 to half the side; the shortcut's mean square is kept by √½."""

    def __init__(
        self, in_channels: int, out_channels: int, *, first: bool, architecture: Architecture, clamp: float | None
    ) -> None:
        super().__init__()
        self.register_buffer("resample_filter", low_pass())
        self.fromrgb = Conv2d(3, in_channels, 1, clamp=clamp) if first else None
        self.conv0 = Conv2d(in_channels, in_channels, 3, clamp=clamp)
        gain = math.sqrt(0.5) if architecture == "resnet" else 1.0
        self.conv1 = Conv2d(in_channels, out_channels, 3, down=True, gain=gain, clamp=clamp)
        self.skip = (
            Conv2d(in_channels, out_channels, 1, activate=False, down=True, gain=gain)
            if architecture == "resnet"
            else None
        )

    def forward(self, x: Tensor) -> Tensor:
        if self.fromrgb is not None:
            x = self.fromrgb(x)
        y: Tensor = self.conv1(self.conv0(x))
        return y if self.skip is None else self.skip(x).add_(y)


class Epilogue(nn.Module):
    """Standard deviation over the batch, conv, fc; `out` makes a logit, or what labels are multiplied with."""

    def __init__(self, channels: int, projected: int, *, group: int, clamp: float | None) -> None:
        super().__init__()
        self.group = group
        self.conv = Conv2d(channels + 1, channels, 3, clamp=clamp)
        self.fc = Linear(channels * 16, channels, activate=True)
        self.out = Linear(channels, projected or 1)

    def forward(self, x: Tensor) -> Tensor:
        with full_precision(x.device):
            y: Tensor = self.fc(self.conv(standard_deviation(x, self.group)).flatten(1))
            return y


class Discriminator(nn.Module):
    """images [N, 3, size, size], labels int64 [N] or None -> logits [N].

    Reals and fakes must be judged apart: the standard deviation is taken over the batch. A network with classes that is
    given no labels gives the mean of its logits over the classes.
    """

    separate = True
    r1_gamma: float | None = None  # of the configuration that the discriminator is trained with

    def __init__(self, shape: DiscriminatorShape) -> None:
        super().__init__()
        self.shape, self.size, self.classes = shape, shape.size, shape.classes
        self.sides = sides(shape.size)[:0:-1]
        for side in self.sides:
            block = DiscriminatorBlock(
                shape.channels[side],
                shape.channels[side // 2],
                first=side == shape.size,
                architecture=shape.architecture,
                clamp=shape.clamp,
            )
            self.add_module(f"b{side}", block)
        width = shape.channels[4]
        projected = (shape.projected or width) if shape.classes else 0
        self.mapping = None
        if shape.classes:
            self.mapping = Mapping(
                0, shape.classes, projected, shape.mapping_layers, embedded=shape.embedded, hidden=shape.hidden
            )
        self.b4 = Epilogue(width, projected, group=shape.group, clamp=shape.clamp)

    def blocks(self) -> list[nn.Module]:
        last = [self.b4] if self.mapping is None else [self.b4, self.mapping]
        return [*(self.get_submodule(f"b{side}") for side in self.sides), nn.ModuleList(last)]

    def features(self, images: Tensor) -> Tensor:
        """images [N, 3, S, S] -> [N, F], F the channels at 4x4."""
        x = images.contiguous(memory_format=torch.channels_last)
        for side in self.sides:
            x = self.get_submodule(f"b{side}")(x)
        features: Tensor = self.b4(x)
        return features

    def head(self, features: Tensor, labels: Tensor | None) -> Tensor:
        out: Tensor = self.b4.out(features)
        if self.mapping is None:
            return out.squeeze(1)
        every = torch.eye(self.classes, dtype=out.dtype, device=out.device)
        if labels is None:
            projections = self.mapping(None, every).mean(dim=0, keepdim=True)
        else:
            projections = self.mapping(None, F.one_hot(labels, self.classes).to(out.dtype))
        logits: Tensor = (out * projections).sum(dim=1) / math.sqrt(out.shape[1])
        return logits

    def forward(self, images: Tensor, labels: Tensor | None) -> Tensor:
        return self.head(self.features(images), labels)
