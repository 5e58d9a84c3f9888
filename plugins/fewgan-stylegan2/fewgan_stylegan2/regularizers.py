"""The losses of `losses` as modules that the core calls."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from fewgan.plugin import Step, all_gather
from fewgan_stylegan2 import losses
from fewgan_stylegan2.configs import PATH_LENGTH_EVERY, R1_EVERY


class R1(nn.Module):
    """gamma/2 · the squared gradient of D's logits to the photos, through the augmentation; in every 16th step."""

    every = R1_EVERY

    def __init__(self, gamma: float) -> None:
        super().__init__()
        self.gamma = gamma

    def discriminator_loss(self, step: Step) -> Tensor:
        assert step.real is not None
        images = step.real.detach().requires_grad_()
        shown = images if step.augment is None else step.augment(images)
        return losses.r1(step.discriminator(shown, step.labels), images, self.gamma)


class PathLength(nn.Module):
    """weight · how much path lengths of half a batch differ from their running mean; in every 4th step.

    The lengths of all processes count as one batch, so that their mean is the same in each. In the reference, each
    process follows a mean of its own.
    """

    every = PATH_LENGTH_EVERY
    mean: Tensor

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = weight
        self.register_buffer("mean", torch.zeros(()))

    def generator_loss(self, step: Step) -> Tensor:
        generator: Any = step.generator
        if not any(parameter.requires_grad for parameter in generator.parameters()):
            return torch.zeros((), device=step.fake.device)  # a mapper alone learns, which changes no path
        count = max(len(step.z) // 2, 1)
        labels = None if step.fake_labels is None else step.fake_labels[:count]
        with _styles(generator.synthesis) as found:
            images = step.generate(torch.randn_like(step.z[:count]), labels)
        lengths = all_gather(losses.path_lengths(images, found[-1]))
        loss, mean = losses.path_length(lengths, self.mean.clone(), self.weight)
        self.mean.copy_(mean.detach())
        return loss


@contextmanager
def _styles(synthesis: nn.Module) -> Iterator[list[Tensor]]:
    """The ws that images come from, as long as it lasts: latents pass the mapper on their way, which no one else calls.

    They get a gradient also where nothing before them learns.
    """
    found: list[Tensor] = []

    def keep(module: nn.Module, given: tuple[Tensor, Any]) -> tuple[Tensor, Any]:
        found.append(given[0] if given[0].requires_grad else given[0].detach().requires_grad_())
        return found[-1], *given[1:]

    handle = synthesis.register_forward_pre_hook(keep)
    try:
        yield found
    finally:
        handle.remove()
