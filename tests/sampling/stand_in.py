"""A model that draws at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from fewgan.sampling.generate import pictures


class Generator(nn.Module):
    """A small picture for each latent and class, with a batch norm to re-estimate."""

    latent_dim, condition_dim, size = 6, 3, 16

    def __init__(self, classes: int = 0) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.classes = classes
        self.class_counts = ()
        self.linear = nn.Linear(6 + 3, 3 * 16 * 16)
        self.norm = nn.BatchNorm1d(3 * 16 * 16, momentum=None)

    def embed(self, labels: Tensor) -> Tensor:
        return nn.functional.one_hot(labels, 3).float()

    def forward(self, z: Tensor, condition: Tensor) -> Tensor:
        return torch.tanh(self.norm(self.linear(torch.cat((z, condition), 1)))).view(-1, 3, 16, 16)

    def standing_statistics(self, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
        self.norm.reset_running_stats()
        self.train()
        for z, condition in batches:
            self(z, condition)
        self.eval()


class OwnTruncation(Generator):
    """Truncates by itself, as StyleGAN2 does in w."""

    standing_statistics = None  # type: ignore[assignment]

    def sample(self, z: Tensor, condition: Tensor, truncation: float) -> Tensor:
        self.seen = z.abs().max()
        return self(z * truncation, condition)


class Mapper(nn.Module):
    def forward(self, z: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        self.seen = z
        return z.flip(1), z[:, :3]


class Model:
    """Stands in for fewgan.sources.model.Model."""

    config: Mapping[str, Any] = {}

    def __init__(self, generator: Any = None, mapper: Any = None, classes: tuple[str, ...] = ()) -> None:
        self.generator = (generator or Generator(len(classes))).eval()
        self.mapper, self.classes, self.name, self.device = mapper, classes, "00001-cats", torch.device("cpu")
        self.class_counts: tuple[int, ...] = ()
        self.largest = 0

    def to(self, device: torch.device) -> Model:
        return self

    def conditions(self, z: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        return (z, self.generator.embed(labels)) if self.mapper is None else self.mapper(z, labels)

    @torch.no_grad()
    def generate(self, z: Tensor, labels: Tensor, truncation: float | None = None) -> Tensor:
        self.largest = max(self.largest, len(z))
        return self.images(*self.conditions(z, labels), truncation)

    @torch.no_grad()
    def images(self, z: Tensor, condition: Tensor, truncation: float | None = None) -> Tensor:
        if truncation is not None and hasattr(self.generator, "sample"):
            return self.generator.sample(z, condition, truncation)  # type: ignore[no-any-return]
        return self.generator(z, condition)  # type: ignore[no-any-return]


def all_of(model: Any, count: int, **settings: Any) -> Tensor:
    return torch.cat(list(pictures(model, count, **settings)))
