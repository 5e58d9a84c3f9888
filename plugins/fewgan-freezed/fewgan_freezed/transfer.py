"""Which parameters learn (Mo et al. 2020, arXiv 2002.10964, section 3)."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

from fewgan.plugin import Networks


class FreezeD(nn.Module):
    """All of G learns, and D but for its first `count` blocks."""

    conditional = True
    mapper = None

    def __init__(self, networks: Networks, count: int) -> None:
        super().__init__()
        self.count = count
        self._outside = (networks,)  # in a tuple, so that the networks do not become parts of this module

    def trainable(self, index: int, steps: int) -> Iterable[nn.Parameter]:
        """The same at every step."""
        (networks,) = self._outside
        learning = [*networks.generator.blocks(), *networks.discriminator.blocks()[self.count :]]
        return [parameter for block in learning for parameter in block.parameters()]
