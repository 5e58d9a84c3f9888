"""Features for scores: the mean colours of a 4 x 4 grid. An example, too simple to judge pictures by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fewgan.plugin import Plugin

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, kw_only=True)
class Options:
    """No options."""


def build(options: Options) -> nn.Module:
    from torch import Tensor, nn
    from torch.nn import functional as F

    class Means(nn.Module):
        dim = 48
        score_name = "Fréchet distance (mean colours)"
        identity = "none"  # what the weights are, such as a file's SHA-256; these features have none

        def forward(self, images: Tensor) -> Tensor:
            return F.adaptive_avg_pool2d(images.float(), 4).flatten(1)

    return Means()


plugin = Plugin(api=1, summary="Mean colours of a 4 x 4 grid", options=Options, build=build)
