"""TransferGAN (Wang et al. 2018, arXiv 1805.01677): G and D start from a pretrained GAN, and every weight learns."""

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


plugin = Plugin(
    api=1,
    summary="TransferGAN: start from a pretrained GAN, train all weights",
    options=Options,
    build=build,
    needs_source=True,
)
