"""Kills and starves commands at random moments, runs them again, and compares with what they make when left alone.

    python tests/torture/kill.py --kills 100 --seed 0            each way, so many times
    python tests/torture/kill.py --ways trainings,disks          some of them

trainings   `train … --continue`, ended by SIGKILL and started again
ranks       one of two ranks of such a training under `torchrun --max-restarts 2`; a tenth as many kills
prepare     `prepare --force`, which replaces a dataset
fid         `fid`; a fifth as many kills
disks       all three, while the disk becomes full

Torch is imported once; all but ranks are forks of this process. Half of the kills come at any moment, half while a file
is being written. The last line printed is JSON: what happened how often.
"""

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

WAYS = ("trainings", "ranks", "prepare", "fid", "disks")


def torture(place: Path, ways: list[str], kills: int, seed: int) -> dict[str, Counter[str]]:
    """Counts of what happened. Raises AssertionError where anything ends otherwise than undisturbed.

    place: an empty folder to work in; it becomes the current one.
    """
    import preloaded  # noqa: F401
    import torch
    from disks import fill_disks
    from drawn import draw
    from processes import run
    from results import kill_fid, kill_prepare
    from trainings import kill_ranks, kill_trainings, write_source

    torch.set_num_threads(1)
    os.chdir(place)
    os.environ["FEWGAN_CACHE"] = str(place / "cache")
    draw(place / "photos", 8)
    draw(place / "other-photos", 9, seed=100)
    run(["prepare", "photos", "--size", "32", "--workers", "1", "--quiet"])
    write_source()
    known: dict[str, Callable[[int, random.Random], Counter[str]]] = {
        "trainings": kill_trainings,
        "ranks": lambda kills, chance: kill_ranks(max(1, kills // 10), chance),
        "prepare": kill_prepare,
        "fid": lambda kills, chance: kill_fid(max(1, kills // 5), chance),
        "disks": fill_disks,
    }
    happened = {}
    for way in ways:
        happened[way] = known[way](kills, random.Random(f"{way} {seed}"))
        print(f"{way}: {dict(happened[way])}", file=sys.stderr, flush=True)
    return happened


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--ways", default=",".join(WAYS))
    chosen = parser.parse_args()
    ways = chosen.ways.split(",")
    if unknown := set(ways) - set(WAYS):
        parser.error(f"--ways {','.join(sorted(unknown))}: choose among {', '.join(WAYS)}")
    signal.signal(signal.SIGTERM, lambda signum, _: sys.exit(128 + signum))  # the disk is unmounted then, too
    with tempfile.TemporaryDirectory() as folder:
        started = time.monotonic()
        try:
            counts = torture(Path(folder), ways, chosen.kills, chosen.seed)
        finally:
            os.chdir("/")
        print(json.dumps({**counts, "seconds": round(time.monotonic() - started)}))


if __name__ == "__main__":
    main()
