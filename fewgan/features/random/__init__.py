"""Features of a VGG16 with random weights, R64 of Naeem et al. 2020 (arXiv 2002.09797)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fewgan.plugin import Plugin, option

if TYPE_CHECKING:
    from fewgan.features.random.network import RandomVGG


@dataclass(frozen=True, kw_only=True)
class Options:
    seed: int = option(0, "seed of the weights; scores of different seeds do not compare", min=0, max=2**31)


def build(options: Options) -> RandomVGG:
    """The feature network, its weights drawn from the seed."""
    from fewgan.features.random.network import RandomVGG

    return RandomVGG(options.seed)


plugin = Plugin(
    api=1, summary="random VGG16 features: coarse, but no D has learned from them", options=Options, build=build
)
