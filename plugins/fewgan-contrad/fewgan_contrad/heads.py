"""The three heads of ContraD (section 3.3, appendix A) on the features of any discriminator."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fewgan.plugin import SpectralLinear

SLOPE = 0.1
DEVIATION = 0.02
# Features of the published encoders at most. Wider ones are averaged in groups of neighbours, pixels of one channel
# where features are a flattened map, or the heads would outweigh D.
MOST_FEATURES = 8192


def is_spectral(discriminator: nn.Module) -> bool:
    """Whether it has spectrally normalised layers, fewgan's or those that a package has of its own."""
    return any(type(module).__name__.startswith("Spectral") for module in discriminator.modules())


@torch.no_grad()
def feature_count(discriminator: Any) -> int:
    """F of features(images) -> [N, F]; found by one forward of a black image, which changes no state."""
    modules = [(module, module.training) for module in discriminator.modules()]
    like = next(discriminator.parameters())
    try:
        discriminator.eval()
        with torch.random.fork_rng(devices=[]):
            shape = (1, 3, discriminator.size, discriminator.size)
            return int(discriminator.features(like.new_zeros(shape)).shape[1])
    finally:
        for module, training in modules:
            module.training = training


class GanHead(nn.Module):
    """features [N, F] -> logits [N]. Labels [N] of classes, where there are any, enter by projection of the hidden
    layer on an embedding (Miyato & Koyama 2018, arXiv 1802.05637); they are no part of the published method.
    """

    def __init__(self, features: int, hidden: int, *, classes: int, spectral: bool) -> None:
        super().__init__()
        self.l1, self.l2 = linear(features, hidden, spectral), linear(hidden, 1, spectral)
        self.embed = nn.Embedding(classes, hidden) if classes else None
        if self.embed is not None:
            nn.init.zeros_(self.embed.weight)

    def forward(self, features: Tensor, labels: Tensor | None) -> Tensor:
        hidden = F.leaky_relu(self.l1(features), SLOPE)
        logits: Tensor = self.l2(hidden).squeeze(1)
        if self.embed is not None and labels is not None:
            logits = logits + (self.embed(labels) * hidden).sum(dim=1)
        return logits


class Heads(nn.Module):
    """linear: the GAN head; projection: contrasts photos; projection2: contrasts fakes with photos.

    features: how many D has. hidden, projection: widths. spectral: every linear layer is spectrally normalised.
    """

    def __init__(
        self, features: int, *, hidden: int, projection: int, classes: int = 0, spectral: bool = False
    ) -> None:
        super().__init__()
        group = -(-features // MOST_FEATURES)
        self.features = -(-features // group)
        self.linear = GanHead(self.features, hidden, classes=classes, spectral=spectral)
        self.projection = _projection(self.features, hidden, projection, spectral)
        self.projection2 = _projection(self.features, hidden, projection, spectral)

    def pooled(self, features: Tensor) -> Tensor:
        """[N, F] -> [N, self.features], what the heads take: the same unless D has very many."""
        if features.shape[1] == self.features:
            return features
        group = -(-features.shape[1] // self.features)
        padded = F.pad(features, (0, group * self.features - features.shape[1]))
        return padded.view(-1, self.features, group).mean(dim=2)


def _projection(features: int, hidden: int, projection: int, spectral: bool) -> nn.Sequential:
    return nn.Sequential(linear(features, hidden, spectral), nn.LeakyReLU(SLOPE), linear(hidden, projection, spectral))


def linear(features: int, out: int, spectral: bool) -> nn.Module:
    """As published: plain layers are initialised as PyTorch does it, spectral ones with N(0, 0.02) and biases 0."""
    if not spectral:
        return nn.Linear(features, out)
    made = SpectralLinear(features, out)
    nn.init.normal_(made.weight, std=DEVIATION)
    assert made.bias is not None
    nn.init.zeros_(made.bias)
    return made
