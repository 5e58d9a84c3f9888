"""ContraD as a regularizer that brings the losses of D and G (Jeong & Shin 2021, arXiv 2103.09742, section 3)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fewgan.plugin import Step, UsageError, all_gather
from fewgan_contrad import losses
from fewgan_contrad.heads import Heads


@dataclass(frozen=True)
class Judged:
    """What a D step needs of one forward: views of photos in [0, 1], logits, features [N, F] of all three kinds."""

    view: Tensor
    logits: tuple[Tensor, Tensor]
    features: tuple[Tensor, Tensor, Tensor]


class ContraD(nn.Module):
    """D loss: contrast of photos + fake_weight · contrast of fakes + the GAN head's loss on DETACHED features.

    So D's features learn by contrast alone, from two views of each photo and one of each fake, and the head by the GAN
    loss alone. G loss: the GAN head's, through head, features and view. Views are made of what the run's augmentation
    gives. R1, if wanted, is that of the GAN head on features that are not detached, at views of photos in [0, 1]; it
    trains D's features, too. D's own head is not used and does not learn.

    features: those of D, images [N, 3, S, S] -> [N, F], for `discriminator`; in a step they come from the step. warmup:
    share of the run in which all learning rates rise linearly.

    Contrast is over the photos and fakes of all processes. loss_real, loss_fake: the last contrastive losses.
    """

    adversarial = False
    loss_real: Tensor
    loss_fake: Tensor

    def __init__(
        self,
        features: Callable[[Tensor], Tensor],
        heads: Heads,
        views: Callable[[Tensor], Tensor],
        *,
        loss: str = "nonsaturating",
        temperature: float = 0.1,
        fake_weight: float = 1.0,
        r1: float = 0.0,
        r1_every: int = 16,
        warmup: float = 0.0,
    ) -> None:
        super().__init__()
        self.features = features
        self.heads = heads
        self.views = views
        self.loss, self.temperature, self.fake_weight = loss, temperature, fake_weight
        self.r1, self.r1_every, self.warmup = r1, r1_every, warmup
        self.register_buffer("loss_real", torch.zeros(()))
        self.register_buffer("loss_fake", torch.zeros(()))
        self._judged: Judged | None = None

    def schedule(self, images_seen: int, planned_images: int) -> float:
        """The linear warm-up of all learning rates, from 0."""
        length = self.warmup * planned_images
        return 1.0 if images_seen >= length else images_seen / length

    def discriminator(self, images: Tensor, labels: Tensor | None) -> Tensor:
        """Logits [N] of the GAN head for images [N, 3, S, S] in [-1, 1] as they are, with gradient to D's features."""
        logits: Tensor = self.heads.linear(self.heads.pooled(self.features(images)), labels)
        return logits

    def logits(self, step: Step) -> tuple[Tensor, Tensor]:
        """Of the first view of photos and of the view of fakes, [N] each. What discriminator_loss needs is kept."""
        self._judged = self._judge(step)
        return self._judged.logits

    def _judge(self, step: Step) -> Judged:
        assert step.real is not None
        assert step.real_augmented is not None
        again = step.real if step.augment is None else step.augment(step.real)
        # All in one batch, so that views of photos and of fakes cannot differ.
        views = self.views(
            torch.cat([_to_unit(images) for images in (step.real_augmented, again, step.fake_augmented)])
        )
        count = len(step.real)
        shown = 2 * views - 1
        if getattr(step.discriminator, "separate", False):
            fake = self._features(step, shown[2 * count :])
            features = torch.cat((self._features(step, shown[: 2 * count]), fake))
        else:
            features = self._features(step, shown)
        first, second, fake = torch.split(features, count)
        real_logits = self.heads.linear(first.detach(), step.labels)
        fake_logits = self.heads.linear(fake.detach(), step.fake_labels)
        return Judged(views[:count], (real_logits, fake_logits), (first, second, fake))

    def _features(self, step: Step, images: Tensor) -> Tensor:
        return self.heads.pooled(step.discriminator.features(images))

    def discriminator_loss(self, step: Step) -> Tensor:
        judged = self._judged or self._judge(step)
        self._judged = None
        loss = losses.discriminator_loss(self.loss, *judged.logits) + self._contrast(judged)
        if self.r1 and step.index % self.r1_every == 0:
            loss = loss + self.r1_every * self.r1 / 2 * self._r1(step, judged.view)
        return loss

    def _contrast(self, judged: Judged) -> Tensor:
        """Raises UsageError for a batch of one image, which has nothing to be contrasted with."""
        first, second = map(all_gather, self.heads.projection(torch.cat(judged.features[:2])).chunk(2))
        if len(first) < 2:
            raise UsageError("--contrad contrasts the images of a batch: it needs a --batch-size of 2 or more")
        real = losses.real_contrast(first, second, self.temperature)
        first, second, fakes = map(all_gather, self.heads.projection2(torch.cat(judged.features)).chunk(3))
        fake = losses.fake_contrast(first, second, fakes, self.temperature)
        self.loss_real.copy_(real.detach())
        self.loss_fake.copy_(fake.detach())
        return real + self.fake_weight * fake

    def _r1(self, step: Step, view: Tensor) -> Tensor:
        images = view.detach().requires_grad_()
        return losses.r1(self.heads.linear(self._features(step, 2 * images - 1), step.labels), images)

    def generator_loss(self, step: Step) -> Tensor:
        view = self.views(_to_unit(step.fake_augmented))
        logits = self.heads.linear(self._features(step, 2 * view - 1), step.fake_labels)
        return losses.generator_loss(self.loss, logits)


def _to_unit(images: Tensor) -> Tensor:
    """About [-1, 1] -> about [0, 1]."""
    return (images + 1) / 2
