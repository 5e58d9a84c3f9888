"""The losses of `losses` as modules that the core calls."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fewgan.plugin import Step
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

    Each process follows a mean of its own, as in the reference.
    """

    every = PATH_LENGTH_EVERY
    mean: Tensor

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = weight
        self.register_buffer("mean", torch.zeros(()))

    def generator_loss(self, step: Step) -> Tensor:
        generator = step.generator
        if not any(parameter.requires_grad for parameter in generator.parameters()):  # type: ignore[attr-defined]
            return torch.zeros((), device=step.fake.device)  # a mapper alone learns, which changes no path
        count = max(len(step.z) // 2, 1)
        z = torch.randn_like(step.z[:count])
        labels = step.fake_labels
        if labels is None:
            labels = torch.zeros(len(step.z), dtype=torch.int64, device=z.device)
        ws: Tensor = generator.styles(z, generator.embed(labels[:count]))  # type: ignore[attr-defined]
        if not ws.requires_grad:
            ws = ws.detach().requires_grad_()
        lengths = losses.path_lengths(generator.synthesize(ws), ws)  # type: ignore[attr-defined]
        loss, mean = losses.path_length(lengths, self.mean.clone(), self.weight)
        self.mean.copy_(mean.detach())
        return loss
