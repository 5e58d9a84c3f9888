"""Consistency regularization on real images (Zhang et al. 2019, arXiv 1910.12027, equation 2 on D's output)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fewgan.plugin import Step


def flip_and_translate(images: Tensor, flipped: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """The paper's T: a horizontal flip, then out[i, j] = flipped image[i + rows, j + columns], zeros outside.

    images [N, 3, S, S]; flipped bool [N]; rows, columns int64 [N], whole pixels.
    """
    _, channels, height, width = images.shape
    row = torch.arange(height, device=images.device) + rows[:, None]
    column = torch.arange(width, device=images.device) + columns[:, None]
    inside = ((row >= 0) & (row < height))[:, None, :, None] & ((column >= 0) & (column < width))[:, None, None, :]
    # A flip reads the columns from the other end; the index may leave the image, and what comes round is cleared.
    column = torch.where(flipped[:, None], width - 1 - column, column)
    out = images.gather(2, (row % height)[:, None, :, None].expand(-1, channels, -1, width))
    out = out.gather(3, (column % width)[:, None, None, :].expand(-1, channels, height, -1))
    return out.masked_fill(~inside, 0)


class Consistency(nn.Module):
    """weight · mean((D(T(x)) − D(x))²) over all logits of the real images, without stop-gradient.

    With an augmentation, T is that augmentation: the copy that D's own loss saw is paired with the raw photo, as in the
    small-data scripts of DiffAugment. Without one, T is a flip of half the photos and a translation by up to an eighth
    of the side. An adaptive augmentation (one with `observe`, such as ADA) may leave photos as they are for long,
    so there T is flip and translation, too, of the copy that D's own loss saw. It costs one more forward of D either
    way. weight_augmented counts where T is the augmentation, weight elsewhere.
    """

    def __init__(self, weight: float, weight_augmented: float) -> None:
        super().__init__()
        self.weight, self.weight_augmented = weight, weight_augmented

    def discriminator_loss(self, step: Step) -> Tensor:
        """A scalar; 0 or more."""
        assert step.real is not None  # so it is in every D step
        assert step.real_augmented is not None
        seen = step.logits_real  # None where another loss takes the place of D's, and has no logits
        if seen is None:
            seen = step.discriminator(step.real_augmented, step.labels)
        if step.augment is None or hasattr(step.augment, "observe"):
            weight, other = self.weight, self._transform(step.real_augmented)
        else:
            weight, other = self.weight_augmented, step.real
        return weight * (step.discriminator(other, step.labels) - seen).square().mean()

    def _transform(self, images: Tensor) -> Tensor:
        count, device = len(images), images.device
        tall, wide = (int(0.125 * side + 0.5) for side in images.shape[2:])
        flipped = torch.rand(count, device=device) < 0.5
        rows = torch.randint(-tall, tall + 1, (count,), device=device)
        columns = torch.randint(-wide, wide + 1, (count,), device=device)
        return flip_and_translate(images, flipped, rows, columns)
