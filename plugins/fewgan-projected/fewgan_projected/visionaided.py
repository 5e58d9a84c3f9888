"""The regularizer `visionaided`: discriminators on frozen features beside the run's own D.

Vision-aided GAN training (Kumari et al. 2022, arXiv 2112.09130); the discriminators are those of Projected GAN
(Sauer et al. 2021, arXiv 2111.01007).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fewgan.plugin import Networks, Plugin, option

if TYPE_CHECKING:
    from fewgan_projected.aided import VisionAided

LEAST_SIDE = 64


@dataclass(frozen=True, kw_only=True)
class Options:
    side: int | None = option(
        None, f"Side of the images for the features. Default: the run's size, {LEAST_SIDE} at least.", min=64, max=1024
    )
    weight: float = option(1.0, "Weight of its losses beside D's.", min=0, max=1000)
    alone: bool = option(False, "They replace D's adversarial loss, in both steps.")
    channels: int = option(64, "Channels of the finest mixed features.", min=4, max=256)
    separable: bool = option(False, "Depthwise convolutions: cheaper from 128 px on.")


def build(options: Options, *, networks: Networks) -> VisionAided:
    from fewgan.plugin import Frozen
    from fewgan_projected.aided import VisionAided
    from fewgan_projected.backbone import identity, pretrained
    from fewgan_projected.discriminators import Discriminator, published

    generator = networks.generator
    side = options.side or max(generator.size, LEAST_SIDE)
    classes = generator.classes if generator.classes > 1 else 0
    facts = published(side, cout=options.channels, separable=options.separable, classes=classes)
    frozen = Frozen(lambda: pretrained(disturbed=False), identity(False))
    discriminator = Discriminator(facts, frozen, size=generator.size, side=side)
    return VisionAided(discriminator, weight=options.weight, alone=options.alone)


plugin = Plugin(
    api=1,
    summary="Discriminators on frozen EfficientNet features beside D (Kumari et al. 2022; Sauer et al. 2021)",
    options=Options,
    build=build,
)
