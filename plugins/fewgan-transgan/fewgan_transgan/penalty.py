"""The regularizer `gradient-penalty`: WGAN-GP (Gulrajani et al. 2017, arXiv 1704.00028), with a term against drift."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fewgan.plugin import Networks, Plugin, option

if TYPE_CHECKING:
    from fewgan_transgan.losses import GradientPenalty


@dataclass(frozen=True, kw_only=True)
class Options:
    weight: float = option(10.0, "Weight of the penalty in D's loss.", min=0)
    phi: float = option(1.0, "The norm that D's gradient is drawn to.", min=1e-6, max=1e6)
    epsilon: float = option(0.001, "Weight of the squared mean logit of photos.", min=0)


def build(options: Options, *, networks: Networks) -> GradientPenalty:
    from fewgan_transgan.losses import GradientPenalty

    return GradientPenalty(weight=options.weight, phi=options.phi, epsilon=options.epsilon)


plugin = Plugin(
    api=1,
    summary="WGAN-GP: D's gradient between photos and fakes has norm 1 (Gulrajani et al. 2017)",
    options=Options,
    build=build,
)
