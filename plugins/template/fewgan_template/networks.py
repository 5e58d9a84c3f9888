"""The networks of net.py. Classes enter G as a learned vector beside z, and D by projection."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fewgan.plugin import SpectralConv2d, SpectralLinear, batch_norm

LATENT, CONDITION = 64, 16


class Norm(nn.Module):
    """Batch norm over the batch of all processes."""

    mean: Tensor
    var: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("var", torch.ones(channels))
        self.gain, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return batch_norm(x, self.mean, self.var, self.gain, self.bias, self.training, 0.1, 1e-5)


class Generator(nn.Module):
    """channels: at each resolution, from full size down to 8 x 8."""

    def __init__(self, channels: list[int], size: int, classes: int) -> None:
        super().__init__()
        self.size, self.classes, self.latent_dim = size, classes, LATENT
        self.condition_dim = CONDITION if classes else 0
        self.table = nn.Embedding(classes, CONDITION) if classes else None
        up = channels[::-1]
        self.linear = nn.Linear(LATENT + self.condition_dim, up[0] * 16)
        self.steps = nn.ModuleList(
            nn.Sequential(Norm(a), nn.ReLU(), nn.ConvTranspose2d(a, b, 4, 2, 1))
            for a, b in zip(up, [*up[1:], up[-1]], strict=True)
        )
        self.last = nn.Sequential(Norm(up[-1]), nn.ReLU(), nn.Conv2d(up[-1], 3, 3, padding=1))

    def embed(self, labels: Tensor) -> Tensor:
        return self.linear.weight.new_zeros(len(labels), 0) if self.table is None else self.table(labels)

    def forward(self, z: Tensor, condition: Tensor) -> Tensor:
        h = self.linear(torch.cat((z, condition), 1)).view(len(z), -1, 4, 4)
        for step in self.steps:
            h = step(h)
        return torch.tanh(self.last(h))

    def blocks(self) -> list[nn.Module]:
        first, *middle = self.steps
        stem = [self.linear, first] + ([] if self.table is None else [self.table])
        return [nn.ModuleList(stem), *middle, self.last]


class Discriminator(nn.Module):
    def __init__(self, channels: list[int], size: int, classes: int) -> None:
        super().__init__()
        self.size, self.classes = size, classes
        ends = [*channels[1:], channels[-1]]
        self.first = SpectralConv2d(3, channels[0], 3)
        self.steps = nn.ModuleList(SpectralConv2d(a, b, 3) for a, b in zip(channels, ends, strict=True))
        self.linear = SpectralLinear(ends[-1] * 16, 1)
        self.table = nn.Embedding(classes, ends[-1] * 16) if classes else None

    def features(self, images: Tensor) -> Tensor:
        h = F.leaky_relu(self.first(images), 0.2)
        for step in self.steps:
            h = F.avg_pool2d(F.leaky_relu(step(h), 0.2), 2)
        return h.flatten(1)

    def head(self, features: Tensor, labels: Tensor | None) -> Tensor:
        logits = self.linear(features).squeeze(1)
        if labels is None or self.table is None:
            return logits
        return logits + (self.table(labels) * features).sum(1)

    def forward(self, images: Tensor, labels: Tensor | None) -> Tensor:
        return self.head(self.features(images), labels)

    def blocks(self) -> list[nn.Module]:
        start, *middle = self.steps
        head = [self.linear] + ([] if self.table is None else [self.table])
        return [nn.ModuleList([self.first, start]), *middle, nn.ModuleList(head)]
