"""LeCam regularization (Tseng et al. 2021, arXiv 2104.03310): D stays near what it lately said on average."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fewgan.plugin import Networks, Plugin, option

if TYPE_CHECKING:
    from fewgan_lecam.lecam import LeCam


@dataclass(frozen=True, kw_only=True)
class Options:
    weight: float = option(0.3, "Weight of the term in D's loss", min=0)
    decay: float = option(0.9, "Of the moving averages of D's mean logits", min=0, max=1)
    start: int = option(100, "Step after which the term counts; published: 1000, for 100,000 and more", min=0)


def build(options: Options, *, networks: Networks) -> LeCam:
    from fewgan_lecam.lecam import LeCam

    return LeCam(weight=options.weight, decay=options.decay, start=options.start)


plugin = Plugin(api=1, summary="LeCam: D's logits stay near their moving averages", options=Options, build=build)
