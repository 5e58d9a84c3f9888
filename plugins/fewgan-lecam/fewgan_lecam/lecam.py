"""The LeCam term and the moving averages that it holds D to (Tseng et al. 2021, arXiv 2104.03310, section 3.2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fewgan.plugin import Step


class LeCam(nn.Module):
    """D loss += weight * (mean relu(D(x) - ema_fake)^2 + mean relu(ema_real - D(G(z)))^2).

    The averages are of the mean logits of whole batches, with the current one taken in before the term is computed.
    Until step `start` they are the last means and the term is off.
    """

    ema_real: Tensor
    ema_fake: Tensor

    def __init__(self, *, weight: float, decay: float, start: int) -> None:
        super().__init__()
        self.weight, self.decay, self.start = weight, decay, start
        self.register_buffer("ema_real", torch.tensor(0.0))
        self.register_buffer("ema_fake", torch.tensor(0.0))

    @torch.no_grad()
    def observe(self, step: Step) -> None:
        assert step.logits_real is not None
        assert step.logits_fake is not None
        decay = self.decay if step.index >= self.start else 0.0
        self.ema_real.lerp_(step.logits_real.mean().to(self.ema_real), 1 - decay)
        self.ema_fake.lerp_(step.logits_fake.mean().to(self.ema_fake), 1 - decay)

    def discriminator_loss(self, step: Step) -> Tensor:
        assert step.logits_real is not None
        assert step.logits_fake is not None
        if step.index < self.start:
            return step.logits_fake.new_zeros(())
        real = F.relu(step.logits_real - self.ema_fake).square().mean()
        fake = F.relu(self.ema_real - step.logits_fake).square().mean()
        return self.weight * (real + fake)
