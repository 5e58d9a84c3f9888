"""The losses of ContraD (Jeong & Shin 2021, arXiv 2103.09742, section 3), all in the precision that they are given."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

EPSILON = 1e-12  # least norm of a projection


def real_contrast(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """NT-Xent of two views [N, P] of each photo (Chen et al. 2020, arXiv 2002.05709, equation 1), L_con+ in the paper.

    The positive of a view is the other one of its photo, among all 2N views but itself; the mean over 2N.
    """
    rows = F.normalize(torch.cat((first, second)), eps=EPSILON)
    count = len(first)
    logits = _without_own(rows @ rows.t() / temperature, first=0)
    positives = torch.arange(2 * count, device=rows.device).roll(count)
    return F.cross_entropy(logits, positives)


def fake_contrast(first: Tensor, second: Tensor, fake: Tensor, temperature: float) -> Tensor:
    """Supervised contrast (Khosla et al. 2020, arXiv 2004.11362) with the fakes as anchors, L_con- in the paper.

    The positives of a fake are the N − 1 other fakes, among these and the 2N views of photos; all [N, P], N at least 2.
    The mean log-probability over positives, averaged over anchors.
    """
    rows = F.normalize(torch.cat((first, second, fake)), eps=EPSILON)
    count = len(fake)
    logits = _without_own(rows[2 * count :] @ rows.t() / temperature, first=2 * count)
    log_probabilities = logits.log_softmax(dim=1)[:, 2 * count :]
    own = torch.eye(count, dtype=torch.bool, device=rows.device)
    return -log_probabilities.masked_fill(own, 0).sum() / (count * (count - 1))


def _without_own(logits: Tensor, *, first: int) -> Tensor:
    """logits [A, R] with the entry of each anchor and itself, row first + a, taken out of the softmax."""
    own = torch.zeros_like(logits, dtype=torch.bool)
    own.diagonal(first).fill_(True)
    return logits.masked_fill(own, float("-inf"))


def discriminator_loss(loss: str, real: Tensor, fake: Tensor) -> Tensor:
    """Logits of any shape -> the loss of the GAN head: nonsaturating, hinge, wasserstein or lsgan."""
    if loss == "nonsaturating":
        return F.softplus(-real).mean() + F.softplus(fake).mean()
    if loss == "hinge":
        return F.relu(1 - real).mean() + F.relu(1 + fake).mean()
    if loss == "lsgan":
        return 0.5 * ((real - 1).square().mean() + fake.square().mean())
    return fake.mean() - real.mean()


def generator_loss(loss: str, fake: Tensor) -> Tensor:
    """The generator's side of `discriminator_loss`."""
    if loss == "nonsaturating":
        return F.softplus(-fake).mean()
    if loss == "lsgan":
        return 0.5 * (fake - 1).square().mean()
    return -fake.mean()


def r1(logits: Tensor, images: Tensor) -> Tensor:
    """The mean over images of the squared gradient of their logits (Mescheder et al. 2018, arXiv 1801.04406)."""
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return gradient.square().sum(dim=(1, 2, 3)).mean()
