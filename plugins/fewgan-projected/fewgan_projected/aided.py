"""The losses of feature discriminators beside, or in the place of, the run's own."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from fewgan.plugin import Step
from fewgan_projected.discriminators import Discriminator


class VisionAided(nn.Module):
    """weight · the hinge losses of the feature discriminators over all their logits.

    They see what D sees, augmented photos and fakes, in two passes, fakes first: batch norm has statistics of its own
    for each. alone: no other adversarial loss counts, and the core runs no D of its own.
    """

    def __init__(self, discriminator: Discriminator, *, weight: float, alone: bool) -> None:
        super().__init__()
        self.discriminator = discriminator
        self.weight = weight
        self.adversarial = not alone
        self._logits: tuple[Tensor, Tensor] | None = None

    def logits(self, step: Step) -> tuple[Tensor, Tensor]:
        """Of photos and fakes, [N, L] each. What discriminator_loss needs, too, is computed once."""
        assert step.real_augmented is not None
        fake = self.discriminator(step.fake_augmented, step.fake_labels)
        real = self.discriminator(step.real_augmented, step.labels)
        self._logits = None if self.adversarial else (real, fake)
        return real, fake

    def discriminator_loss(self, step: Step) -> Tensor:
        real, fake = self._logits or self.logits(step)
        self._logits = None
        return self.weight * (F.relu(1 - real).mean() + F.relu(1 + fake).mean())

    def generator_loss(self, step: Step) -> Tensor:
        logits: Tensor = self.discriminator(step.fake_augmented, step.fake_labels)
        return -self.weight * logits.mean()
