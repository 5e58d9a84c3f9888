"""The FastGAN generator (Liu et al. 2021, arXiv 2101.04775) as Projected GAN uses it (arXiv 2111.01007, appendix)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fewgan.plugin import advance
from fewgan_projected.layers import (
    BatchNorm,
    ConditionalBatchNorm,
    LatentConv,
    Noise,
    SpectralConv2d,
    UpsampleConv2d,
    gated,
)

# Channels of the features at each side, in units of the width.
CHANNELS = {4: 16.0, 8: 8.0, 16: 4.0, 32: 2.0, 64: 2.0, 128: 1.0, 256: 0.5, 512: 0.25, 1024: 0.125}
SIZES = (64, 128, 256, 512, 1024)
# The features at these sides are excited by those 16 times smaller.
EXCITED = (64, 128, 256, 512)
ALTERNATING_SMALL = (16, 64, 256, 1024)
LATENT_EPSILON = 1e-8


@dataclass(frozen=True, kw_only=True)
class GeneratorFacts:
    """What determines the shape of a generator.

    size: side of the images, one of SIZES. width: channels in units of which CHANNELS counts; 128 in the paper.
    lite: the small blocks, without noise, half as deep. alternating: big and small blocks take turns, as in FastGAN and
    in the first code of Projected GAN. classes: 0 for an unconditional generator. original: as FastGAN itself has it,
    and not Projected GAN: alternating, and z stays as long as it is. huggan: such a one is HugGAN's, which squashes
    images of every size.
    """

    size: int
    width: int = 128
    latent_dim: int = 256
    lite: bool = False
    alternating: bool = False
    classes: int = 0
    original: bool = False
    huggan: bool = True

    def small(self, side: int) -> bool:
        """Whether the block that gives features of that side is a small one."""
        return side in ALTERNATING_SMALL if self.alternating or self.original else self.lite

    def squashed(self) -> bool:
        """Whether tanh squashes the images. FastGAN's own code does so at 1024 px alone."""
        return self.original and (self.huggan or self.size == 1024)

    def channels(self, side: int) -> int:
        return int(CHANNELS[side] * self.width)

    def sides(self) -> list[int]:
        """Of the features, from 4 up to the image's."""
        return [side for side in CHANNELS if side <= self.size]


class Stem(nn.Module):
    """z [N, Z] -> [N, channels, 4, 4]: transposed convolution, batch norm, gate."""

    def __init__(self, latent_dim: int, channels: int) -> None:
        super().__init__()
        self.conv = LatentConv(latent_dim, 2 * channels)
        self.norm = BatchNorm(2 * channels)

    def forward(self, z: Tensor) -> Tensor:
        return gated(self.norm(self.conv(z)))


class SmallBlock(nn.Module):
    """Nearest x2, conv3x3, batch norm, gate; x [N, in, H, W] -> [N, out, 2H, 2W]."""

    def __init__(self, in_channels: int, out_channels: int, condition_dim: int) -> None:
        super().__init__()
        self.conv = UpsampleConv2d(in_channels, 2 * out_channels)
        self.norm = _norm(2 * out_channels, condition_dim)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        return gated(self.norm(self.conv(x), condition))


class BigBlock(nn.Module):
    """Nearest x2, conv3x3, noise, batch norm, gate, and the last four once more; [N, in, H, W] -> [N, out, 2H, 2W].

    Both noises of a conditional block have one strength, `noise1`.
    """

    def __init__(self, in_channels: int, out_channels: int, condition_dim: int) -> None:
        super().__init__()
        self.conv1 = UpsampleConv2d(in_channels, 2 * out_channels)
        self.noise1 = Noise()
        self.norm1 = _norm(2 * out_channels, condition_dim)
        self.conv2 = SpectralConv2d(out_channels, 2 * out_channels, 3, padding=1)
        self.noise2 = None if condition_dim else Noise()
        self.norm2 = _norm(2 * out_channels, condition_dim)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        x = gated(self.norm1(self.noise1(self.conv1(x)), condition))
        noise = self.noise1 if self.noise2 is None else self.noise2
        return gated(self.norm2(noise(self.conv2(x)), condition))


def _norm(channels: int, condition_dim: int) -> nn.Module:
    return ConditionalBatchNorm(channels, condition_dim) if condition_dim else BatchNorm(channels)


class Excitation(nn.Module):
    """Skip-layer excitation: small [N, in, h, w] scales the channels of x [N, out, H, W] by numbers in (0, 1)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv1 = SpectralConv2d(in_channels, out_channels, 4)
        self.conv2 = SpectralConv2d(out_channels, out_channels, 1)

    def forward(self, small: Tensor, x: Tensor) -> Tensor:
        pooled = F.adaptive_avg_pool2d(small, 4)
        scale: Tensor = self.conv2(F.silu(self.conv1(pooled)))
        return x * scale.sigmoid()


def _scaled(z: Tensor) -> Tensor:
    """z [N, Z] at unit mean square."""
    return z * torch.rsqrt(z.square().mean(dim=1, keepdim=True) + LATENT_EPSILON)


def _latents(latent_dim: int, count: int, random: torch.Generator | None) -> Tensor:
    """z [count, Z], uniform in direction and at unit mean square."""
    return _scaled(torch.randn(count, latent_dim, generator=random, device=None if random is None else random.device))


class Generator(nn.Module):
    """z [N, latent_dim], condition [N, condition_dim] -> images [N, 3, size, size], not squashed into [-1, 1].

    z is scaled to unit mean square first. The condition is a row of `embedding` for each image. Noise is drawn in
    forward, unless the network is lite. In a new network u and v of each layer come from one power iteration.
    Of an original FastGAN, z is not scaled, and tanh may squash the images: see `GeneratorFacts`.
    """

    def __init__(self, facts: GeneratorFacts) -> None:
        super().__init__()
        self.facts = facts
        self.size, self.classes, self.latent_dim = facts.size, facts.classes, facts.latent_dim
        self.condition_dim = facts.latent_dim if facts.classes else 0
        if not facts.original:  # a law of its own: z is scaled in forward, so that a truncated z would be no other
            self.latents = partial(_latents, facts.latent_dim)
        self.embedding = nn.Embedding(facts.classes, facts.latent_dim) if facts.classes else None
        self.stem = Stem(facts.latent_dim, facts.channels(4))
        # Both by the side of the features that they give.
        self.features = nn.ModuleDict()
        self.excitations = nn.ModuleDict()
        for before, side in pairwise(facts.sides()):
            block = SmallBlock if facts.small(side) else BigBlock
            self.features[str(side)] = block(facts.channels(before), facts.channels(side), self.condition_dim)
            if side in EXCITED:
                self.excitations[str(side)] = Excitation(facts.channels(side // 16), facts.channels(side))
        self.output = SpectralConv2d(facts.channels(facts.size), 3, 3, padding=1, bias=not facts.original)

    def blocks(self) -> list[nn.Module]:
        found = []
        for index, (side, block) in enumerate(self.features.items()):
            parts: list[nn.Module | None] = [self.stem, self.embedding] if index == 0 else []
            parts.append(block)
            if side in self.excitations:
                parts.append(self.excitations[side])
            if int(side) == self.size:
                parts.append(self.output)
            found.append(nn.ModuleList([part for part in parts if part is not None]))
        return list(found)

    def advance(self) -> None:
        for child in self.children():
            advance(child)

    def embed(self, labels: Tensor) -> Tensor:
        if self.embedding is None:
            return self.output.weight.new_zeros(len(labels), 0)
        embedded: Tensor = self.embedding(labels)
        return embedded

    def forward(self, z: Tensor, condition: Tensor) -> Tensor:
        if not self.facts.original:
            z = _scaled(z)
        x = self.stem(z).contiguous(memory_format=torch.channels_last)
        found = {4: x}
        for name, block in self.features.items():
            x, side = block(x, condition), int(name)
            if name in self.excitations:
                x = self.excitations[name](found[side // 16], x)
            found[side] = x
        image: Tensor = self.output(x)
        return image.tanh() if self.facts.squashed() else image
