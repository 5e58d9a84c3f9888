"""WGAN-GP's penalty (Gulrajani et al. 2017, section 4) and the drift term (Karras et al. 2018, appendix A.1)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fewgan.plugin import Step, all_gather


def penalty(logits: Tensor, images: Tensor, phi: float = 1.0) -> Tensor:
    """mean ((‖gradient‖ − phi)²) / phi², 0-d, of the gradient of the logit of each image [N, 3, S, S].

    logits [N] or [N, L], of which each image's mean counts, come from images, which require a gradient.
    """
    (gradient,) = torch.autograd.grad(logits.reshape(len(images), -1).mean(dim=1).sum(), images, create_graph=True)
    norms = gradient.flatten(1).norm(dim=1)
    loss: Tensor = (norms - phi).square().mean() / phi**2
    return loss


class GradientPenalty(nn.Module):
    """weight · penalty at points between photos and fakes + epsilon · (mean logit of photos)².

    The points lie between photos and fakes as they are, each pair at a share of U(0, 1), and go through an augmentation
    of their own; the gradient is that to the points before it.
    """

    def __init__(self, *, weight: float, phi: float, epsilon: float) -> None:
        super().__init__()
        self.weight, self.phi, self.epsilon = weight, phi, epsilon

    def discriminator_loss(self, step: Step) -> Tensor:
        assert step.real is not None
        share = torch.rand(len(step.real), 1, 1, 1, dtype=step.real.dtype, device=step.real.device)
        between = (share * step.real + (1 - share) * step.fake).detach().requires_grad_()
        shown = between if step.augment is None else step.augment(between)
        loss = self.weight * penalty(step.discriminator(shown, step.labels), between, self.phi)
        if step.logits_real is not None:
            loss = loss + self.epsilon * all_gather(step.logits_real).mean().square()
        return loss
