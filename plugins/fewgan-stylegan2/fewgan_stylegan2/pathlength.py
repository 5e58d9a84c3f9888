"""The regularizer `pathlength`: steps in w change images equally (Karras et al. 2020, arXiv 1912.04958, 3.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fewgan.plugin import Networks, Plugin, UsageError, option

if TYPE_CHECKING:
    from fewgan_stylegan2.regularizers import PathLength


@dataclass(frozen=True, kw_only=True)
class Options:
    weight: float | None = option(
        None, "Weight. Default: that of the architecture's configuration, else 2.", min=0, max=1e6
    )


def build(options: Options, *, networks: Networks) -> PathLength:
    from fewgan_stylegan2.losses import PATH_LENGTH_WEIGHT
    from fewgan_stylegan2.regularizers import PathLength

    generator = networks.generator
    if not (hasattr(generator, "mapping") and hasattr(generator, "synthesis")):
        raise UsageError("--pathlength: the generator has no w space; leave it out or choose --arch stylegan2")
    weight = options.weight
    if weight is None:
        weight = getattr(generator, "path_length_weight", None)
    return PathLength(PATH_LENGTH_WEIGHT if weight is None else weight)


plugin = Plugin(
    api=1,
    summary="Path length: steps in w change images equally, every 4 steps (Karras et al. 2020)",
    options=Options,
    build=build,
)
