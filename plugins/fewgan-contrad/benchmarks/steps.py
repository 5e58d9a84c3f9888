"""What a step costs beside plain training and CR, on BigGAN: python plugins/fewgan-contrad/benchmarks/steps.py

Seconds of one thread's processor time for an image, the best of some rounds, all in one process: a step of D, a step of
G, and both with `--d-steps 1`, also as a ratio to plain training. The augmentation is DiffAugment, but for contrad.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import torch
from torch import Tensor, nn

from fewgan.registry import choose
from fewgan.training.players import Players
from fewgan.training.steps import Clock, discriminator_step, generator_step

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--batch", type=int, default=8)
parser.add_argument("--rounds", type=int, default=3)
parser.add_argument("--sizes", type=int, nargs="+", default=[64, 128])
arguments = parser.parse_args()
torch.set_num_threads(1)

WAYS: dict[str, tuple[str | None, list[str]]] = {
    "plain": ("diffaugment", []),
    "cr": ("diffaugment", ["cr"]),
    "contrad": (None, ["contrad"]),
}


class Whole(nn.Module):
    """No transfer."""

    conditional, mapper = True, None


def built(kind: str, name: str, **what: Any) -> Any:
    plugin, options = choose(kind, name).plugin()
    return plugin.build(options, **what)


def costs(size: int, augmentation: str | None, regularizers: list[str]) -> tuple[float, float]:
    """Seconds an image, of a D step and of a G step."""
    torch.manual_seed(0)
    networks = built("architectures", "biggan", size=size, classes=0).with_discriminator()
    team = Players(
        networks=networks,
        transfer=Whole(),
        augmentation=built("augmentations", augmentation, size=size) if augmentation else None,
        regularizers={name: built("regularizers", name, networks=networks) for name in regularizers},
        loss="hinge",
    )
    for module in team.modules.values():
        module.to(memory_format=torch.channels_last)
    in_d = [*networks.discriminator.parameters(), *(p for r in team.regularizers.values() for p in r.parameters())]
    adams = [torch.optim.Adam(list(part), fused=True) for part in (in_d, networks.generator.parameters())]
    photos: Tensor = torch.rand(arguments.batch, 3, size, size) * 2 - 1
    labels = torch.zeros(arguments.batch, dtype=torch.int64)
    best = [float("inf")] * 2
    for _ in range(arguments.rounds + 1):
        start = time.process_time()
        discriminator_step(team, adams[0], [(photos, labels)], Clock())
        between = time.process_time()
        generator_step(team, adams[1], [arguments.batch], Clock())
        best = [min(best[0], between - start), min(best[1], time.process_time() - between)]
    return best[0] / arguments.batch, best[1] / arguments.batch


print(f"{'size':>4} {'':8} {'D':>8} {'G':>8} {'both':>8} {'ratio':>6}")
for size in arguments.sizes:
    plain = 0.0
    for name, way in WAYS.items():
        d, g = costs(size, *way)
        plain = plain or d + g
        print(f"{size:4} {name:8} {d:8.4f} {g:8.4f} {d + g:8.4f} {(d + g) / plain:6.2f}", flush=True)
