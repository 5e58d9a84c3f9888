"""The generator (section 3.1 and appendix): tokens from z, blocks, and maps that grow by pixel shuffle."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fewgan_transgan.layers import DEVIATION, Block, interpolated, shuffled, smoothed, to_map
from fewgan_transgan.shapes import GeneratorShape, Stage

CLASS_WIDTH = 128  # of the embedding of a class, which is put after z


class Blocks(nn.Module):
    """The blocks of one map, after its position embedding."""

    def __init__(self, stage: Stage, shape: GeneratorShape, context: int | None) -> None:
        super().__init__()
        self.up = stage.up
        self.position = nn.Parameter(torch.empty(1, stage.side**2, stage.width))
        nn.init.normal_(self.position, std=DEVIATION)
        self.block = nn.ModuleList(
            Block(
                stage.width,
                heads=shape.heads,
                norm=shape.norm,
                noise=shape.noise,
                window=stage.window,
                side=stage.side,
                context=context,
            )
            for _ in range(stage.depth)
        )

    def forward(self, x: Tensor, context: Tensor | None) -> Tensor:
        if self.up == "smooth-shuffle":
            x = smoothed(x)
        if self.up:
            x = interpolated(x) if self.up == "bicubic" else shuffled(x)
        x = x + self.position
        for block in self.block:
            x = block(x, context)
        return x


class Generator(nn.Module):
    """z [N, Z], condition [N, C] -> images [N, 3, S, S] without tanh: values leave [-1, 1] freely.

    Classes are no part of the published method: an embedding of the class is put after z.
    """

    def __init__(self, shape: GeneratorShape, classes: int = 0) -> None:
        super().__init__()
        self.shape, self.size, self.classes = shape, shape.size, classes
        self.latent_dim, self.condition_dim = shape.latent_dim, CLASS_WIDTH if classes else 0
        first = shape.stages[0]
        given = self.latent_dim + self.condition_dim
        self.class_embed = nn.Embedding(classes, CLASS_WIDTH) if classes else None
        self.l1 = nn.Linear(given, first.side**2 * first.width)
        self.embedding_transform: nn.Linear | None = None
        self.embed_pos: nn.Parameter | None = None
        if shape.cross:
            self.embedding_transform = nn.Linear(given, first.side**2 * first.width)
            self.embed_pos = nn.Parameter(torch.zeros(1, first.side**2, first.width))
        context = first.width if shape.cross else None
        self.stages = nn.ModuleList(Blocks(stage, shape, context) for stage in shape.stages)
        self.output = nn.Conv2d(shape.stages[-1].width, 3, 1)
        nn.init.xavier_uniform_(self.output.weight)

    def embed(self, labels: Tensor) -> Tensor:
        if self.class_embed is None:
            return self.l1.weight.new_zeros(len(labels), 0)
        embedded: Tensor = self.class_embed(labels)
        return embedded

    def blocks(self) -> list[nn.Module]:
        stem: list[nn.Module | None] = [self.l1, self.class_embed, self.embedding_transform, self.stages[0]]
        first = _Group([module for module in stem if module is not None])
        if self.embed_pos is not None:
            first.register_parameter("embed_pos", self.embed_pos)
        return [first, *self.stages[1:-1], _Group([self.stages[-1], self.output])]

    def forward(self, z: Tensor, condition: Tensor) -> Tensor:
        given = torch.cat((z, condition.to(z)), 1)
        first = self.shape.stages[0]
        x = self.l1(given).view(len(z), first.side**2, first.width)
        context = None
        if self.embedding_transform is not None:
            context = self.embedding_transform(given).view_as(x) + self.embed_pos
        for stage in self.stages:
            x = stage(x, context)
        images: Tensor = self.output(to_map(x))
        return images


class _Group(nn.ModuleList):
    """Modules that are one block, and parameters beside them."""
