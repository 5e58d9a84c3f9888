"""Inception v3 features, the ones that FID is defined on (Heusel et al. 2017, arXiv 1706.08500)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fewgan.plugin import Plugin, option

if TYPE_CHECKING:
    from fewgan.features.inception.network import Inception


@dataclass(frozen=True, kw_only=True)
class Options:
    weights: str | None = option(
        None, "weights file (.pth or .safetensors) to use instead of the standard one, which is downloaded once"
    )


def build(options: Options) -> Inception:
    """The feature network, its weights loaded.

    Raises FewganError where the standard weights are not here and cannot be downloaded, UsageError for a file with
    other weights than Inception's.
    """
    from fewgan.features.inception import weights
    from fewgan.features.inception.network import Inception
    from fewgan.plugin import read_weights

    found = weights.find(options.weights)
    return Inception(
        read_weights(found.path), score_name=found.score_name, source=str(found.path), identity=found.identity
    )


plugin = Plugin(api=1, summary="Inception v3 pool features, the standard of FID and KID", options=Options, build=build)
