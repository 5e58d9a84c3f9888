"""Consistency regularization (CR, Zhang et al. 2019, arXiv 1910.12027) of D under augmentation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fewgan.plugin import Networks, Plugin, option

if TYPE_CHECKING:
    from fewgan.regularizers.cr.consistency import Consistency


WEIGHT = 10.0  # published
# Beside an augmentation, whose copies differ far more than a flipped and moved photo does, the published weight presses
# D's logits together at few-shot batch sizes until D separates nothing (measured: examples/study/600-steps).
WEIGHT_AUGMENTED = 0.3


@dataclass(frozen=True, kw_only=True)
class Options:
    weight: float | None = option(
        None,
        f"Weight of the term in D's loss [default: {WEIGHT:g}, beside an augmentation {WEIGHT_AUGMENTED:g}]",
        min=0,
    )


def build(options: Options, *, networks: Networks) -> Consistency:
    from fewgan.regularizers.cr.consistency import Consistency

    if options.weight is None:
        return Consistency(WEIGHT, WEIGHT_AUGMENTED)
    return Consistency(options.weight, options.weight)


plugin = Plugin(api=1, summary="CR: penalise changes of D's output under augmentation", options=Options, build=build)
