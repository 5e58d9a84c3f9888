"""`fewgan project PHOTO…`: the latents whose pictures are nearest to photos, by perceptual distance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fewgan.plugin import Plugin, option

if TYPE_CHECKING:
    from fewgan.screen import Screen
    from fewgan_project.command import Projected


@dataclass(frozen=True, kw_only=True)
class Options:
    photos: tuple[str, ...] = option((), "Photos to project.", argument=True)
    run: str | None = option(None, "A run, a generator.safetensors or a pretrained GAN. Default: the latest run.")
    space: str = option("auto", "Latents to search: z, w, w+, or auto: w where the generator has it, else z.")
    features: str | None = option(
        None, "Feature network of the distance. Default: efficientnet where it is installed, else random."
    )
    steps: int = option(500, "Updates of the latents.", min=1, max=100_000)
    rate: float = option(0.1, "Learning rate of the latents.", min=0, max=10)
    pixels: float = option(0.1, "Weight of the squared difference of pixels in the distance.", min=0, max=1000)
    classes: str | None = option(
        None, "Comma-separated class names or indices, taken in turn. Default: the nearest class of each photo."
    )
    crop: str | None = option(
        None, "center: the central square of each photo; fit, stretch: as in prepare [default: as the run's photos]"
    )
    seed: int = option(0, "Random seed; the same seed gives the same result.", min=0, max=2**63 - 1)
    out: str | None = option(None, "Folder for pictures and latents. Default: a folder in ./projections.")
    device: str = option("auto", "auto, cpu, cuda, cuda:N or mps.")


class Command:
    def run(self, options: Any, screen: Screen) -> Projected:
        from fewgan_project.command import project_photos

        return project_photos(options, screen)


def build(options: Options) -> Command:
    return Command()


plugin = Plugin(api=1, summary="Find the latents that come nearest to photos.", options=Options, build=build)
