"""Which parameters learn (Mo et al. 2020, arXiv 2002.10964, section 3)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from torch import nn

from fewgan.plugin import Networks, UsageError


class FreezeD(nn.Module):
    """All of G learns, and D but for its first `count` blocks."""

    conditional = True
    mapper = None

    def __init__(self, networks: Networks, count: int) -> None:
        super().__init__()
        self.count = count
        self._outside = (networks,)  # in a tuple, so that the networks do not become parts of this module

    def start(self, networks: Networks, sources: Sequence[Any]) -> None:
        """Raises UsageError for a source without D, whose layers would stay random."""
        if self.count and not all(source.has_discriminator for source in sources):
            raise UsageError(
                "--transfer freezed: the source has no discriminator, so that random layers would be frozen; "
                "take another source, or --transfer finetune"
            )

    def trainable(self, index: int, steps: int) -> Iterable[nn.Parameter]:
        """The same at every step."""
        (networks,) = self._outside
        learning = [*networks.generator.blocks(), *networks.discriminator.blocks()[self.count :]]
        return [parameter for block in learning for parameter in block.parameters()]
