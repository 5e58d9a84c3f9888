"""How the OpenMP threads of torch wait for work, chosen by what else the machine computes, before torch is imported.

A thread that spins takes up the next piece of work at once, and until then takes a core from whoever else could use it,
the thread that everyone waits for included. So threads spin on an idle machine and sleep beside other programs. How
many there are never changes, and so neither do the results. examples/benchmarks/busy.py measures what it gives.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from fewgan.screen import Screen, command

COMPUTING = ("train", "sample", "fid")  # the commands that compute with torch
SECONDS = 0.05  # that the machine is watched for
CROWDED = 0.5  # cores that others use beyond those that our threads leave free
# libgomp (torch for Linux) reads the first, Intel's and LLVM's OpenMP (macOS, Windows, conda) the second. Beside others
# every spin costs: 1,000 of them, some microseconds, made a step of small networks a fifth slower.
PATIENT = {"GOMP_SPINCOUNT": "0", "KMP_BLOCKTIME": "0"}
OF_THE_USER = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "KMP_LIBRARY")


def mind_others(arguments: Sequence[str], alone: bool) -> None:
    """Sets the environment for the command line `arguments`, and says so where the machine is busy.

    alone: this is one process, not one of several that compute together and that would each see the others.
    """
    if not arguments or arguments[0] not in COMPUTING or {"--help", "-h"} & set(arguments) or "torch" in sys.modules:
        return
    cores = _cores()
    if _threads(cores, os.environ) == 1 or any(name in os.environ for name in OF_THE_USER):
        return
    others = _used_by_others()
    chosen = choose(cores, others, os.environ, _limit())
    os.environ.update(chosen)
    if chosen and alone and others >= CROWDED and not _on_gpu(arguments):
        Screen("--quiet" in arguments).note(
            f"Other programs use {others:.1f} of {cores} cores, so this takes longer. If they keep running, one thread "
            f"may be faster (results differ in the last digits): OMP_NUM_THREADS=1 {command('fewgan', *arguments)}"
        )


def choose(cores: int, others: float, environment: Mapping[str, str], limit: float | None = None) -> Mapping[str, str]:
    """Variables to set: none, so that threads spin, or those that have them sleep.

    cores: that this process may run on; others: how many of them other programs use; limit: how many the process's
    container may use at a time, None: all.
    """
    threads = _threads(cores, environment)
    if threads == 1 or any(name in environment for name in OF_THE_USER):
        return {}
    crowded = threads + others >= cores + CROWDED or (limit is not None and threads > limit)
    return PATIENT if crowded else {}


def busy_cores(before: str, after: str, cores: set[int]) -> float:
    """How many of `cores` computed between two readings of Linux's /proc/stat, 0 to len(cores)."""
    first, second = _ticks(before), _ticks(after)
    busy = 0.0
    for core in cores & first.keys() & second.keys():
        spent = [new - old for old, new in zip(first[core], second[core], strict=True)]
        idle = spent[3] + spent[4]  # idle, and waiting for a disk
        busy += 1 - idle / sum(spent) if sum(spent) > 0 else 0.0
    return min(max(busy, 0.0), float(len(cores)))


def _ticks(text: str) -> dict[int, list[int]]:
    """Time of each core by what it did; the columns after `steal` are counted in others already."""
    rows = [line.split() for line in text.splitlines() if line.startswith("cpu")]
    return {
        int(row[0][3:]): [int(word) for word in row[1:9]] for row in rows if row[0][3:].isdecimal() and len(row) > 5
    }


def _used_by_others() -> float:
    """Cores that other programs use now; where only an average of the last minute is known, that one; else 0."""
    try:
        before = Path("/proc/stat").read_text()
        time.sleep(SECONDS)
        after = Path("/proc/stat").read_text()
        if before != after:  # sandboxes have a file that never changes
            return busy_cores(before, after, os.sched_getaffinity(0))
    except (OSError, ValueError, AttributeError):
        pass
    try:
        return min(max(os.getloadavg()[0], 0.0), float(_cores()))
    except (OSError, AttributeError):
        return 0.0


def _cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except (OSError, AttributeError):
        return os.cpu_count() or 1


def _limit() -> float | None:
    """Cores that the container may use at a time (cgroup v2), None: no limit is known."""
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):  # "max 100000": none
        return None


def _threads(cores: int, environment: Mapping[str, str]) -> int:
    """How many threads OpenMP makes; `4,2` is a number for each level of nesting."""
    first = environment.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return int(first[:6]) if first.isascii() and first.isdecimal() and int(first[:6]) > 0 else cores


def _on_gpu(arguments: Sequence[str]) -> bool:
    """Whether the command will most likely compute on a GPU, where threads matter little."""
    if ("--device", "cpu") in pairwise(arguments) or "--device=cpu" in arguments:
        return False
    return sys.platform != "linux" or any(Path(name).exists() for name in ("/dev/nvidiactl", "/dev/kfd"))
