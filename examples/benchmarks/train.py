"""A training step of fewgan against the published way, and the memory that each takes.

    python examples/benchmarks/train.py                       64 px, every combination of methods
    python examples/benchmarks/train.py --sizes 32,64,128     all sizes
    python examples/benchmarks/train.py --quick               a few minutes
    python examples/benchmarks/train.py --profile             where the time of fewgan's step goes

The loop of `fewgan train` runs as it is (data, D, G, average, metrics); between two of its steps `plain` makes one of
its own: A B A B … in one process, with the same number of D steps for one of G. Peak memory is that of a fresh process
for each side: the highest resident size during three steps, above that of imports and networks.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import torch
from cases import CASES, Case, Setting, Watching, config_of, plain_training, write_photos
from measure import machine, ratios, resident, spread, start_high_water, table, torch_facts

from fewgan.train import train

WARMUP = 2
MEMORY_STEPS = 3
HEAD = ("case", "size", "ch", "plain, s", "fewgan, s", "times faster", "fewgan, photos/s", "plain, MB", "fewgan, MB")


def seconds_in_turns(case: Case, setting: Setting, folder: Path, steps: int) -> tuple[list[float], list[float]]:
    """Seconds of each step of plain and of fewgan, in turns in one process."""
    theirs = plain_training(case, setting, folder)
    plain: list[float] = []

    def one_of_plain() -> None:
        started = time.perf_counter()
        theirs.step()
        plain.append(time.perf_counter() - started)

    screen = Watching(lambda: None, one_of_plain)
    train(config_of(case, setting, folder, WARMUP + steps), screen)
    return plain[WARMUP:], screen.seconds[WARMUP:]


def peak(side: str, case: Case, setting: Setting, folder: Path) -> int:
    """Bytes above imports and networks, of this process; meant for a fresh one."""
    idle = highest = 0

    def start() -> None:
        nonlocal idle
        idle = start_high_water()

    def look() -> None:
        nonlocal highest
        highest = resident("VmHWM")

    if side == "plain":
        theirs = plain_training(case, setting, folder)
        start()
        for _ in range(MEMORY_STEPS):
            theirs.step()
        look()
    else:
        train(config_of(case, setting, folder, MEMORY_STEPS), Watching(start, look))
    return highest - idle


def peak_in_a_fresh_process(side: str, name: str, folder: Path, options: argparse.Namespace, size: int) -> int:
    words = [sys.executable, __file__, "--memory-of", side, "--folder", folder, "--cases", name, "--sizes", size]
    words += ["--batch", options.batch, "--d-steps", options.d_steps, "--precision", options.precision]
    words += ["--threads", torch.get_num_threads()] + (["--width", options.width] if options.width else [])
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return int(done.stdout)


def row(name: str, setting: Setting, folder: Path, options: argparse.Namespace) -> list[str]:
    plain, own = seconds_in_turns(CASES[name], setting, folder, options.steps)
    memory = ["", ""]
    if not options.no_memory:
        sides = ("plain", "fewgan")
        memory = [f"{peak_in_a_fresh_process(s, name, folder, options, setting.size) / 1e6:.0f}" for s in sides]
    photos = setting.batch * setting.d_steps / median(own)
    times = spread(ratios(plain, own), 2)
    return [name, str(setting.size), str(setting.channels), spread(plain), spread(own), times, f"{photos:.1f}", *memory]


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
    parser.add_argument("--no-memory", action="store_true")
    parser.add_argument("--quick", action="store_true", help="two cases, five steps")
    parser.add_argument("--profile", action="store_true", help="where the time of fewgan's step goes, case by case")
    parser.add_argument("--memory-of", choices=("plain", "fewgan"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if sys.platform != "linux":  # memory is read from /proc
        options.no_memory = True
    if options.quick:
        options.cases, options.steps = "from scratch;all, stage 2", 5
    return options


def settings(options: argparse.Namespace) -> list[Setting]:
    sizes = [int(size) for size in options.sizes.split(",")]
    return [Setting(size, options.width, options.batch, options.d_steps, options.precision) for size in sizes]


def main() -> None:
    options = arguments()
    if options.threads:
        torch.set_num_threads(options.threads)
    names = options.cases.split(";")
    if options.memory_of:
        print(peak(options.memory_of, CASES[names[0]], settings(options)[0], options.folder))
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
