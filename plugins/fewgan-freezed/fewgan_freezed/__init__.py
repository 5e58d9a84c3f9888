"""Freeze-D (Mo et al. 2020, arXiv 2002.10964): transfer with the layers of D nearest the image frozen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fewgan.plugin import Networks, Plugin, UsageError, option

if TYPE_CHECKING:
    from fewgan_freezed.transfer import FreezeD


@dataclass(frozen=True, kw_only=True)
class Options:
    blocks: int | None = option(
        None, "Blocks of D, from the image on, that stay as they are [default: all but the last two]", min=0
    )


def build(options: Options, *, networks: Networks) -> FreezeD:
    """Raises UsageError where the discriminator has no more blocks than shall be frozen."""
    from fewgan_freezed.transfer import FreezeD

    there = len(networks.discriminator.blocks())
    count = max(there - 2, 0) if options.blocks is None else options.blocks
    if count >= there:
        raise UsageError(
            f"--freezed-blocks {count}: D has {there} blocks, and the last must learn; give {there - 1} at most"
        )
    return FreezeD(networks, count)


plugin = Plugin(
    api=1,
    summary="Freeze-D: start from a pretrained GAN, D's first blocks frozen",
    options=Options,
    build=build,
    needs_source=True,
)
