"""From a model to pictures, as tensors.

Picture i depends on the seed, i and the settings, never on how many are made: pictures are made in groups of a fixed
size at fixed places, so that the same arithmetic runs for it every time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from fewgan.errors import FewganError, UsageError
from fewgan.sampling.imagefile import to_uint8
from fewgan.sampling.latent import (
    LATENT,
    STATISTICS_LABEL,
    STATISTICS_LATENT,
    between,
    check_labels,
    check_truncation,
    eased,
    labels,
    latents,
    loop,
    number,
)
from fewgan.screen import Screen

if TYPE_CHECKING:
    from fewgan.sources.model import Model

GROUP, GROUP_ON_GPU = 16, 128
STATISTICS_BATCH = 64
FRAMES_EACH = 24


def pictures(
    model: Model,
    count: int,
    *,
    first: int = 0,
    truncation: float | None = None,
    seed: int = 0,
    chosen: Sequence[int] | Tensor | None = None,
) -> Iterator[Tensor]:
    """Pictures first … count − 1 as uint8 [up to `group_size`, 3, S, S] on the CPU, group by group, in bounded memory.

    first: a multiple of the group's size.
    truncation t: a truncated normal at ±t, before the mapper where there is one, or the generator's own truncation if
    it has one. chosen: class numbers, taken in turn; None: drawn with the seed, as often as the photos had them.
    Raises UsageError for a wrong truncation, seed, count or label, FewganError where a picture is not finite.
    """
    check_truncation(truncation)
    if count < 1:
        raise UsageError(f"--count {count}: give 1 or more")
    check_labels(chosen, model.generator.classes)
    size = group_size(model.device)
    for start in range(first, count, size):
        z = _latents(model, seed, start, size, truncation)
        chosen_labels = labels(seed, start, size, model.generator.classes, chosen, counts=model.class_counts)
        with seeded_noise(model, seed, start):
            made = model.generate(z, chosen_labels, truncation)
        yield finished(made)[: count - start]


def group_size(device: torch.device) -> int:
    """Pictures made at once: more on a GPU, where a launch for 16 leaves it idle."""
    return GROUP if device.type == "cpu" else GROUP_ON_GPU


@contextmanager
def seeded_noise(model: Model, seed: int, start: int) -> Iterator[None]:
    """Seeds what a generator draws in forward by the group's place, and leaves torch's random state as it was."""
    with torch.random.fork_rng(_gpus(model)):
        torch.manual_seed(number(seed, start))
        yield


def _gpus(model: Model) -> list[torch.device]:
    return [model.device] if model.device.type == "cuda" else []


def _random_states(model: Model) -> list[Tensor]:
    return [torch.get_rng_state(), *map(torch.cuda.get_rng_state, _gpus(model))]


def _latents(
    model: Model, seed: int, first: int, count: int, truncation: float | None, *, stream: int = LATENT
) -> Tensor:
    generator, truncation = model.generator, _of_latents(model, truncation)
    if not hasattr(generator, "latents"):
        return latents(seed, first, count, generator.latent_dim, truncation, stream=stream)
    seeds = [number(seed, index, stream=stream) for index in range(first, first + count)]
    return torch.cat([generator.latents(1, torch.Generator().manual_seed(one)) for one in seeds])


def animation(
    model: Model,
    keyframes: int,
    *,
    truncation: float | None = None,
    seed: int = 0,
    chosen: Sequence[int] | Tensor | None = None,
) -> Iterator[Tensor]:
    """A smooth closed loop through the pictures 0 … keyframes − 1: frames as uint8 [up to 16, 3, S, S], on the CPU.

    24 frames lead from each picture to the next; between two classes the condition is blended. truncation, chosen and
    errors as for `pictures`.
    """
    check_truncation(truncation)
    check_labels(chosen, model.generator.classes)
    generator = model.generator
    if hasattr(generator, "latents"):
        z, left, share = between(_latents(model, seed, 0, keyframes, truncation), FRAMES_EACH)
    else:
        z, left, share = loop(seed, keyframes, FRAMES_EACH, generator.latent_dim, _of_latents(model, truncation))
    corners = labels(seed, 0, keyframes, generator.classes, chosen, counts=model.class_counts)
    start, end = corners[left], corners[(left + 1) % keyframes]
    blend = eased(share)

    def frames(part: slice) -> Tensor:
        if model.mapper is None:
            return _blended(model, z[part], (start[part], end[part]), blend[part], truncation)
        return model.generate(z[part], start[part], truncation)

    yield from in_one_noise(model, seed, len(z), frames)


@torch.no_grad()
def in_one_noise(model: Model, seed: int, count: int, frames: Callable[[slice], Tensor]) -> Iterator[Tensor]:
    """The frames of an animation as uint8 [up to 16, 3, S, S].

    One at a time where the generator draws noise in forward, so that all have the same: a batch has one for each of its
    pictures, which would flicker.
    """
    with seeded_noise(model, seed, 0):
        before = _random_states(model)
        made = frames(slice(0, 1))
        size = GROUP if all(map(torch.equal, before, _random_states(model))) else 1
    yield finished(made)
    for first in range(1, count, size):
        with seeded_noise(model, seed, 0):
            made = frames(slice(first, first + size))
        yield finished(made)


@torch.no_grad()
def _blended(model: Model, z: Tensor, ends: tuple[Tensor, Tensor], share: Tensor, truncation: float | None) -> Tensor:
    start, end = (model.generator.embed(labels.to(model.device)) for labels in ends)
    condition = torch.lerp(start, end, share.to(model.device)[:, None])
    return model.images(z.to(model.device), condition, truncation)


@torch.no_grad()
def standing_statistics(
    model: Model, batches: int, *, truncation: float | None = None, seed: int = 0, screen: Screen
) -> None:
    """Re-estimates batch-norm statistics over so many batches of 64 latents at this truncation; in memory only.

    Brock et al. 2018 (arXiv 1809.11096), section 3.1. Classes are drawn as often as the photos had them. Raises
    UsageError for a generator that keeps no such statistics.
    """
    check_served(model, standing_stats=batches)
    generator = model.generator

    def drawn() -> Iterator[tuple[Tensor, Tensor]]:
        for first in range(0, batches * STATISTICS_BATCH, STATISTICS_BATCH):
            span = (seed, first, STATISTICS_BATCH)
            z = _latents(model, *span, truncation, stream=STATISTICS_LATENT)
            classes = labels(*span, generator.classes, counts=model.class_counts, stream=STATISTICS_LABEL)
            yield model.conditions(z.to(model.device), classes.to(model.device))
            advance()

    with screen.progress("Standing statistics", batches, "batches") as advance:
        generator.standing_statistics(drawn())


def check_served(model: Model, *, truncation: float | None = None, standing_stats: int = 0) -> None:
    """Raises UsageError for an option that this generator cannot serve."""
    if truncation is not None and not truncates(model.generator):
        raise UsageError("--truncation: this generator's latents have a law of their own; leave it out")
    if standing_stats and not hasattr(model.generator, "standing_statistics"):
        raise UsageError("--standing-stats: this generator keeps no batch statistics; leave it out")


def truncates(generator: Any) -> bool:
    """Whether pictures can be truncated: latents of another law than N(0, 1) cannot, but by the generator itself."""
    return hasattr(generator, "sample") or not hasattr(generator, "latents")


def _of_latents(model: Model, truncation: float | None) -> float | None:
    """The truncation of z: none where the generator has one of its own.

    Raises UsageError where it has none, and latents of another law than N(0, 1).
    """
    if hasattr(model.generator, "sample"):
        return None
    check_served(model, truncation=truncation)
    return truncation


def finished(images: Tensor) -> Tensor:
    """uint8 on the CPU. Raises FewganError where a picture is not finite."""
    if not images.isfinite().all():
        raise FewganError(
            "the generator produces NaN or infinity, its training diverged; use an earlier generator, or train again "
            "with lower --lr-g and --lr-d"
        )
    return to_uint8(images).cpu()
