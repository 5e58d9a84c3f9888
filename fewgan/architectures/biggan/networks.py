"""BigGAN's generator and discriminator (Brock et al. 2018, arXiv 1809.11096, appendix B, tables 4 to 9)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fewgan.architectures.biggan.layers import (
    BATCH_NORM_MOMENTUM,
    Attention,
    BatchNorm,
    DiscriminatorBlock,
    GeneratorBlock,
    OutputBatchNorm,
)
from fewgan.plugin import SpectralConv2d, SpectralEmbedding, SpectralLinear, advance

# Channels in units of the width: the generator's from the 4x4 bottom to the output, the discriminator's from its first
# block on (its input has 3).
GENERATOR_CHANNELS = {
    32: (4, 4, 4, 4),
    64: (16, 16, 8, 4, 2),
    128: (16, 16, 8, 4, 2, 1),
    256: (16, 16, 8, 8, 4, 2, 1),
}
DISCRIMINATOR_CHANNELS = {
    32: (4, 4, 4, 4),
    64: (1, 2, 4, 8, 16),
    128: (1, 2, 4, 8, 16, 16),
    256: (1, 2, 4, 8, 8, 16, 16),
}
SIZES = tuple(GENERATOR_CHANNELS)


def generator_sizes(size: int) -> list[int]:
    """The side of each generator block's output, from 8 up."""
    return [8 * 2**index for index in range(len(GENERATOR_CHANNELS[size]) - 1)]


def discriminator_sizes(size: int) -> list[int]:
    """The side by which attention names each discriminator block; at 32 px the published table says 16 for all."""
    if size == 32:
        return [16] * 4
    halved = [size // 2**index for index in range(1, len(DISCRIMINATOR_CHANNELS[size]))]
    return [*halved, halved[-1]]


def downsamples(size: int) -> list[bool]:
    """Which discriminator blocks halve the image."""
    return [True, True, False, False] if size == 32 else [True] * (len(DISCRIMINATOR_CHANNELS[size]) - 1) + [False]


class Generator(nn.Module):
    """z [N, latent_dim], condition [N, condition_dim] -> images [N, 3, size, size] in [-1, 1].

    channels: of the 4x4 bottom and of each block. attention: indices of the blocks that it follows. hierarchical: z is
    cut into a chunk for `linear` and one for each block, where it joins the class embedding. shared_embedding: one
    class embedding for all layers; without it the condition is one-hot and each layer has a table.
    """

    def __init__(
        self,
        size: int,
        channels: Sequence[int],
        attention: Sequence[int],
        *,
        latent_dim: int,
        embedding_dim: int,
        classes: int,
        hierarchical: bool,
        shared_embedding: bool,
    ) -> None:
        super().__init__()
        slots = len(channels) if hierarchical else 1
        self.size, self.classes = size, classes
        self.chunk = latent_dim // slots
        self.latent_dim = self.chunk * slots
        self.condition_dim = (embedding_dim if shared_embedding else classes) if classes else 0
        self.hierarchical = hierarchical
        block_condition = self.condition_dim + (self.chunk if hierarchical else 0)

        self.shared = nn.Embedding(classes, embedding_dim) if shared_embedding and classes else None
        if self.shared is not None:
            nn.init.orthogonal_(self.shared.weight)
        self.linear = SpectralLinear(self.chunk, channels[0] * 16)
        blocks = nn.ModuleList()
        for index, (before, after) in enumerate(pairwise(channels)):
            layers: list[nn.Module] = [GeneratorBlock(before, after, block_condition, shared_embedding or not classes)]
            if index in attention:
                layers.append(Attention(after))
            blocks.append(nn.ModuleList(layers))
        # Set past nn.Module's attribute, whose name belongs to the method below; the published names need both.
        self._modules["blocks"] = blocks
        self.output_layer = nn.Sequential(
            OutputBatchNorm(channels[-1]), nn.ReLU(inplace=True), SpectralConv2d(channels[-1], 3, 3)
        )

    def advance(self) -> None:
        """One power iteration in every layer."""
        for child in self.children():
            advance(child)

    def blocks(self) -> list[nn.Module]:
        first, *middle, last = _block_list(self)
        stem = nn.ModuleList([self.linear, first] + ([self.shared] if self.shared is not None else []))
        return [stem, *middle, nn.ModuleList([last, self.output_layer])]

    def embed(self, labels: Tensor) -> Tensor:
        if self.classes == 0:
            return self.linear.weight.new_zeros(len(labels), 0)
        if self.shared is None:
            return F.one_hot(labels, self.classes).to(self.linear.weight.dtype)
        embedded: Tensor = self.shared(labels)
        return embedded

    def forward(self, z: Tensor, condition: Tensor) -> Tensor:
        blocks = _block_list(self)
        if self.hierarchical:
            first, *chunks = torch.split(z, self.chunk, dim=1)
            conditions = [torch.cat((condition, chunk), dim=1) for chunk in chunks]
        else:
            first, conditions = z, [condition] * len(blocks)
        h = self.linear(first).view(len(z), -1, 4, 4).contiguous(memory_format=torch.channels_last)
        for block, block_condition in zip(blocks, conditions, strict=True):
            h = block[0](h, block_condition)
            for attention in block[1:]:
                h = attention(h)
        return torch.tanh(self.output_layer(h))

    @torch.no_grad()
    def standing_statistics(self, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Replaces the running averages of batch norm by the plain mean over these (z, condition) batches.

        The paper's standing statistics (section 3.1). The generator's mode is left as it was.
        """
        norms = [module for module in self.modules() if isinstance(module, BatchNorm)]
        was_training = self.training
        self.train()
        try:
            for count, (z, condition) in enumerate(batches, start=1):
                for norm in norms:
                    norm.momentum = 1 / count  # a running mean over batches; the first one overwrites what was there
                self(z, condition)
        finally:
            self.train(was_training)
            for norm in norms:
                norm.momentum = BATCH_NORM_MOMENTUM


class Discriminator(nn.Module):
    """images [N, 3, size, size], labels [N] or None -> logits [N]; the class enters by projection (arXiv 1802.05637).

    channels: of each block's output. attention: indices of the blocks that it follows.
    """

    def __init__(self, size: int, channels: Sequence[int], attention: Sequence[int], *, classes: int) -> None:
        super().__init__()
        self.size, self.classes = size, classes
        blocks = nn.ModuleList()
        for index, ((before, after), down) in enumerate(zip(pairwise([3, *channels]), downsamples(size), strict=True)):
            layers: list[nn.Module] = [DiscriminatorBlock(before, after, down, first=index == 0)]
            if index in attention:
                layers.append(Attention(after))
            blocks.append(nn.ModuleList(layers))
        self._modules["blocks"] = blocks  # see Generator
        self.linear = SpectralLinear(channels[-1], 1)
        self.embed = SpectralEmbedding(classes, channels[-1]) if classes else None

    def advance(self) -> None:
        """One power iteration in every layer."""
        for child in self.children():
            advance(child)

    def blocks(self) -> list[nn.Module]:
        *blocks, last = _block_list(self)
        return [*blocks, nn.ModuleList([last, self.linear] + ([self.embed] if self.embed is not None else []))]

    def features(self, images: Tensor) -> Tensor:
        h = images.contiguous(memory_format=torch.channels_last)
        for block in _block_list(self):
            for layer in block:
                h = layer(h)
        return F.relu(h).sum(dim=(2, 3))

    def head(self, features: Tensor, labels: Tensor | None) -> Tensor:
        logits: Tensor = self.linear(features).squeeze(1)
        if labels is None or self.embed is None:
            return logits
        projection: Tensor = (self.embed(labels) * features).sum(dim=1)
        return logits + projection

    def forward(self, images: Tensor, labels: Tensor | None) -> Tensor:
        return self.head(self.features(images), labels)


def _block_list(network: nn.Module) -> list[nn.ModuleList]:
    return list(cast(nn.ModuleList, network._modules["blocks"]))  # type: ignore[arg-type]
