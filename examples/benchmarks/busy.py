"""A training step on an idle machine and beside busy processes, by how the threads wait for work.

    python examples/benchmarks/busy.py                         idle, beside one, two and five busy processes
    python examples/benchmarks/busy.py --neighbours 0,1        some of them
    python examples/benchmarks/busy.py --quick                 tiny networks, a few steps: does it run?

The loop of `fewgan train` runs as it is, in a process for each way of waiting; they take turns step by step, in
changing order, beside the same neighbours, processes that compute without a pause. A process that waits for its turn
sleeps. What `fewgan` chooses is chosen as the command does it, before the others are started.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from measure import Side, machine, ratios, spread, table

VARIABLES = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "KMP_LIBRARY")
AS_IT_WAS, CHOSEN = "torch's default", "as fewgan chooses"
WARMUP = 2


def ways(spins: str) -> dict[str, dict[str, str]]:
    """The variables of each way of waiting."""
    found = {CHOSEN: {}, AS_IT_WAS: {}, "passive": {"OMP_WAIT_POLICY": "PASSIVE"}}
    found |= {f"{count} spins": {"GOMP_SPINCOUNT": count} for count in spins.split(",") if count}
    return found | {"one thread": {"OMP_NUM_THREADS": "1"}}


def be_a_side(options: argparse.Namespace) -> None:
    """In a process of its own: a step of training for each line on stdin."""
    for name in VARIABLES:
        os.environ.pop(name, None)
    os.environ.update(ways(options.spins)[options.side])
    if options.side == CHOSEN:
        from fewgan.cli import threads

        threads.mind_others(["train", "--device", "cpu"], alone=True)
        chosen = {name: os.environ[name] for name in VARIABLES if name in os.environ}
        (options.folder / "chosen").write_text(" ".join(f"{name}={value}" for name, value in chosen.items()))
    # Only now: torch's OpenMP reads the variables when it is loaded.
    import train
    from cases import CASES, Setting

    setting = Setting(options.size, options.width, options.batch)
    train.be_a_side("fewgan", CASES[options.case], setting, options.folder)


@contextmanager
def neighbours(count: int) -> Iterator[None]:
    started = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()


def measured(options: argparse.Namespace, folder: Path) -> dict[str, list[float]]:
    """Seconds of each counted step, by the way of waiting."""
    common: list[object] = ["--folder", folder, "--size", options.size, "--batch", options.batch]
    common += ["--case", options.case, "--spins", options.spins]
    common += ["--width", options.width] if options.width else []
    sides = {}
    for name in ways(options.spins):
        sides[name] = Side([__file__, "--side", name, *common])
        for _ in range(WARMUP):
            sides[name].turn()
    turns = []
    for turn in range(options.steps):  # each comes first and after each other one: what ran before leaves its traces
        order = [*sides][turn % len(sides) :] + [*sides][: turn % len(sides)]
        turns.append({name: sides[name].turn()[0] for name in (order if turn % 2 else order[::-1])})
    for side in sides.values():
        side.end()
    return {name: [turn[name] for turn in turns] for name in sides}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--neighbours", default="0,1,2,5", help="numbers of busy processes")
    parser.add_argument("--spins", default="1000,10000,50000", help="values of GOMP_SPINCOUNT to try")
    parser.add_argument("--case", default="from scratch", help="a case of train.py")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--width", type=int, help="channel multiplier; default: fewgan's for the size")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=12, help=f"counted steps of each, after {WARMUP} that are not")
    parser.add_argument("--quick", action="store_true", help="32 px, 8 channels, 3 steps, idle and beside one")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.quick:
        options.size, options.width, options.batch, options.steps, options.neighbours = 32, 8, 4, 3, "0,1"
    return options


def main() -> None:
    options = arguments()
    if options.side:
        be_a_side(options)
        return
    facts = {"size": options.size, "batch": options.batch, "case": options.case, "counted steps": options.steps}
    print(machine(**facts), flush=True)
    signal.signal(signal.SIGTERM, lambda signum, _: sys.exit(128 + signum))  # the neighbours end then, too
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        # In a process of its own, which leaves no threads behind.
        words = f"from cases import write_photos; from pathlib import Path; write_photos(Path({place!r}))"
        subprocess.run([sys.executable, "-c", words], cwd=Path(__file__).parent, check=True)
        for count in map(int, options.neighbours.split(",")):
            load = os.getloadavg()[0]
            with neighbours(count):
                seconds = measured(options, folder)
            best = min(seconds, key=lambda name: median(seconds[name]))
            rows = [
                [
                    name,
                    spread(values),
                    spread(ratios(values, seconds[best]), 2),
                    spread(ratios(seconds[AS_IT_WAS], values), 2),
                ]
                for name, values in seconds.items()
            ]
            chosen = (folder / "chosen").read_text() or "nothing set"
            print(f"\nBeside {count} busy processes (load before: {load:.2f}; fewgan chose: {chosen}):\n")
            head = ("threads wait", "seconds a step", "over the best", "times faster than the default")
            print(table(head, rows), flush=True)


if __name__ == "__main__":
    main()
