"""The discriminator (section 3.3): patches of the image at several scales, blocks, and a class token that is judged."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fewgan_transgan.layers import DEVIATION, Block, Norm, pooled, to_tokens
from fewgan_transgan.shapes import DiscriminatorShape


class Blocks(nn.Module):
    """One scale: its patch embedding of the image, beside what comes from the scale before, and its blocks."""

    def __init__(self, shape: DiscriminatorShape, index: int) -> None:
        super().__init__()
        scale, side, width = shape.scales[index], shape.sides[index], shape.widths[index]
        self.embed = nn.Conv2d(3, scale.width, scale.kernel, scale.stride, scale.padding)
        nn.init.xavier_uniform_(self.embed.weight)
        self.position = nn.Parameter(torch.empty(1, side**2, width))
        nn.init.normal_(self.position, std=DEVIATION)
        self.runs = nn.ModuleList(
            nn.ModuleList(_block(shape, width, run.window, side) for _ in range(run.depth)) for run in scale.runs
        )

    def forward(self, x: Tensor | None, images: Tensor) -> Tensor:
        patches = to_tokens(self.embed(images))
        x = (patches if x is None else torch.cat((pooled(x), patches), 2)) + self.position
        for run in self.runs:
            for block in run:  # type: ignore[attr-defined]
                x = block(x)
        return x


def _block(shape: DiscriminatorShape, width: int, window: int | None, side: int | None) -> Block:
    made = Block(
        width,
        heads=shape.heads,
        norm=shape.norm,
        noise=shape.noise,
        window=window,
        bias=shape.bias and window is not None,
        side=side,
    )
    for module in made.modules():
        if isinstance(module, nn.Linear):
            _initialise(module)
    return made


def _initialise(layer: nn.Linear) -> None:
    nn.init.normal_(layer.weight, std=DEVIATION)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


class Discriminator(nn.Module):
    """images [N, 3, S, S], labels int64 [N] or None -> logits [N].

    Classes are no part of the published method: the features are projected on an embedding of the class (Miyato &
    Koyama 2018, arXiv 1802.05637).
    """

    def __init__(self, shape: DiscriminatorShape, classes: int = 0) -> None:
        super().__init__()
        self.shape, self.size, self.classes = shape, shape.size, classes
        width = shape.widths[-1]
        self.scales = nn.ModuleList(Blocks(shape, index) for index in range(len(shape.scales)))
        self.cls_token = nn.Parameter(torch.empty(1, 1, width))
        nn.init.normal_(self.cls_token, std=DEVIATION)
        self.last_block = _block(shape, width, None, None)
        self.norm = Norm(shape.norm, width)
        self.linear = nn.Linear(width, 1)
        _initialise(self.linear)
        self.class_embed = nn.Embedding(classes, width) if classes else None
        if self.class_embed is not None:
            nn.init.normal_(self.class_embed.weight, std=DEVIATION)

    def blocks(self) -> list[nn.Module]:
        ends = [self.last_block, self.norm, self.linear, self.class_embed]
        last = nn.ModuleList(module for module in ends if module is not None)
        last.register_parameter("cls_token", self.cls_token)
        return [*self.scales, last]

    def features(self, images: Tensor) -> Tensor:
        """[N, F]: the class token after all blocks, normalised."""
        x: Tensor | None = None
        for scale in self.scales:
            x = scale(x, images)
        assert x is not None
        tokens = torch.cat((self.cls_token.expand(len(x), -1, -1).to(x.dtype), x), 1)
        result: Tensor = self.norm(self.last_block.first(tokens))
        return result

    def head(self, features: Tensor, labels: Tensor | None) -> Tensor:
        logits: Tensor = self.linear(features).squeeze(1)
        if labels is None or self.class_embed is None:
            return logits
        projection: Tensor = (self.class_embed(labels) * features).sum(1)
        return logits + projection

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.head(self.features(images), labels)
