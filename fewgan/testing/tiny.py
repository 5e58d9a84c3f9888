"""Networks of 16 px for the kit: small enough for 20 steps in a second, with all that the seam knows of.

They have classes, batch norm, spectral norm and blocks.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fewgan.errors import UsageError
from fewgan.plugin import Defaults, Networks, Plugin, SpectralConv2d, SpectralLinear, batch_norm

SIZE, LATENT, CONDITION, WIDTH = 16, 6, 4, 6


class _Norm(nn.Module):
    mean: Tensor
    var: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("var", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        return batch_norm(x, self.mean, self.var, None, None, self.training, 0.1, 1e-5)


class Generator(nn.Module):
    def __init__(self, classes: int) -> None:
        super().__init__()
        self.size, self.classes, self.latent_dim = SIZE, classes, LATENT
        self.condition_dim = CONDITION if classes else 0
        self.table = nn.Embedding(classes, CONDITION) if classes else None
        self.linear = nn.Linear(LATENT + self.condition_dim, WIDTH * 16)
        self.first, self.second = nn.Conv2d(WIDTH, WIDTH, 3, padding=1), nn.Conv2d(WIDTH, WIDTH, 3, padding=1)
        self.norm, self.last = _Norm(WIDTH), nn.Conv2d(WIDTH, 3, 3, padding=1)

    def embed(self, labels: Tensor) -> Tensor:
        if self.table is None:
            return self.linear.weight.new_zeros(len(labels), 0)
        embedded: Tensor = self.table(labels)
        return embedded

    def blocks(self) -> list[nn.Module]:
        stem = [self.linear, self.first] + ([] if self.table is None else [self.table])
        return [nn.ModuleList(stem), nn.ModuleList([self.second, self.norm, self.last])]

    def forward(self, z: Tensor, condition: Tensor) -> Tensor:
        h = self.linear(torch.cat((z, condition), 1)).view(-1, WIDTH, 4, 4)
        h = F.leaky_relu(self.first(F.interpolate(h, scale_factor=2)), 0.2)
        h = F.leaky_relu(self.norm(self.second(F.interpolate(h, scale_factor=2))), 0.2)
        return torch.tanh(self.last(h))


class Discriminator(nn.Module):
    def __init__(self, classes: int) -> None:
        super().__init__()
        self.size, self.classes = SIZE, classes
        self.first, self.second = SpectralConv2d(3, WIDTH, 3), SpectralConv2d(WIDTH, 2 * WIDTH, 3)
        self.linear = SpectralLinear(2 * WIDTH, 1)
        self.table = nn.Embedding(classes, 2 * WIDTH) if classes else None

    def blocks(self) -> list[nn.Module]:
        head = [self.second, self.linear] + ([] if self.table is None else [self.table])
        return [self.first, nn.ModuleList(head)]

    def features(self, images: Tensor) -> Tensor:
        h = F.leaky_relu(F.avg_pool2d(self.first(images), 2), 0.2)
        return F.leaky_relu(F.avg_pool2d(self.second(h), 2), 0.2).mean((2, 3))

    def head(self, features: Tensor, labels: Tensor | None) -> Tensor:
        logits: Tensor = self.linear(features).squeeze(1)
        if labels is None or self.table is None:
            return logits
        projection: Tensor = (self.table(labels) * features).sum(1)
        return logits + projection

    def forward(self, images: Tensor, labels: Tensor | None) -> Tensor:
        return self.head(self.features(images), labels)


@dataclass(frozen=True, kw_only=True)
class Options:
    """No options."""


def build(options: Options, *, size: int, classes: int) -> Networks:
    if size != SIZE:
        raise UsageError(f"the kit's networks are of {SIZE} px")
    return Networks(Generator(classes), Discriminator(classes), Defaults(discriminator_steps=1))


plugin = Plugin(api=1, summary="The kit's own networks", options=Options, build=build)
