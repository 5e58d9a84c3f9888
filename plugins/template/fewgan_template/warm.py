"""A transfer method: both networks start from a pretrained GAN, and for the first steps only D learns."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fewgan.plugin import Networks, Plugin, option

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, kw_only=True)
class Options:
    steps: int = option(50, "Steps in which only D learns", min=0)


def build(options: Options, *, networks: Networks) -> nn.Module:
    from torch import nn

    class Warm(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conditional = True
            self.mapper = None  # set here: an attribute of the class would hide a module of this name

        def trainable(self, index: int, steps: int) -> Iterable[nn.Parameter] | None:
            if index >= options.steps:
                return None  # all of G and D
            return [parameter for block in networks.discriminator.blocks() for parameter in block.parameters()]

    return Warm()


plugin = Plugin(api=1, summary="Warm: D learns before G does", options=Options, build=build, needs_source=True)
