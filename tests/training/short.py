"""Trainings of a few steps on tiny networks."""

from contextlib import suppress
from functools import cache
from pathlib import Path

import torch
from drawn import smooth
from safetensors.torch import load_file

from fewgan import run
from fewgan.architectures.biggan import Options
from fewgan.errors import UsageError
from fewgan.registry import choose, find
from fewgan.screen import Screen
from fewgan.testing import tiny
from fewgan.training.config import Config

QUIET = Screen(quiet=True)


GOLDEN = Path(__file__).parents[1] / "golden" / "biggan-32"


def draw_folder(folder: Path, count: int, seed: int = 0) -> None:
    folder.mkdir(parents=True)
    for index in range(count):
        smooth(80, 60, seed + index).save(folder / f"{index:03d}.jpg")


@cache
def regularizers() -> list[str]:
    """Those installed that serve any networks; others (path length) need an architecture of their own."""
    networks = tiny.build(tiny.Options(), size=tiny.SIZE, classes=0)
    found = []
    for name in sorted(find("regularizers")):
        plugin, options = choose("regularizers", name).plugin()
        with suppress(UsageError):
            plugin.build(options, networks=networks)
            found.append(name)
    return found


def config(data: Path, out: Path, source: Path | None = None, method=("none", None, False), **changes) -> Config:
    transfer, augmentation, regular = method
    options = {"miner_steps": 2} if transfer == "minegan" else {}
    plugin = choose("transfers", transfer)
    settled = {
        "data": str(data),
        "out": str(out),
        "source": str(source) if source is not None and plugin.plugin()[0].needs_source else None,
        "architecture": choose(
            "architectures", "biggan", None if plugin.plugin()[0].needs_source else Options(width=2)
        ),
        "transfer": choose("transfers", transfer, plugin.plugin()[0].options(**options)),
        "augmentation": choose("augmentations", augmentation) if augmentation else None,
        "regularizers": tuple(choose("regularizers", name) for name in regularizers()) if regular else (),
        "steps": 4,
        "batch_size": 4,
        "sample_every": 2,
        "save_every": 2,
        "device": "cpu",
    }
    return Config(**{**settled, **changes})


def metrics(folder: Path) -> list[dict]:
    return [
        {k: v for k, v in line.items() if "second" not in k and "memory" not in k} for line in run.read_metrics(folder)
    ]


def same_file(one: Path, other: Path) -> None:
    first, second = load_file(one), load_file(other)
    assert first.keys() == second.keys()
    different = [name for name in first if not torch.equal(first[name], second[name])]
    assert not different
