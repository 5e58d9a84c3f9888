"""The LeCam term and the moving averages that it holds D to (Tseng et al. 2021, arXiv 2104.03310, section 3.2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fewgan.plugin import Step, UsageError, all_gather


class LeCam(nn.Module):
    """D loss += weight * (mean relu(D(x) - ema_fake)^2 + mean relu(ema_real - D(G(z)))^2).

    The averages are of the mean logits of batches of all processes, with the current one taken in before the term is
    computed. Before step `start` they are the last means; the term is on after it.
    """

    ema_real: Tensor
    ema_fake: Tensor

    def __init__(self, *, weight: float, decay: float, start: int) -> None:
        super().__init__()
        self.weight, self.decay, self.start = weight, decay, start
        self.register_buffer("ema_real", torch.tensor(0.0))
        self.register_buffer("ema_fake", torch.tensor(0.0))

    def discriminator_loss(self, step: Step) -> Tensor:
        if step.logits_real is None or step.logits_fake is None:
            raise UsageError("--lecam: the loss that was chosen beside it gives no logits; leave one of the two out")
        decay = self.decay if step.index >= max(self.start, 1) else 0.0
        for average, logits in ((self.ema_real, step.logits_real), (self.ema_fake, step.logits_fake)):
            average.lerp_(all_gather(logits.detach()).mean().to(average), 1 - decay)
        if step.index <= self.start:
            return step.logits_fake.new_zeros(())
        real = F.relu(step.logits_real - self.ema_fake).square().mean()
        fake = F.relu(self.ema_real - step.logits_fake).square().mean()
        return self.weight * (real + fake)
