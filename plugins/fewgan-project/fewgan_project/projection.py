"""Latents nearest to images, by gradient descent through a generator (Karras et al. 2020, arXiv 1912.04958, section 5).

The distance is that of Zhang et al. 2018 (arXiv 1801.03924, equation 1) without learned weights: feature maps with
unit length in the channels at each place, the squared difference summed over channels and averaged over places and
maps; and the mean squared difference of pixels in [-1, 1].
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from fewgan.sampling import stored

Maps = Callable[[Tensor], list[Tensor]]

SPACES = ("auto", "z", "w", "w+")
CANDIDATES, LARGEST_GROUP = 64, 16
DRAWN = 4096
"""How many w their mean and spread are taken of."""
NOISE, NOISE_UNTIL = 0.05, 0.75
RISE, FALL = 0.05, 0.25


@dataclass(frozen=True)
class Projection:
    """latents: of one of `stored.FORMS`, on the CPU. distances, starts: float32 [N], at the end and at the start."""

    latents: dict[str, Tensor]
    distances: Tensor
    starts: Tensor


def unit(maps: Sequence[Tensor]) -> list[Tensor]:
    """Maps with unit length in the channels at each place."""
    return [one * torch.rsqrt(one.square().sum(dim=1, keepdim=True) + 1e-10) for one in maps]


def perceptual(one: Sequence[Tensor], other: Sequence[Tensor]) -> Tensor:
    """[N], 0 to 4: the distance between unit maps; batches of 1 are broadcast."""
    parts = [(a - b).square().sum(dim=1).mean(dim=(1, 2)) for a, b in zip(one, other, strict=True)]
    return torch.stack(parts).mean(dim=0)


def rate_at(progress: float) -> float:
    """The factor of the learning rate at a share of the steps: up in the first 5 %, down to 0 in the last 25 %."""
    fall = min(1.0, (1 - progress) / FALL)
    return min(1.0, progress / RISE) * (0.5 - 0.5 * math.cos(math.pi * fall))


def noise_at(progress: float) -> float:
    """Noise on the latents at a share of the steps, in multiples of their spread; none in the last quarter."""
    return float(NOISE * max(0.0, 1 - progress / NOISE_UNTIL) ** 2)


class Target:
    """Images to come near to: [N, 3, S, S] in [-1, 1], and their maps. pixels: weight of the pixels' difference."""

    def __init__(self, images: Tensor, maps: Maps, pixels: float) -> None:
        self.images, self._maps, self.pixels = images, maps, pixels
        with torch.no_grad():
            self.maps = unit(maps(_as_bytes(images)))

    def distance(self, made: Tensor) -> Tensor:
        """[N]: of each image to that of the same row."""
        found = perceptual(unit(self._maps(_as_bytes(made))), self.maps)
        return found + self.pixels * (made - self.images).square().mean(dim=(1, 2, 3))

    @torch.no_grad()
    def to_each(self, made: Tensor) -> Tensor:
        """[N, M]: of each target to each of M images."""
        maps = unit(self._maps(_as_bytes(made)))
        rows = []
        for index, image in enumerate(self.images):
            found = perceptual(maps, [one[index : index + 1] for one in self.maps])
            rows.append(found + self.pixels * (made - image).square().mean(dim=(1, 2, 3)))
        return torch.stack(rows)


def space_of(model: Any, asked: str = "auto") -> str:
    """z, w or w+. auto: z before a mapper, else w where the generator has it. Raises ValueError for what it has not."""
    has_w = hasattr(model.generator, "from_w")
    if asked == "auto":
        return "w" if has_w and model.mapper is None else "z"
    if asked != "z" and not has_w:
        raise ValueError("this generator has no w space; use z")
    return asked


def project(
    model: Any,
    images: Tensor,
    maps: Maps,
    *,
    space: str = "z",
    steps: int = 500,
    rate: float = 0.1,
    pixels: float = 0.1,
    labels: Sequence[int] | None = None,
    seed: int = 0,
    advance: Callable[[], None] = lambda: None,
) -> Projection:
    """The latents of a model nearest to images [N, 3, S, S] in [-1, 1] on its device, each by itself.

    maps: float [N, 3, H, W] in [0, 255] -> feature maps, differentiable. space: of `space_of`. labels: of each image;
    None: of the nearest of 64 pictures drawn from the model, which z starts from, too; w starts from its mean.
    advance: called once a step.
    """
    random = torch.Generator().manual_seed(seed % 2**63)
    target = Target(images, maps, pixels)
    devices = [images.device] if images.device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(seed)
        variable = _start(model, target, space, labels, random)
        if space == "w+":
            variable.values["w"] = variable.values["w"][:, None].repeat(1, model.generator.w_shape[0], 1)
        return _descend(model, target, variable, steps=steps, rate=rate, random=random, advance=advance)


@dataclass
class _Variable:
    """What learns (`values`) and what does not (`fixed`); scales: of the steps and the noise of each value."""

    values: dict[str, Tensor]
    fixed: dict[str, Tensor]
    rates: dict[str, float]
    noises: dict[str, float]
    longest: Tensor | None = None  # of z [N]

    def latents(self, random: torch.Generator | None = None, noise: float = 0.0) -> dict[str, Tensor]:
        values = dict(self.values)
        if random is not None and noise:
            for name, spread in self.noises.items():
                drawn = torch.randn(values[name].shape, generator=random).to(values[name])
                values[name] = values[name] + drawn * (noise * spread)
        return {**values, **self.fixed}


def _start(model: Any, target: Target, space: str, labels: Sequence[int] | None, random: torch.Generator) -> _Variable:
    generator, count, device = model.generator, len(target.images), target.images.device
    z, kinds = _nearest(model, target, labels, random)
    if space != "z":
        means, spread = [], 0.0
        for label in kinds.tolist():
            mean, spread = _mean_w(generator, label, device)
            means.append(mean)
        return _Variable({"w": torch.stack(means)}, {}, {"w": 1.0}, {"w": spread})
    own_law = hasattr(generator, "latents")
    longest = None if own_law else z.norm(dim=1).clamp(min=math.sqrt(z.shape[1]))
    if model.mapper is not None:
        return _Variable({"z": z}, {"labels": kinds}, {"z": 1.0}, {"z": 1.0}, longest)
    with torch.no_grad():
        condition = generator.embed(kinds).float()
    if not condition.numel() or not generator.classes:
        return _Variable({"z": z}, {"condition": condition.reshape(count, -1)}, {"z": 1.0}, {"z": 1.0}, longest)
    size = float(condition.square().mean().sqrt())  # a class vector may be small
    return _Variable({"z": z, "condition": condition}, {}, {"z": 1.0, "condition": size}, {"z": 1.0}, longest)


@torch.no_grad()
def _nearest(
    model: Any, target: Target, labels: Sequence[int] | None, random: torch.Generator
) -> tuple[Tensor, Tensor]:
    """z [N, Z] and labels [N] of the nearest of CANDIDATES pictures to each target."""
    generator, device = model.generator, target.images.device
    classes = max(generator.classes, 1)
    if hasattr(generator, "latents"):
        z = generator.latents(CANDIDATES, random).to(device)
    else:
        z = torch.randn(CANDIDATES, generator.latent_dim, generator=random).to(device)
    kinds = (
        torch.arange(CANDIDATES) * classes // CANDIDATES if classes > CANDIDATES else torch.arange(CANDIDATES) % classes
    )
    choices = [None] * len(target.images) if labels is None else list(labels)
    best_z, best_kinds = [], []
    for wanted in dict.fromkeys(choices):
        these = (kinds if wanted is None else torch.full_like(kinds, wanted)).to(device)
        parts = [
            target.to_each(model.generator(*model.conditions(some, of)))
            for some, of in zip(z.split(LARGEST_GROUP), these.split(LARGEST_GROUP), strict=True)
        ]
        nearest = torch.cat(parts, dim=1).argmin(dim=1)
        best_z.append(z[nearest])
        best_kinds.append(these[nearest])
    row = [list(dict.fromkeys(choices)).index(wanted) for wanted in choices]
    picked = torch.arange(len(choices), device=device)
    chosen = torch.tensor(row, device=device)
    return torch.stack(best_z)[chosen, picked].clone(), torch.stack(best_kinds)[chosen, picked]


@torch.no_grad()
def _mean_w(generator: Any, label: int, device: torch.device) -> tuple[Tensor, float]:
    """The mean of w over DRAWN z of a class, and the root of their mean squared distance from it."""
    z = torch.randn(DRAWN, generator.latent_dim, generator=torch.Generator().manual_seed(0)).to(device)
    w = generator.mapping(z, generator.embed(torch.full((DRAWN,), label, device=device)))
    mean = w.mean(dim=0)
    return mean, float((w - mean).square().sum(dim=1).mean().sqrt())


def _descend(
    model: Any,
    target: Target,
    variable: _Variable,
    *,
    steps: int,
    rate: float,
    random: torch.Generator,
    advance: Callable[[], None],
) -> Projection:
    for value in variable.values.values():
        value.requires_grad_()
    groups = [{"params": [value], "scale": variable.rates[name]} for name, value in variable.values.items()]
    optimizer = torch.optim.Adam(groups, lr=rate, betas=(0.9, 0.999))
    with torch.no_grad():
        starts = target.distance(stored.draw(model, variable.latents()))
    best, nearest = {name: value.detach().clone() for name, value in variable.values.items()}, starts.clone()
    for step in range(steps + 1):
        progress = step / steps
        noise = noise_at(progress)
        found = target.distance(stored.draw(model, variable.latents(random, noise)))
        if not noise:
            # What is kept was measured without noise on the latents.
            better = found.detach() < nearest
            nearest = torch.where(better, found.detach(), nearest)
            for name, value in variable.values.items():
                best[name][better] = value.detach()[better]
        if step == steps:
            break
        gradients = torch.autograd.grad(found.sum(), list(variable.values.values()))
        for value, gradient in zip(variable.values.values(), gradients, strict=True):
            value.grad = gradient
        for group in optimizer.param_groups:
            group["lr"] = rate * group["scale"] * rate_at((step + 1) / steps)
        optimizer.step()
        if variable.longest is not None:
            with torch.no_grad():  # z no longer than draws of N(0, 1), which is where the generator was trained
                z = variable.values["z"]
                z.mul_((variable.longest / z.norm(dim=1).clamp(min=1e-9)).clamp(max=1)[:, None])
        advance()
    latents = {name: tensor.detach().cpu() for name, tensor in {**best, **variable.fixed}.items()}
    return Projection(latents, nearest.cpu(), starts.cpu())


def _as_bytes(images: Tensor) -> Tensor:
    """[-1, 1] -> [0, 255], not clamped: a clamp has no gradient outside."""
    return (images + 1) * 127.5
