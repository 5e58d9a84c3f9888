"""The augmentation as fewgan calls it, and the controller of its probability p (section 2.2 and 3.1)."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor, nn

from fewgan_ada import GROUPS
from fewgan_ada.colour import band_filter, colour_map, cutout, noise, recolour
from fewgan_ada.draws import Draws
from fewgan_ada.geometry import inverse_map, resample

INTERVAL = 4  # updates of D between two changes of p


class Ada(nn.Module):
    """images [N, 3, S, S] -> the same, each operation of each sample firing with probability p.

    p rises while D overfits: every fourth update of D it goes up or down, by what would take it from 0 to 1 in `speed`
    thousand photos, as the mean sign of D's logits for photos lies above or below `target`.
    """

    p: Tensor
    overfitting: Tensor
    signs: Tensor
    photos: Tensor
    updates: Tensor

    def __init__(self, operations: Collection[str], *, target: float, speed: float, initial: float) -> None:
        super().__init__()
        self.operations, self.target, self.speed = frozenset(operations), target, speed
        self.register_buffer("p", torch.tensor(float(initial)))
        self.register_buffer("overfitting", torch.tensor(0.0))  # the mean sign that p was last steered by
        # [1] and not 0-d, which would put them into the metrics.
        for name in ("signs", "photos", "updates"):
            self.register_buffer(name, torch.zeros(1))

    def forward(self, images: Tensor) -> Tensor:
        return self.augmented(images, Draws(len(images), images), self.p.to(images.dtype))

    def augmented(self, images: Tensor, draws: Draws, p: Tensor) -> Tensor:
        """p: a 0-d tensor."""
        height, width = images.shape[2:]
        if self._any("blit", "geom"):
            images = resample(images, inverse_map(draws, self.operations, p, height, width))
        if self._any("color"):
            images = recolour(images, colour_map(draws, self.operations, p))
        if self._any("filter"):
            images = band_filter(images, draws, p)
        if self._any("noise"):
            images = noise(images, draws, p)
        return cutout(images, draws, p) if self._any("cutout") else images

    def _any(self, *groups: str) -> bool:
        return any(not self.operations.isdisjoint(GROUPS[group]) for group in groups)

    @torch.no_grad()
    def observe(self, logits_real: Tensor, images_seen: int) -> None:
        """The controller. Without branches, so that a GPU need not be waited for."""
        logits = logits_real.float()
        self.signs += logits.sign().reshape(len(logits), -1).mean(dim=1).sum()  # D may have several logits an image
        self.photos += len(logits)
        self.updates += 1
        due = self.updates >= INTERVAL
        mean = self.signs / self.photos.clamp(min=1)
        step = torch.sign(mean - self.target) * self.photos / (self.speed * 1000)
        self.p.copy_(torch.where(due, self.p + step, self.p).clamp(0, 1)[0])
        self.overfitting.copy_(torch.where(due, mean, self.overfitting)[0])
        for buffer in (self.signs, self.photos, self.updates):
            buffer.mul_((~due).float())
