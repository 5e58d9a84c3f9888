"""Kills a training again and again, resumes it each time, and compares it with one that was left alone.

    python tests/torture/kill.py --kills 100 --seed 0

Torch is imported once; each training is a fork of this process, ended by SIGKILL: half of them at a random moment, half
of them while a file is being written.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import torch
from drawn import draw
from safetensors.torch import load_file

from fewgan import run
from fewgan.architectures.biggan import Options
from fewgan.photos.prepare import prepare
from fewgan.registry import choose
from fewgan.screen import Screen
from fewgan.training import loop as train
from fewgan.training.config import Config

QUIET = Screen(quiet=True)
STEPS = 24


def torture(place: Path, kills: int, seed: int) -> Counter[str]:
    """Counts of what happened. Raises AssertionError where a run that was killed ends otherwise than one that was not.

    place: an empty folder to work in; it becomes the current one.
    """
    torch.set_num_threads(1)
    os.chdir(place)
    prepare(draw(place / "photos", 8), place / "dataset", size=32, workers=1, screen=QUIET)
    source = _config("none", None, out="source", steps=1, save_every=1)
    _wait(_fork(lambda: train.train(source, QUIET)))
    asked = _config("minegan", str(place / "source" / "00001-dataset-biggan"))
    _wait(_fork(lambda: train.train(asked, QUIET)))
    (undisturbed,) = Path("runs").iterdir()
    undisturbed = undisturbed.rename(place / "undisturbed")

    happened: Counter[str] = Counter()
    chance = random.Random(seed)
    while happened["kills"] < kills:
        folder = _killed_and_resumed(asked, chance, happened, kills)
        _compare(undisturbed, folder)
        happened["runs compared"] += 1
        shutil.rmtree("runs")
    return happened


def _config(transfer: str, source: str | None, **changes: object) -> Config:
    whole = transfer != "none"
    settings: dict[str, object] = {
        "data": "dataset",
        "out": "runs",
        "source": source,
        "architecture": choose("architectures", "biggan", None if whole else Options(width=2)),
        "transfer": choose("transfers", transfer),
        "augmentation": choose("augmentations", "diffaugment") if whole else None,
        "regularizers": (choose("regularizers", "cr"),) if whole else (),
        "steps": STEPS,
        "batch_size": 4,
        "sample_every": 5,
        "save_every": 1,
        "keep_generators": whole,
        "device": "cpu",
    }
    return Config(**settings | changes)  # type: ignore[arg-type]


def _killed_and_resumed(asked: Config, chance: random.Random, happened: Counter[str], kills: int) -> Path:
    """One training, until it is done; a folder without a checkpoint yet is started anew."""
    while True:
        found = sorted(Path("runs").iterdir()) if Path("runs").is_dir() else []
        if found and not run.checkpoints(found[-1]):
            shutil.rmtree(found.pop())
            happened["started anew"] += 1
        folder = found[-1] if found else None
        child = _fork(partial(train.resume, str(folder), QUIET) if folder else partial(train.train, asked, QUIET))
        if happened["kills"] >= kills:
            _wait(child)
            return next(iter(Path("runs").iterdir()))
        if chance.random() < 0.5:
            time.sleep(chance.uniform(0, 1.5))
        else:
            time.sleep(chance.uniform(0, 1.0))
            until = time.monotonic() + 2
            while not _writing() and time.monotonic() < until and not _ended(child):
                pass
        if _ended(child):
            _wait(child)
            return next(iter(Path("runs").iterdir()))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        happened["kills"] += 1
        happened["kills while a file was written"] += _writing()


def _writing() -> bool:
    return any(Path("runs").glob("*/.*.tmp")) or any(Path("runs").glob("*/*/.*.tmp"))


def _fork(work: Callable[[], object]) -> int:
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        work()
        code = 0
    finally:
        sys.stdout.flush()
        os._exit(code)


def _ended(child: int) -> bool:
    """Whether the training has come to its end; it stays waited for."""
    return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _wait(child: int) -> None:
    _, status = os.waitpid(child, 0)
    assert status == 0, "a training that was left alone has failed"


def _compare(one: Path, other: Path) -> None:
    names = ["generator.safetensors", f"checkpoints/{STEPS:06d}.safetensors"]
    names += [f"generators/{step:06d}.safetensors" for step in range(1, STEPS + 1)]
    for name in names:
        first, second = load_file(one / name), load_file(other / name)
        assert first.keys() == second.keys()
        assert all(torch.equal(first[key], second[key]) for key in first), f"{other / name} differs"
    pictures = sorted(path.name for path in (one / "samples").iterdir())
    assert pictures == sorted(path.name for path in (other / "samples").iterdir())
    for name in pictures:
        assert (one / "samples" / name).read_bytes() == (other / "samples" / name).read_bytes(), name
    assert _metrics(one) == _metrics(other)
    assert not list(other.rglob(".*.tmp"))


def _metrics(folder: Path) -> list[dict[str, object]]:
    measured = ("seconds_per_step", "peak_memory_bytes")
    return [{k: v for k, v in line.items() if k not in measured} for line in run.read_metrics(folder)]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        started = time.monotonic()
        counts = torture(Path(folder), chosen.kills, chosen.seed)
        print(json.dumps({**counts, "seconds": round(time.monotonic() - started)}))
        os.chdir("/")
