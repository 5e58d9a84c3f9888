"""The named configurations of stylegan2-ada-pytorch: its figures, and its rule for a configuration by size, `auto`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fewgan_stylegan2.discriminator import Architecture
from fewgan_stylegan2.generator import sides

R1_EVERY, PATH_LENGTH_EVERY = 16, 4


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """How the reference trains.

    batch: images a step over all processes; gamma, half-life and group come from it even where another batch is used.
    ema_images: half-life of the weight average, in images. ema_ramp: largest half-life as a share of the images seen so
    far; None for no ramp. group: images that share a standard deviation in D.
    mixing: probability of style mixing. path_length: weight, 0 for off. clamp: of activations, ±.
    """

    batch: int
    channel_base: int
    mapping_layers: int
    learning_rate: float
    gamma: float
    ema_images: int
    ema_ramp: float | None
    group: int
    channel_max: int = 512
    latent_dim: int = 512
    architecture: Architecture = "resnet"
    path_length: float = 2.0
    mixing: float = 0.9
    clamp: float | None = 256.0
    betas: tuple[float, float] = (0.0, 0.99)
    epsilon: float = 1e-8

    def channels(self, size: int) -> dict[int, int]:
        """Channels at each side from 4 to size."""
        return {side: max(min(self.channel_base // side, self.channel_max), 1) for side in sides(size)}


def _auto(size: int, processes: int) -> Configuration:
    batch = max(min(processes * min(4096 // size, 32), 64), processes)
    return Configuration(
        batch=batch,
        channel_base=32768 if size >= 512 else 16384,
        mapping_layers=2,
        learning_rate=0.002 if size >= 1024 else 0.0025,
        gamma=0.0002 * size**2 / batch,
        ema_images=round(1000 * batch * 10 / 32),
        ema_ramp=0.05,
        group=min(batch // processes, 4),
    )


def _fixed(configuration: Configuration) -> Callable[[int, int], Configuration]:
    return lambda size, processes: configuration


CONFIGURATIONS: dict[str, Callable[[int, int], Configuration]] = {
    "auto": _auto,
    "stylegan2": _fixed(
        Configuration(
            batch=32,
            channel_base=32768,
            mapping_layers=8,
            learning_rate=0.002,
            gamma=10,
            ema_images=10_000,
            ema_ramp=None,
            group=4,
        )
    ),
    "paper256": _fixed(
        Configuration(
            batch=64,
            channel_base=16384,
            mapping_layers=8,
            learning_rate=0.0025,
            gamma=1,
            ema_images=20_000,
            ema_ramp=None,
            group=8,
        )
    ),
    "paper512": _fixed(
        Configuration(
            batch=64,
            channel_base=32768,
            mapping_layers=8,
            learning_rate=0.0025,
            gamma=0.5,
            ema_images=20_000,
            ema_ramp=None,
            group=8,
        )
    ),
    "paper1024": _fixed(
        Configuration(
            batch=32,
            channel_base=32768,
            mapping_layers=8,
            learning_rate=0.002,
            gamma=2,
            ema_images=10_000,
            ema_ramp=None,
            group=4,
        )
    ),
    "cifar": _fixed(
        Configuration(
            batch=64,
            channel_base=32768,
            mapping_layers=2,
            learning_rate=0.0025,
            gamma=0.01,
            ema_images=500_000,
            ema_ramp=0.05,
            group=32,
            architecture="orig",
            path_length=0.0,
            mixing=0.0,
        )
    ),
}


def configuration(name: str, size: int, processes: int = 1) -> Configuration:
    """The configuration of that name for networks of that size; KeyError where there is none."""
    return CONFIGURATIONS[name](size, processes)


def lazy(learning_rate: float, betas: tuple[float, float], every: int) -> tuple[float, tuple[float, float]]:
    """Adam's rate and betas for a network whose regularizer makes a step of its own every so many steps.

    (arXiv 1912.04958, appendix B, lazy regularization.) c = every / (every + 1): rate · c, beta^c.
    """
    share = every / (every + 1)
    return learning_rate * share, (betas[0] ** share, betas[1] ** share)
