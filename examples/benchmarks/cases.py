"""The trainings that are compared, as fewgan runs them and as `plain` does, from the same weights and photos."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from plain.networks import Discriminator, Generator
from plain.training import CR_WEIGHT, Training

from fewgan import registry
from fewgan.architectures.biggan.build import ATTENTION, WIDTHS
from fewgan.photos import dataset
from fewgan.photos.prepare import prepare
from fewgan.screen import Screen
from fewgan.training.config import Config

PHOTOS = 64


@dataclass(frozen=True)
class Case:
    """mining: MineGAN's stage, None: no transfer."""

    mining: int | None = None
    diffaugment: bool = False
    cr: bool = False


CASES = {
    "from scratch": Case(),
    "minegan stage 1": Case(mining=1),
    "minegan stage 2": Case(mining=2),
    "diffaugment": Case(diffaugment=True),
    "cr": Case(cr=True),
    "all, stage 1": Case(mining=1, diffaugment=True, cr=True),
    "all, stage 2": Case(mining=2, diffaugment=True, cr=True),
}


@dataclass(frozen=True)
class Setting:
    """Both sides do d_steps updates of D for one of G. precision: fewgan's; plain is always float32."""

    size: int = 64
    width: int | None = None
    batch: int = 16
    d_steps: int = 1
    precision: str = "fp32"

    @property
    def channels(self) -> int:
        return self.width or WIDTHS[self.size]

    def networks(self, classes: int) -> tuple[Generator, Discriminator]:
        attention = [int(side) for side in ATTENTION[self.size].split(",")]
        torch.manual_seed(0)
        return (
            Generator(self.size, self.channels, attention, classes),
            Discriminator(self.size, self.channels, attention, classes),
        )


def write_photos(folder: Path, side: int = 128) -> None:
    """A dataset at folder/dataset, of smooth noise: what a step costs does not depend on the picture."""
    (folder / "photos").mkdir(parents=True)
    random = np.random.default_rng(0)
    for number in range(PHOTOS):
        noise = Image.fromarray(random.integers(0, 256, (9, 9, 3), dtype=np.uint8))
        noise.resize((side, side), Image.Resampling.BICUBIC).save(folder / "photos" / f"{number}.png")
    prepare(folder / "photos", folder / "dataset", size=side, workers=1, screen=Screen(quiet=True))


def write_source(folder: Path, setting: Setting) -> Path:
    """A pretrained GAN of one class in the published layout, which both sides read."""
    source = folder / f"source-{setting.size}-{setting.channels}"
    source.mkdir(exist_ok=True)
    for name, network in zip(("G_ema", "D"), setting.networks(classes=1), strict=True):
        torch.save(network.state_dict(), source / f"{name}.pth")
    return source


def config_of(case: Case, setting: Setting, folder: Path, steps: int) -> Config:
    """What `fewgan train` makes of its command line for this case."""
    transfer = registry.choose("transfers", "none")
    if case.mining is not None:
        options = registry.load("transfers", "minegan").options(miner_steps=steps if case.mining == 1 else 0)
        transfer = registry.choose("transfers", "minegan", options)
    architecture = registry.load("architectures", "biggan").options(width=setting.channels)
    consistency = registry.load("regularizers", "cr").options(weight=CR_WEIGHT)
    return Config(
        data=str(folder / "dataset"),
        out=str(folder / "runs"),
        source=str(write_source(folder, setting)) if case.mining is not None else None,
        size=setting.size,
        architecture=registry.choose("architectures", "biggan", architecture),
        transfer=transfer,
        augmentation=registry.choose("augmentations", "diffaugment") if case.diffaugment else None,
        regularizers=(registry.choose("regularizers", "cr", consistency),) if case.cr else (),
        steps=steps,
        batch_size=setting.batch,
        d_steps=setting.d_steps,
        precision=setting.precision,
        sample_every=10**9,
        save_every=10**9,
        device="cpu",
    )


def plain_training(case: Case, setting: Setting, folder: Path) -> Training:
    """The same case, published way; the same dataset and, for MineGAN, the same source."""
    generator, discriminator = setting.networks(classes=0 if case.mining is None else 1)
    photos, _ = dataset.photos(dataset.load(folder / "dataset"), held_out=False, size=setting.size)
    return Training(
        generator,
        discriminator,
        photos,
        batch=setting.batch,
        d_steps=setting.d_steps,
        mining=case.mining,
        diffaugment=case.diffaugment,
        cr=case.cr,
    )


class Watching(Screen):
    """Sits where the progress bar of `fewgan train` is, and so sees each step of the real loop end.

    seconds: of each step; before: called once before the first; between: after each step, off the clock.
    """

    def __init__(self, before: Callable[[], object], between: Callable[[], object]) -> None:
        super().__init__(quiet=True)
        self.before, self.between = before, between
        self.seconds: list[float] = []

    @contextmanager
    def progress(self, label: str, total: int, unit: str, every: float = 10.0) -> Iterator[Callable[..., None]]:
        if label != "train":
            with super().progress(label, total, unit, every) as advance:
                yield advance
            return
        self.before()
        started = time.perf_counter()

        def advanced(count: int = 1, text: str = "") -> None:
            nonlocal started
            self.seconds.append(time.perf_counter() - started)
            self.between()
            started = time.perf_counter()

        yield advanced
