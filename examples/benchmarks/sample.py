"""Pictures a second: fewgan's sampling against the published generator in eval mode.

    python examples/benchmarks/sample.py

`fewgan.load(…).sample` is called as a user would, from seeded latents to uint8 pictures; `plain` goes from latents to
uint8 in batches of the same 16. In turns in one run, from the same weights.
"""

import argparse
import tempfile
from pathlib import Path
from statistics import median

import torch
from cases import Setting, write_source
from measure import in_turns, machine, ratios, spread, table, torch_facts
from plain.networks import Generator

import fewgan

GROUP = 16
HEAD = ("size", "ch", "plain, pictures/s", "fewgan, pictures/s", "times faster")


@torch.no_grad()
def sample(generator: Generator, count: int) -> torch.Tensor:
    """The published way: eval mode, batch by batch."""
    made = []
    for _ in range(0, count, GROUP):
        z = torch.randn(GROUP, generator.latent_dim)
        images = generator(z, generator.embed(torch.zeros(GROUP, dtype=torch.int64)))
        made.append((images * 127.5 + 128).clamp(0, 255).to(torch.uint8))
    return torch.cat(made)


def row(setting: Setting, folder: Path, count: int, rounds: int) -> list[str]:
    source = write_source(folder, setting)
    model = fewgan.load(source)
    generator, _ = setting.networks(classes=1)
    generator.load_state_dict(torch.load(source / "G_ema.pth", weights_only=True))
    generator.eval()
    seconds = in_turns(
        {"plain": lambda: sample(generator, count), "fewgan": lambda: model.sample(count)}, rounds, warmup=2
    )
    rates = [f"{count / median(seconds[name]):.1f}" for name in ("plain", "fewgan")]
    return [str(setting.size), str(setting.channels), *rates, spread(ratios(seconds["plain"], seconds["fewgan"]), 2)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="32,64,128", help="sides in pixels")
    parser.add_argument("--width", type=int, help="channel multiplier; default: fewgan's for the size")
    parser.add_argument("--count", type=int, default=64, help="pictures a turn, a multiple of 16")
    parser.add_argument("--rounds", type=int, default=12, help="counted turns, after 2 that are not")
    parser.add_argument("--threads", type=int, help="default: torch's")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    print(machine(**torch_facts(), **{"pictures a turn": options.count, "counted turns": options.rounds}), flush=True)
    with tempfile.TemporaryDirectory() as place:
        sizes = [int(size) for size in options.sizes.split(",")]
        rows = [row(Setting(size, options.width), Path(place), options.count, options.rounds) for size in sizes]
    print(f"\n{table(HEAD, rows)}")


if __name__ == "__main__":
    main()
