"""Pictures a second: fewgan's sampling against the published generator in eval mode.

    python examples/benchmarks/sample.py

fewgan samples as `fewgan sample` does, from seeded latents to uint8 pictures; `plain` goes from latents to uint8 in
batches of the same 16. From the same weights, in two processes that take turns.
"""

import argparse
import tempfile
from pathlib import Path
from statistics import median

import torch
from cases import Setting, write_source
from measure import answer_turns, machine, ratios, sides_in_turns, spread, table, torch_facts
from plain.networks import Generator

import fewgan
from fewgan import device

GROUP, WARMUP = 16, 2
SIDES = ("plain", "fewgan")
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


def be_a_side(side: str, setting: Setting, folder: Path, count: int) -> None:
    """In a process of its own: `count` pictures for each line on stdin."""
    if side == "fewgan":
        model = fewgan.load(folder).to(device.resolve("cpu"))
        answer_turns(lambda: model.sample(count))
    generator, _ = setting.networks(classes=1)
    generator.load_state_dict(torch.load(folder / "G_ema.pth", weights_only=True))
    generator.eval()
    answer_turns(lambda: sample(generator, count))


def row(setting: Setting, folder: Path, count: int, rounds: int) -> list[str]:
    source = write_source(folder, setting)
    common = ["--folder", source, "--sizes", setting.size, "--width", setting.channels, "--count", count]
    common += ["--threads", torch.get_num_threads()]
    sides = {side: [__file__, "--side", side, *common] for side in SIDES}
    seconds, _ = sides_in_turns(sides, rounds, WARMUP)
    plain, own = (seconds[side] for side in SIDES)
    rates = [f"{count / median(values):.1f}" for values in (plain, own)]
    return [str(setting.size), str(setting.channels), *rates, spread(ratios(plain, own), 2)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="32,64,128", help="sides in pixels")
    parser.add_argument("--width", type=int, help="channel multiplier; default: fewgan's for the size")
    parser.add_argument("--count", type=int, default=64, help="pictures a turn, a multiple of 16")
    parser.add_argument("--rounds", type=int, default=12, help="counted turns, after 2 that are not")
    parser.add_argument("--threads", type=int, help="default: torch's")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    settings = [Setting(int(size), options.width) for size in options.sizes.split(",")]
    if options.side:
        be_a_side(options.side, settings[0], options.folder, options.count)
    print(machine(**torch_facts(), **{"pictures a turn": options.count, "counted turns": options.rounds}), flush=True)
    with tempfile.TemporaryDirectory() as place:
        rows = [row(setting, Path(place), options.count, options.rounds) for setting in settings]
    print(f"\n{table(HEAD, rows)}")


if __name__ == "__main__":
    main()
