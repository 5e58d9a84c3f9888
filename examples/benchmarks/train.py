"""A training step of fewgan against the published way, and the memory that each takes.

    python examples/benchmarks/train.py                       64 px, every combination of methods
    python examples/benchmarks/train.py --sizes 32,64,128     all sizes
    python examples/benchmarks/train.py --quick               a few minutes
    python examples/benchmarks/train.py --profile             where the time of fewgan's step goes

The loop of `fewgan train` runs as it is (data, D, G, average, metrics) in one process, `plain` in another, and they
take turns step by step, A B A B …, with the same number of D steps for one of G. Two processes, because fewgan tells
the C library to keep freed memory, which would speed `plain` up too. Peak memory is the highest resident size of the
process during these steps, above that after imports and networks (Linux).
"""

import argparse
import sys
import tempfile
from pathlib import Path
from statistics import median

import torch
from cases import CASES, Case, Setting, Watching, config_of, plain_training, write_photos
from measure import (
    answer,
    answer_turns,
    machine,
    ratios,
    sides_in_turns,
    spread,
    start_high_water,
    table,
    torch_facts,
    wait,
)

from fewgan.training.loop import train

WARMUP = 2
SIDES = ("plain", "fewgan")
HEAD = ("case", "size", "ch", "plain, s", "fewgan, s", "times faster", "fewgan, photos/s", "plain, MB", "fewgan, MB")


def be_a_side(side: str, case: Case, setting: Setting, folder: Path) -> None:
    """In a process of its own: a step of training for each line on stdin."""
    if side == "plain":
        answer_turns(plain_training(case, setting, folder).step)
        return
    idle = 0

    def before() -> None:
        nonlocal idle
        idle = start_high_water()
        wait()

    def between() -> None:
        answer(screen.seconds[-1], idle)
        wait()

    screen = Watching(before, between)
    train(config_of(case, setting, folder, steps=10**6), screen)


def row(name: str, setting: Setting, folder: Path, options: argparse.Namespace) -> list[str]:
    common = ["--folder", folder, "--cases", name, "--sizes", setting.size, "--width", setting.channels]
    common += ["--batch", setting.batch, "--d-steps", setting.d_steps, "--precision", setting.precision]
    common += ["--threads", torch.get_num_threads()]
    sides = {side: [__file__, "--side", side, *common] for side in SIDES}
    seconds, memory = sides_in_turns(sides, options.steps, WARMUP)
    plain, own = (seconds[side] for side in SIDES)
    photos = setting.batch * setting.d_steps / median(own)
    times = spread(ratios(plain, own), 2)
    megabytes = [f"{memory[side] / 1e6:.0f}" for side in SIDES]
    shape = [str(setting.size), str(setting.channels)]
    return [name, *shape, spread(plain), spread(own), times, f"{photos:.1f}", *megabytes]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="64", help="sides in pixels, as 32,64,128")
    parser.add_argument("--width", type=int, help="channel multiplier; default: fewgan's for the size")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--d-steps", type=int, default=1, help="published: 1; fewgan's default: 2")
    parser.add_argument("--threads", type=int, help="default: torch's")
    parser.add_argument("--steps", type=int, default=12, help="counted steps of each side, after 2 that are not")
    parser.add_argument("--cases", default=";".join(CASES), help="names separated by semicolons")
    parser.add_argument("--precision", default="fp32", choices=("fp32", "bf16"), help="fewgan's; plain stays at fp32")
    parser.add_argument("--quick", action="store_true", help="two cases, five steps")
    parser.add_argument("--profile", action="store_true", help="where the time of fewgan's step goes, case by case")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.quick:
        options.cases, options.steps = "from scratch;all, stage 2", 5
    if unknown := set(options.cases.split(";")) - CASES.keys():
        parser.error(f"--cases {'; '.join(sorted(unknown))}: choose among {'; '.join(CASES)}")
    return options


def settings(options: argparse.Namespace) -> list[Setting]:
    sizes = [int(size) for size in options.sizes.split(",")]
    return [Setting(size, options.width, options.batch, options.d_steps, options.precision) for size in sizes]


def main() -> None:
    options = arguments()
    if options.threads:
        torch.set_num_threads(options.threads)
    names = options.cases.split(";")
    if options.side:
        be_a_side(options.side, CASES[names[0]], settings(options)[0], options.folder)
        return
    said = {"batch": options.batch, "D steps for one of G": options.d_steps, "counted steps": options.steps}
    print(machine(**torch_facts(options.precision), **said), flush=True)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write_photos(folder)
        if options.profile:
            from breakdown import profiled

            for setting in settings(options):
                for name in names:
                    print(f"\n### {name}, {setting.size} px\n\n{profiled(CASES[name], setting, folder)}", flush=True)
            return
        rows = []
        for setting in settings(options):
            for name in names:
                rows.append(row(name, setting, folder, options))
                print(" ".join(rows[-1]), file=sys.stderr, flush=True)
    print(f"\n{table(HEAD, rows)}")


if __name__ == "__main__":
    main()
