"""A regularizer: a penalty on the squares of D's logits for photos. Its state is a buffer, so checkpoints hold it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fewgan.plugin import Networks, Plugin, Step, option

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, kw_only=True)
class Options:
    weight: float = option(0.01, "Weight of the term in D's loss", min=0)


def build(options: Options, *, networks: Networks) -> nn.Module:
    import torch
    from torch import Tensor, nn

    class Calm(nn.Module):
        largest: Tensor

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("largest", torch.tensor(0.0))  # 0-d buffers are logged: template-calm.largest

        def observe(self, step: Step) -> None:
            assert step.logits_real is not None
            self.largest.copy_(torch.maximum(self.largest, step.logits_real.max()))

        def discriminator_loss(self, step: Step) -> Tensor:
            assert step.logits_real is not None
            return options.weight * step.logits_real.square().mean()

    return Calm()


plugin = Plugin(api=1, summary="Calm: D's logits for photos stay small", options=Options, build=build)
