"""MineGAN (Wang et al. 2019, arXiv 1912.05270): learn which latents of a pretrained GAN look like the photos."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fewgan.plugin import Networks, Plugin, UsageError, option

if TYPE_CHECKING:
    from fewgan.transfers.minegan.miner import MineGAN

LEARNING_RATE = 5e-4  # measured at batch 16, where the published 1e-4 mines too slowly (see examples/obama-100)
# Published: all three learn in stage 2. Beside a G that moves slowly, a miner draws all latents together within 150
# steps, and the samples become one picture (their spread is 0.45 of that of the photos at a rate of 5e-4, 0.72 at 2e-5,
# 0.79 where the miner rests, with the best KID; examples/study/NOTES.md).
SECOND_RATE = 0.0
MINER_STEPS = 300  # the published number of iterations of stage 1


@dataclass(frozen=True, kw_only=True)
class Options:
    miner_steps: int | None = option(
        None, f"Steps before G learns too [default: {MINER_STEPS}, at most a quarter of --steps]", min=0
    )
    learning_rate: float | None = option(
        None, f"Learning rate of the miner while G is frozen [default: {LEARNING_RATE:g}]", min=0
    )
    second_rate: float | None = option(
        None, f"Learning rate of the miner once G learns too [default: {SECOND_RATE:g}, the miner rests]", min=0
    )


def build(options: Options, *, networks: Networks) -> MineGAN:
    """Raises UsageError for a generator of several classes."""
    from fewgan.transfers.minegan.miner import MineGAN

    if networks.generator.classes > 1:
        raise UsageError(
            f"--transfer minegan learns one kind of picture, and there are {networks.generator.classes} classes; "
            "take --transfer finetune, or prepare the photos without --classes"
        )
    first = LEARNING_RATE if options.learning_rate is None else options.learning_rate
    second = SECOND_RATE if options.second_rate is None else options.second_rate
    return MineGAN(networks, miner_steps=options.miner_steps, default_steps=MINER_STEPS, rates=(first, second))


plugin = Plugin(
    api=1,
    summary="MineGAN: a miner before a pretrained generator",
    options=Options,
    build=build,
    needs_source=True,
)
