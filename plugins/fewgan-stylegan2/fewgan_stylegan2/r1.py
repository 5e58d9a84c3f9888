"""The regularizer `r1`: a gradient penalty on photos (Mescheder et al. 2018, arXiv 1801.04406), taken lazily."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fewgan.plugin import Networks, Plugin, option

if TYPE_CHECKING:
    from fewgan_stylegan2.regularizers import R1


@dataclass(frozen=True, kw_only=True)
class Options:
    gamma: float | None = option(
        None, "Weight. Default: that of the architecture's configuration, else 0.0002 size² / 32.", min=0, max=1e6
    )


def build(options: Options, *, networks: Networks) -> R1:
    from fewgan_stylegan2.configs import configuration
    from fewgan_stylegan2.regularizers import R1

    gamma = options.gamma
    if gamma is None:
        gamma = getattr(networks.discriminator, "r1_gamma", None)
    return R1(configuration("auto", networks.generator.size).gamma if gamma is None else gamma)


plugin = Plugin(
    api=1,
    summary="R1: a penalty on D's gradient at photos, every 16 steps (Mescheder et al. 2018)",
    options=Options,
    build=build,
)
