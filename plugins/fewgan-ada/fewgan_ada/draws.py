"""The random numbers of the pipeline, each kind asked for by name, so that tests can put fixed ones in their place."""

from __future__ import annotations

import math

import torch
from torch import Tensor


class Draws:
    """Numbers for `count` samples, [count, …], on one device."""

    def __init__(self, count: int, like: Tensor) -> None:
        self.count, self.device, self.dtype = count, like.device, like.dtype

    def uniform(self, *shape: int) -> Tensor:
        """In [0, 1)."""
        return torch.rand(self.count, *shape, device=self.device, dtype=self.dtype)

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(self.count, *shape, device=self.device, dtype=self.dtype)

    def half_normal(self, *shape: int) -> Tensor:
        return self.normal(*shape).abs()

    def angle(self) -> Tensor:
        """In radians, all directions alike."""
        return (2 * self.uniform() - 1) * math.pi

    def fires(self, probability: Tensor, *shape: int) -> Tensor:
        """bool [count, …], true with a probability that is a 0-d tensor."""
        return torch.rand(self.count, *shape, device=self.device, dtype=self.dtype) < probability

    def where(self, probability: Tensor, value: Tensor, otherwise: float) -> Tensor:
        """`value` for the samples for which the operation fires, `otherwise` for the others."""
        shape = value.shape[1:] if value.dim() == 1 else (1,) * (value.dim() - 1)
        return torch.where(self.fires(probability, *shape), value, torch.full_like(value, otherwise))
