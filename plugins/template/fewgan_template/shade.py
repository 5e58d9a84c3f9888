"""An augmentation: the brightness of each image changes at random."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fewgan.plugin import Plugin, option

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, kw_only=True)
class Options:
    strength: float = option(0.2, "Largest change of brightness; images are in [-1, 1]", min=0, max=1)


def build(options: Options, *, size: int) -> nn.Module:
    # torch is imported here, so that `fewgan --help` and `fewgan plugins` stay fast.
    import torch
    from torch import Tensor, nn

    class Shade(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            shift = torch.rand(len(images), 1, 1, 1, dtype=images.dtype, device=images.device) * 2 - 1
            return images + shift * options.strength

    return Shade()


plugin = Plugin(api=1, summary="Shade: random changes of brightness", options=Options, build=build)
