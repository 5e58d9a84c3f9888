"""The discriminators of Projected GAN (Sauer et al. 2021, arXiv 2111.01007): one head on each of the mixed features."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fewgan.plugin import advance
from fewgan_projected.backbone import CHANNELS, STRIDES
from fewgan_projected.layers import BatchNorm, SpectralConv2d
from fewgan_projected.projector import Projector

# Channels of a head's maps; the published network names them by the side that they would have in a 256 px image.
WIDTHS = {64: 64, 32: 128, 16: 256, 8: 512}
STARTS = (128, 64, 32, 16)
SLOPE = 0.2
LAST_KERNEL = 4
# Side of the smallest map that a published head ends in, at 224 px: 4x4 logits.
LEAST_SIDE = 7
# The published network sees no image smaller than this.
PUBLISHED_SIDE = 224
LABEL_MAPS = 64
LABEL_EMBEDDING = 128


@dataclass(frozen=True, kw_only=True)
class Head:
    """What determines the shape of a head. scale: index of its features, 0 is the finest. channels: its input's, then
    each down block's output's; with one entry the head is its last convolution alone.
    """

    scale: int
    channels: tuple[int, ...]

    def side(self, map_side: int) -> int:
        """Of the map before the last convolution, for features of this side."""
        return map_side >> (len(self.channels) - 1)


@dataclass(frozen=True, kw_only=True)
class DiscriminatorFacts:
    """What determines the shape of a discriminator.

    across, scales: channels after the two mixings of a Projector. separable: depthwise and 1x1 instead of 4x4
    convolutions. classes: 0 for an unconditional discriminator.
    """

    across: tuple[int, ...] | None
    scales: tuple[int, ...] | None
    heads: tuple[Head, ...]
    separable: bool = False
    classes: int = 0


def mixed_sides(side: int, doubled: bool = True) -> list[int]:
    """Sides of the mixed features of images [N, 3, side, side]; doubled by mixing across scales."""
    return [-(-side // stride) * (2 if doubled else 1) for stride in STRIDES]


def published(
    side: int, *, cout: int = 64, expand: bool = True, separable: bool = False, classes: int = 0
) -> DiscriminatorFacts:
    """The published discriminator for images [N, 3, side, side]: heads 4, 3, 2 and 1 down blocks deep.

    cout: channels of the finest mixed features; expand: coarser ones have 2, 4 and 8 times as many, and the published
    network does. Each head ends in a map of LEAST_SIDE at least, as at 224 px, or of the side of the coarsest features
    where that is smaller, so that there are always four: on smaller features they have fewer blocks, the last ones left
    out. At 64 px they have 3, 2, 1 and 0, and one logit each.
    """
    across = tuple(cout * 2**index if expand else cout for index in range(len(STRIDES)))
    scales = (across[0], *across[:-1])
    sides = mixed_sides(side)
    least = min(LEAST_SIDE, sides[-1])
    heads = []
    for scale, (channels, map_side) in enumerate(zip(scales, sides, strict=True)):
        widths = [width for nominal, width in WIDTHS.items() if nominal < STARTS[scale]]
        room = (map_side // least).bit_length() - 1
        heads.append(Head(scale=scale, channels=(channels, *widths[:room])))
    return DiscriminatorFacts(across=across, scales=scales, heads=tuple(heads), separable=separable, classes=classes)


class DownBlock(nn.Module):
    """Spectrally normalised conv4x4 with stride 2, batch norm, leaky ReLU; [N, in, H, W] -> [N, out, H/2, W/2]."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = SpectralConv2d(in_channels, out_channels, 4, stride=2, padding=1, bias=True)
        self.norm = BatchNorm(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(self.norm(self.conv(x)), SLOPE)


class SeparableDownBlock(nn.Module):
    """Depthwise conv3x3, conv1x1, batch norm, leaky ReLU, average pool 2; [N, in, H, W] -> [N, out, H/2, W/2]."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.depthwise = SpectralConv2d(in_channels, in_channels, 3, padding=1, groups=in_channels)
        self.pointwise = SpectralConv2d(in_channels, out_channels, 1)
        self.norm = BatchNorm(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        h = F.leaky_relu(self.norm(self.pointwise(self.depthwise(x))), SLOPE)
        return F.avg_pool2d(h, 2)


class HeadNetwork(nn.Module):
    """One head: down blocks, and a conv4x4 to the logits or, with classes, to maps that a label's vector weights."""

    def __init__(self, head: Head, *, separable: bool, classes: int) -> None:
        super().__init__()
        block = SeparableDownBlock if separable else DownBlock
        self.down = nn.ModuleList(block(before, after) for before, after in pairwise(head.channels))
        self.last = SpectralConv2d(head.channels[-1], LABEL_MAPS if classes else 1, LAST_KERNEL)
        self.embedding = nn.Embedding(classes, LABEL_EMBEDDING) if classes else None
        self.projection = nn.Linear(LABEL_EMBEDDING, LABEL_MAPS) if classes else None

    def features(self, x: Tensor) -> Tensor:
        """The mixed features of this scale -> the map before the last convolution."""
        for block in self.down:
            x = block(x)
        return x

    def logits(self, x: Tensor, labels: Tensor | None) -> Tensor:
        """That map, labels [N] or None -> logits [N, L]. None: every class at once, the mean of their vectors."""
        maps: Tensor = self.last(x)
        if self.embedding is None or self.projection is None:
            return maps.flatten(1)
        table = self.embedding.weight if labels is None else self.embedding(labels)
        vectors = F.leaky_relu(self.projection(table), SLOPE)
        if labels is None:
            vectors = vectors.mean(0, keepdim=True)
        logits = (maps * vectors[:, :, None, None]).sum(1).flatten(1)
        return logits / math.sqrt(LABEL_MAPS)


class Discriminator(nn.Module):
    """images [N, 3, size, size] in [-1, 1], labels [N] or None -> logits [N, L], the heads' one after the other.

    size: of the images in training. side: images of another size are resized to it, bilinear, before the backbone.
    backbone: images -> features, such as `backbone.pretrained()`. early, seed: of the Projector.
    Raises ValueError where a head does not fit the side.
    """

    separate = True  # batch norm: reals and fakes have statistics of their own

    def __init__(
        self, facts: DiscriminatorFacts, backbone: nn.Module, *, size: int, side: int, early: bool = True, seed: int = 0
    ) -> None:
        super().__init__()
        self.facts, self.size, self.side, self.classes = facts, size, side, facts.classes
        self.backbone = backbone
        self.projector = Projector(CHANNELS, facts.across, facts.scales, early=early, seed=seed)
        sides = mixed_sides(side, doubled=facts.scales is not None)
        heads = []
        self.shapes: list[tuple[int, int, int]] = []
        for head in facts.heads:
            last = head.side(sides[head.scale])
            if last < LAST_KERNEL:
                raise ValueError(f"side {side}: the features of scale {head.scale} are too small for {head}")
            self.shapes.append((head.channels[-1], last, last))
            heads.append(HeadNetwork(head, separable=facts.separable, classes=facts.classes))
        self.heads = nn.ModuleList(heads)

    def blocks(self) -> list[nn.Module]:
        """By depth: the heads' first down blocks with the projector, their second ones, …, their last convolutions."""
        heads = self._heads()
        depth = max(len(head.down) for head in heads)
        found: list[list[nn.Module]]
        found = [[head.down[index] for head in heads if index < len(head.down)] for index in range(depth)]
        last = [module for head in heads for module in (head.last, head.embedding, head.projection)]
        found.append([module for module in last if module is not None])
        return [nn.ModuleList([self.projector, *found[0]]), *map(nn.ModuleList, found[1:])]

    def _heads(self) -> list[HeadNetwork]:
        return [cast(HeadNetwork, head) for head in self.heads]

    def advance(self) -> None:
        for child in self.children():
            advance(child)

    def projected(self, images: Tensor) -> list[Tensor]:
        """The mixed features, finest first."""
        if images.shape[2:] != (self.side, self.side):
            images = F.interpolate(images, size=(self.side, self.side), mode="bilinear", align_corners=False)
        images = images.contiguous(memory_format=torch.channels_last)
        mixed: list[Tensor] = self.projector(self.backbone(images))
        return mixed

    def features(self, images: Tensor) -> Tensor:
        """images -> [N, F], the heads' last maps, flattened."""
        mixed, scales = self.projected(images), (head.scale for head in self.facts.heads)
        found = [head.features(mixed[scale]).flatten(1) for head, scale in zip(self._heads(), scales, strict=True)]
        return torch.cat(found, dim=1)

    def head(self, features: Tensor, labels: Tensor | None) -> Tensor:
        chunks = torch.split(features, [math.prod(shape) for shape in self.shapes], dim=1)
        logits = []
        for head, chunk, shape in zip(self._heads(), chunks, self.shapes, strict=True):
            logits.append(head.logits(chunk.view(-1, *shape), labels))
        return torch.cat(logits, dim=1)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.head(self.features(images), labels)
