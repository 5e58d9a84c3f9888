"""Consistency regularization (CR, Zhang et al. 2019, arXiv 1910.12027): D should not care how a photo lies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fewgan.plugin import API, Networks, Plugin, option

if TYPE_CHECKING:
    from fewgan.regularizers.cr.consistency import Consistency


@dataclass(frozen=True, kw_only=True)
class Options:
    weight: float = option(10.0, "Weight of the consistency term in D's loss", min=0)


def build(options: Options, *, networks: Networks) -> Consistency:
    from fewgan.regularizers.cr.consistency import Consistency

    return Consistency(options.weight)


plugin = Plugin(
    api=API, summary="CR: D answers alike to a photo and to its augmented copy", options=Options, build=build
)
