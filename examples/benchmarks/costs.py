"""What `--aug diffaugment` and `--cr` cost within fewgan.

    python examples/benchmarks/costs.py

DiffAugment: the seconds of its own calls in one step (forward on real and fake in each D step, forward and backward on
the fakes in the G step) as a share of the whole step; and the whole step with it against the whole step without it.
CR: the seconds that it adds to a D step, against one pass of the same photos through D, forward and backward. All in
turns in one run, on one pair of networks.
"""

import argparse
import dataclasses
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
from cases import Case, Setting, config_of, write_photos
from measure import in_turns, machine, ratios, spread, table, torch_facts

from fewgan.screen import Screen
from fewgan.training import session
from fewgan.training.players import Players
from fewgan.training.steps import Clock, discriminator_step, generator_step


class Bench:
    """The steps of one training, with parts of it left out at will."""

    def __init__(self, setting: Setting, folder: Path) -> None:
        config = config_of(Case(diffaugment=True, cr=True), setting, folder, steps=1)
        work = session.begin(config, Screen(quiet=True))
        self.players, self.optimizers = work.state.players, work.state.optimizers
        self.d_steps, self.count = setting.d_steps, setting.batch
        photos = work.photos[: self.count].float().div(127.5).sub(1).contiguous(memory_format=torch.channels_last)
        self.batch = photos, work.labels[: self.count]
        with torch.no_grad():
            self.fake = self.players.generate(*self.players.draw(self.count))

    def without(self, *, diffaugment: bool = False, cr: bool = False) -> Players:
        return dataclasses.replace(
            self.players,
            augmentation=None if diffaugment else self.players.augmentation,
            regularizers={} if cr else self.players.regularizers,
        )

    def discriminator(self, players: Players) -> Callable[[], object]:
        return lambda: discriminator_step(players, self.optimizers["discriminator"], [self.batch], Clock())

    def step(self, players: Players) -> Callable[[], object]:
        def both() -> None:
            for _ in range(self.d_steps):
                self.discriminator(players)()
            generator_step(players, self.optimizers["generator"], [self.count], Clock())

        return both

    def augmentation(self) -> None:
        """What a step asks of it, and no more."""
        both = torch.cat((self.batch[0], self.fake))
        for _ in range(self.d_steps):
            self.players.augment(both)
        fake = self.fake.detach().requires_grad_()
        out = self.players.augment(fake)
        torch.autograd.grad(out, fake, torch.ones_like(out))

    def real_pass(self) -> None:
        """The same photos through D once, forward and backward."""
        logits = self.players.judge(self.batch[0], None)
        torch.autograd.backward(logits.mean(), inputs=list(self.players.discriminator.parameters()))


def rows(setting: Setting, folder: Path, rounds: int) -> list[list[str]]:
    bench = Bench(setting, folder)
    with_aug, plain = bench.without(cr=True), bench.without(diffaugment=True, cr=True)
    steps = in_turns(
        {"with": bench.step(with_aug), "without": bench.step(plain), "itself": bench.augmentation}, rounds, warmup=2
    )
    parts = {
        "both": bench.discriminator(bench.players),
        "aug": bench.discriminator(with_aug),
        "cr": bench.discriminator(bench.without(diffaugment=True)),
        "none": bench.discriminator(plain),
        "pass": bench.real_pass,
    }
    judged = in_turns(parts, rounds, warmup=2)

    def added(more: str, less: str) -> str:
        differences = [a - b for a, b in zip(judged[more], judged[less], strict=True)]
        return spread(ratios(differences, judged["pass"]), 2, " passes")

    share = [100 * value for value in ratios(steps["itself"], steps["with"])]
    change = [100 * (value - 1) for value in ratios(steps["with"], steps["without"])]
    size = f"{setting.size} px"
    return [
        [size, "DiffAugment's own calls, of a step", spread(share, 2, " %"), f"{median(steps['with']):.3f} s"],
        [size, "step with DiffAugment, over one without", spread(change, 2, " %"), f"{median(steps['without']):.3f} s"],
        [size, "CR alone, added to a D step", added("cr", "none"), f"{median(judged['pass']):.3f} s"],
        [size, "CR beside DiffAugment, added to a D step", added("both", "aug"), f"{median(judged['pass']):.3f} s"],
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="64", help="sides in pixels, as 32,64,128")
    parser.add_argument("--width", type=int, help="channel multiplier; default: fewgan's for the size")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--d-steps", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=15, help="counted turns, after 2 that are not")
    parser.add_argument("--threads", type=int, help="default: torch's")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    said = {"batch": options.batch, "D steps for one of G": options.d_steps, "counted turns": options.rounds}
    print(machine(**torch_facts(), **said), flush=True)
    found = []
    with tempfile.TemporaryDirectory() as place:
        write_photos(Path(place))
        for size in map(int, options.sizes.split(",")):
            found += rows(Setting(size, options.width, options.batch, options.d_steps), Path(place), options.rounds)
    print(f"\n{table(('size', 'what', 'cost', 'of'), found)}")


if __name__ == "__main__":
    main()
