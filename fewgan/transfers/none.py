"""No transfer: G and D start from their initialisation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fewgan.plugin import Networks, Plugin

if TYPE_CHECKING:
    from fewgan.transfers.whole import Whole


@dataclass(frozen=True, kw_only=True)
class Options:
    """No options."""


def build(options: Options, *, networks: Networks) -> Whole:
    from fewgan.transfers.whole import Whole

    return Whole()


plugin = Plugin(api=1, summary="From scratch: no pretrained source", options=Options, build=build)
