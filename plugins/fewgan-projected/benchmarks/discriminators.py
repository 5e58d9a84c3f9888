"""Which feature discriminators suit short runs: python plugins/fewgan-projected/benchmarks/discriminators.py DATASET

Trains MineGAN + DiffAugment with `--visionaided --visionaided-alone`, one D step, for each of the discriminators below
and each seed, and scores the runs against the held-out photos of DATASET on features of EfficientNet-Lite2. Prints a
Markdown table; runs that are there already are not trained again.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from fewgan_projected import discriminators
from fewgan_projected.backbone import CHANNELS
from fewgan_projected.discriminators import PUBLISHED_SIDE, DiscriminatorFacts, mixed_sides, published
from fewgan_projected.layers import Spectral, SpectralConv2d


def chosen(
    side: int,
    *,
    take: tuple[int, ...] = (0, 1, 2, 3),
    least: tuple[int, ...] = (7, 7, 7, 7),
    mixing: str = "both",
    fewer: int = 0,
    **others: Any,
) -> DiscriminatorFacts:
    """The published network, its heads cut: the scales to judge, the least side of each one's last map, how the
    features are mixed, and how many blocks fewer there are.
    """
    full = published(PUBLISHED_SIDE, **others)
    across = None if mixing == "none" else full.across
    scales = full.scales if mixing == "both" else None
    sides = mixed_sides(side, doubled=scales is not None)
    heads = []
    for head in full.heads:
        channels = ((scales or across or CHANNELS)[head.scale], *head.channels[1:])
        depths = [depth for depth in range(len(channels)) if sides[head.scale] >> depth >= least[head.scale]]
        if head.scale in take and depths:
            heads.append(replace(head, channels=channels[: max(depths[-1] - fewer, 0) + 1]))
    return replace(full, across=across, scales=scales, heads=tuple(heads))


class DownBlock3(discriminators.DownBlock):
    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels)
        self.conv = SpectralConv2d(in_channels, out_channels, 3, stride=2, padding=1, bias=True)


def facts(**choice: Any) -> Callable[[], None]:
    def change() -> None:
        discriminators.published = lambda side, **others: chosen(side, **others, **choice)

    return change


def kernel3() -> None:
    facts()()
    discriminators.DownBlock, discriminators.LAST_KERNEL = DownBlock3, 3


def no_spectral_norm() -> None:
    facts()()
    Spectral._make_kernel = lambda self: self.weight


# Heads by the scales that they judge, 0 being the finest, and the smallest map that they go down to.
VARIANTS: dict[str, tuple[list[str], Callable[[], None]]] = {
    "scales 0 to 2, to 8x8 maps": ([], facts()),
    "the same, 32 channels": (["--visionaided-channels", "32"], facts()),
    "the same, 128 channels": (["--visionaided-channels", "128"], facts()),
    "the same, depthwise": (["--visionaided-separable"], facts()),
    "the same, 3x3 kernels": ([], kernel3),
    "the same, no spectral norm": ([], no_spectral_norm),
    "the same, one block less in each": ([], facts(fewer=1)),
    "the same, not mixed across scales": ([], facts(mixing="channels")),
    "the same, not mixed": ([], facts(mixing="none")),
    "scale 0, to 8x8": ([], facts(take=(0,))),
    "scales 0 and 1, to 8x8": ([], facts(take=(0, 1))),
    "scales 1 and 2, to 8x8": ([], facts(take=(1, 2))),
    "scales 0 and 1, to 4x4": ([], facts(take=(0, 1), least=(4,) * 4)),
    "scales 0 to 2, to 4x4": ([], facts(take=(0, 1, 2), least=(4,) * 4)),
    "scales 0 to 2, to 8x8, and 3, at 4x4": ([], facts(least=(7, 7, 7, 4))),
    "all four, to 4x4: the default": ([], lambda: None),
    "side 96, scales 0 to 2, to 12x12": (["--visionaided-side", "96"], facts()),
    "side 96, all four, to 6x6: the default": (["--visionaided-side", "96"], lambda: None),
    "side 128, all four, to 8x8: the default": (["--visionaided-side", "128"], lambda: None),
    "side 128, the same, 32 channels": (["--visionaided-side", "128", "--visionaided-channels", "32"], lambda: None),
    "side 128, all four, to 4x4": (["--visionaided-side", "128"], facts(least=(4,) * 4)),
}
COMMAND = ["--transfer", "minegan", "--aug", "diffaugment", "--visionaided", "--visionaided-alone", "--d-steps", "1"]


def train(index: int, arguments: argparse.Namespace, seed: int) -> None:
    """In a process of its own, since a variant changes the package."""
    from fewgan.cli.commands import main as fewgan

    options, change = list(VARIANTS.values())[index]
    change()
    folder = place(arguments, index, seed)
    sys.argv = ["fewgan", "train", arguments.dataset, "--source", arguments.source, *COMMAND, *options]
    sys.argv += ["--steps", str(arguments.steps), "--seed", str(seed), "--out", str(folder), "--quiet"]
    sys.argv += ["--save-every", str(arguments.steps), "--sample-every", str(arguments.steps)]
    fewgan()


def place(arguments: argparse.Namespace, index: int, seed: int) -> Path:
    return Path(arguments.work) / f"{index}-{seed}"


def outcome(index: int, arguments: argparse.Namespace, seed: int) -> tuple[float, float, float]:
    """Seconds of a step, KID and the Vendi ratio."""
    folder = place(arguments, index, seed)
    done = folder / "outcome.json"
    if not done.is_file():
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, __file__, *sys.argv[1:], "--train", str(index), str(seed)], check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        command = [sys.executable, "-m", "fewgan", "fid", str(max(folder.glob("0*"))), "--features", "efficientnet"]
        command += ["--efficientnet-variant", "2", "--count", "500", "--json", "--quiet"]
        text = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        (row,) = (row for row in json.loads(text)["rows"] if row["against"] == "held-out")
        done.write_text(json.dumps([seconds / arguments.steps, row["kid"], row["vendi_ratio"]]))
    found: tuple[float, float, float] = tuple(json.loads(done.read_text()))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", help="with held-out photos")
    parser.add_argument("--source", default="embedded")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--only", type=int, nargs="+", help="these discriminators, by number from 0")
    parser.add_argument("--work", default="discriminators", help="folder of the runs")
    parser.add_argument("--train", type=int, nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    if arguments.train:
        train(arguments.train[0], arguments, arguments.train[1])
        return
    print("| discriminators | seconds a step | KID | Vendi |\n|---|---:|---:|---:|")
    for index, name in enumerate(VARIANTS):
        if arguments.only is None or index in arguments.only:
            found = zip(*(outcome(index, arguments, seed) for seed in arguments.seeds), strict=True)
            columns = (", ".join(f"{value:.3f}" for value in column) for column in found)
            print(f"| {name} | {' | '.join(columns)} |", flush=True)


if __name__ == "__main__":
    main()
