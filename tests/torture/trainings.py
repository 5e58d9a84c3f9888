"""Trainings that are killed, whole or rank by rank, and resumed; compared with one that was left alone."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import torch
from processes import kill, pause, run, start, wait
from safetensors.torch import load_file

from fewgan import run as runs

STEPS = 12
TRAIN = ["train", "dataset", "--transfer", "minegan", "--aug", "diffaugment", "--cr", "--steps", str(STEPS)]
TRAIN += ["--batch-size", "4", "--sample-every", "5", "--save-every", "1", "--keep-generators", "--device", "cpu"]
TRAIN += ["--quiet", "--continue"]
RESTARTS = 2


def line(out: Path) -> list[str]:
    return [*TRAIN, "--source", str(newest(Path("source"))), "--out", str(out)]


def newest(place: Path) -> Path:
    return sorted(runs.runs_in(place))[-1]


def write_source() -> None:
    """A pretrained GAN at ./source, from ./dataset."""
    run(["train", "dataset", "--biggan-width", "2", "--steps", "1", "--batch-size", "4", "--device", "cpu",
         "--out", "source", "--quiet"])  # fmt: skip


def undisturbed() -> Path:
    if not Path("undisturbed").exists():
        run(line(Path("undisturbed")))
    return newest(Path("undisturbed"))


def kill_trainings(kills: int, chance: random.Random) -> Counter[str]:
    happened: Counter[str] = Counter()
    out = Path("runs")
    undisturbed()
    started = time.monotonic()
    run(line(out))
    longest = time.monotonic() - started
    compare(undisturbed(), newest(out))
    shutil.rmtree(out)
    while happened["kills"] < kills:
        while True:
            child = start(line(out))
            if happened["kills"] >= kills or not pause(child, chance, longest, lambda: writing(out)):
                wait(child)
                break
            kill(child)
            happened["kills"] += 1
            happened["while a file was written"] += writing(out)
            happened["before the first checkpoint"] += not any(map(runs.checkpoints, runs.runs_in(out)))
        compare(undisturbed(), newest(out))
        happened["runs compared"] += 1
        shutil.rmtree(out)
    return happened


def writing(out: Path) -> bool:
    return any(out.glob("*/.*.tmp")) or any(out.glob("*/*/.*.tmp"))


def kill_ranks(kills: int, chance: random.Random) -> Counter[str]:
    """Of two processes that torchrun starts, any; it starts both again, up to twice in a run."""
    happened: Counter[str] = Counter()
    alone = Path("undisturbed-ranks")
    if not alone.exists():
        _torchrun(line(alone), 0, chance, alone)
    while happened["kills"] < kills:
        killed = _torchrun(line(Path("runs")), min(RESTARTS, kills - happened["kills"]), chance, Path("runs"))
        happened["kills"] += len(killed)
        happened.update(f"kills of rank {rank}" for rank in killed)
        compare(newest(alone), newest(Path("runs")))
        happened["runs compared"] += 1
        shutil.rmtree("runs")
    return happened


def _torchrun(arguments: list[str], kills: int, chance: random.Random, out: Path) -> list[int]:
    """One training in two processes, to its end; the ranks that were killed."""
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--max-restarts", str(RESTARTS)]
    command += ["--monitor-interval", "0.1", "--rdzv-backend", "c10d", "--rdzv-endpoint", "127.0.0.1:0"]
    command += ["--local-addr", "127.0.0.1", "-m", "fewgan", *arguments]
    killed: list[int] = []
    seen: set[int] = set()
    with open("torchrun.log", "w+", encoding="utf-8") as log:
        launcher = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            while launcher.poll() is None and len(killed) < kills:
                ranks = {rank: pid for rank, pid in _ranks(launcher.pid).items() if pid not in seen}
                if len(ranks) < 2:
                    time.sleep(0.01)
                    continue
                seen |= set(ranks.values())
                if _wait_for_a_moment(launcher, out, chance):
                    rank = chance.choice(sorted(ranks))
                    try:
                        os.kill(ranks[rank], signal.SIGKILL)
                    except ProcessLookupError:
                        continue
                    killed.append(rank)
            code = launcher.wait(240)
        finally:
            if launcher.poll() is None:
                launcher.terminate()
                launcher.wait()
        log.seek(0)
        assert code == 0, f"torchrun ended with {code} after kills of {killed}: {log.read()[-3000:]}"
    return killed


def _wait_for_a_moment(launcher: subprocess.Popen[bytes], out: Path, chance: random.Random) -> bool:
    """A random time after a random number of further checkpoints. False: the training ended before it."""
    made = max((step for folder in runs.runs_in(out) for step, _ in runs.checkpoints(folder)), default=0)
    goal = 0 if chance.random() < 0.2 else chance.randint(made + 1, STEPS)
    while goal and not any(step >= goal for folder in runs.runs_in(out) for step, _ in runs.checkpoints(folder)):
        if launcher.poll() is not None:
            return False
        time.sleep(0.005)
    time.sleep(chance.uniform(0, 0.1 if goal else 5))
    return launcher.poll() is None


def _ranks(launcher: int) -> dict[int, int]:
    """Process ids of a torchrun's ranks (Linux)."""
    found = {}
    for place in Path("/proc").iterdir():
        if not place.name.isdecimal():
            continue
        try:
            if int((place / "stat").read_text().rpartition(")")[2].split()[1]) != launcher:
                continue
            variables = dict(word.partition("=")[::2] for word in (place / "environ").read_text().split("\0"))
        except (OSError, ValueError):  # it ended just now
            continue
        if "RANK" in variables:
            found[int(variables["RANK"])] = int(place.name)
    return found


def compare(one: Path, other: Path) -> None:
    """Raises AssertionError where two runs differ in anything but times."""
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
    return [{k: v for k, v in line.items() if k not in measured} for line in runs.read_metrics(folder)]
