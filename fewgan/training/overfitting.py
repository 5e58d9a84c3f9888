"""What a tick looks at beyond the losses: D on photos that it never learns from, and augmentations seen in samples."""

from __future__ import annotations

import torch
from torch import Tensor

from fewgan.photos import dataset
from fewgan.sampling.imagefile import to_float
from fewgan.training import finite
from fewgan.training.players import Players
from fewgan.training.session import Session

BATCH = 16
PADDING = 2  # grey levels around the middle that count as the grey that augmentations pad with
CLEAR = 4.0  # standard errors by which augmented photos must differ from photos for a trait to count


class HeldOut:
    """Photos that are held out from training, for D to judge. None where there are fewer than BATCH."""

    def __init__(self, work: Session) -> None:
        self._work = work
        self._images: Tensor | None = None
        if int(work.data.held_out.sum()) >= BATCH:
            self._images, self._labels = dataset.photos(work.data, held_out=True, size=work.config.size)

    @torch.no_grad()
    def logit(self) -> float | None:
        """D's mean logit for a batch of them, augmented as photos are; another batch each step."""
        work, players = self._work, self._work.state.players
        batched = getattr(players.discriminator, "separate", False)  # then a logit depends on the rest of its batch
        if self._images is None or batched or players.loss_plugin is not None:
            return None
        rows = dataset.indices(len(self._images), work.state.step * BATCH, BATCH, work.config.seed)
        images = to_float(self._images[rows].to(work.device))
        labels = self._labels[rows].to(work.device) if players.conditional else None
        players.discriminator.eval()  # buffers stay as they are
        try:
            augmented = augment_aside(players, images.contiguous(memory_format=work.memory_format))
            return players.discriminate(augmented, labels).mean().item()
        finally:
            players.discriminator.train()


@torch.no_grad()
def augment_aside(players: Players, images: Tensor) -> Tensor:
    """The images augmented outside a step: what the augmentation remembers stays as it was."""
    kept = finite.snapshot_buffers(filter(None, [players.augmentation]))
    try:
        return players.augment(images)
    finally:
        finite.restore_buffers(kept, torch.ones((), device=players.device))


def leak(photos: Tensor, augmented: Tensor, samples: Tensor) -> float:
    """How far samples have gone from photos towards augmented photos: 0 not at all, 1 all the way.

    All uint8 [N, 3, S, S]. The largest over three traits that augmentations change and that can be told from a few
    pictures: the share of the padding grey, and how much brightness and saturation vary from picture to picture. A
    trait counts where augmented photos differ from photos by more than CLEAR standard errors. A leak is an augmentation
    that shows in what is generated (Karras et al. 2020, arXiv 2006.06676, section 2.2).
    """
    found = 0.0
    for trait in (_padding, _brightness, _saturation):
        real, changed, made = (trait(images) for images in (photos, augmented, samples))
        error = (real.var() / len(real) + changed.var() / len(changed)).sqrt()
        shift = changed.mean() - real.mean()
        if shift > CLEAR * error:
            found = max(found, ((made.mean() - real.mean()) / shift).item())
    return found


def _padding(images: Tensor) -> Tensor:
    """Per picture: the share of pixels that are the grey of the value 0, and so are their right neighbours."""
    grey = ((images.float() - 127.5).abs() <= PADDING).all(dim=1)
    return (grey[:, :, 1:] & grey[:, :, :-1]).float().mean(dim=(1, 2))


def _brightness(images: Tensor) -> Tensor:
    """Per picture: how far its mean is from the mean of all, in grey levels."""
    means = images.float().mean(dim=(1, 2, 3))
    return (means - means.mean()).abs()


def _saturation(images: Tensor) -> Tensor:
    """Per picture: how far its mean difference between channels is from that of all."""
    floats = images.float()
    spread = (floats.amax(dim=1) - floats.amin(dim=1)).mean(dim=(1, 2))
    return (spread - spread.mean()).abs()
