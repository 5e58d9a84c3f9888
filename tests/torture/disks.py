"""Disks that become full at a random moment, under `train`, `prepare` and `fid`, and then have room again.

A small file system in memory where this process may mount one (root on Linux), else a limit on the size of files.
"""

import random
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from drawn import contents
from processes import LOG, pause, run, start, wait
from results import datasets, fid_line, scores
from trainings import compare, line, newest, undisturbed, writing

DISK, BALLAST = Path("disk"), Path("disk/ballast")
MEGABYTES = 64


@contextmanager
def _mounted() -> Iterator[bool]:
    """Whether ./disk is a small file system of its own."""
    DISK.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={MEGABYTES}m", "tmpfs", str(DISK)]
    try:
        mounted = sys.platform == "linux" and subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        mounted = False
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", str(DISK)], check=True)
        shutil.rmtree(DISK)


def fill_disks(times: int, chance: random.Random) -> Counter[str]:
    happened: Counter[str] = Counter()
    known = datasets()
    with _mounted() as mounted:
        run(fid_line(DISK / "scored"))
        known_scores = scores(DISK / "scored")
        shutil.rmtree(DISK / "scored")
        happened["on a small disk" if mounted else "with a limit on files"] = 1
        while happened["disks filled"] < times:
            _train(mounted, chance, happened)
            _prepare(mounted, chance, happened, known)
            if chance.random() < 0.4:  # takes longest
                _fid(mounted, chance, happened, known_scores)
    return happened


def _disturbed(arguments: list[str], mounted: bool, chance: random.Random, longest: float) -> int:
    """The exit code of a command under which the disk becomes full: 0, where it was done before, or 1."""
    if not mounted:
        return wait(start(arguments, largest_file=int(10 ** chance.uniform(2, 6))), 1)
    child = start(arguments)
    pause(child, chance, longest, lambda: writing(DISK / "runs"))
    _fill(chance)
    code = wait(child, 1)
    if code and chance.random() < 0.3:
        code = wait(start(arguments), 1)  # still full
    BALLAST.unlink()
    return code


def _fill(chance: random.Random) -> None:
    """Leaves less than a page, or up to 200 kB: some files fit, others do not."""
    with open(BALLAST, "wb", buffering=0) as file:
        with suppress(OSError):
            while True:
                file.write(bytes(1 << 20))
        with suppress(OSError):
            while True:
                file.write(bytes(4096))
        if chance.random() < 0.5:
            file.truncate(max(0, file.tell() - chance.randrange(200_000)))


def _note(happened: Counter[str], command: str, code: int) -> None:
    happened["disks filled"] += 1
    happened[f"{command} failed with a message" if code else f"{command} was done before"] += 1
    if code:
        printed = LOG.read_text(encoding="utf-8")
        told = ("space", "large", "written", "full", "free", "room")
        assert any(word in printed for word in told), printed


def _train(mounted: bool, chance: random.Random, happened: Counter[str]) -> None:
    out = DISK / "runs"
    while chance.random() < 0.7:
        _note(happened, "train", _disturbed(line(out), mounted, chance, 2.0))
    run(line(out))
    compare(undisturbed(), newest(out))
    happened["runs compared"] += 1
    shutil.rmtree(out)


def _prepare(
    mounted: bool, chance: random.Random, happened: Counter[str], known: tuple[dict[str, bytes], dict[str, bytes]]
) -> None:
    out = DISK / "dataset"
    words = ["--out", str(out), "--size", "32", "--workers", "1", "--force", "--quiet"]
    run(["prepare", "photos", *words])
    code = _disturbed(["prepare", "other-photos", *words], mounted, chance, 0.3)
    _note(happened, "prepare", code)
    assert contents(out) == known[0 if code else 1]
    run(["prepare", "other-photos", *words])
    assert contents(out) == known[1]
    happened["datasets compared"] += 1
    shutil.rmtree(out)


def _fid(mounted: bool, chance: random.Random, happened: Counter[str], known: dict[str, object]) -> None:
    out = DISK / "scored"
    _note(happened, "fid", _disturbed(fid_line(out), mounted, chance, 2.0))
    run(fid_line(out))
    assert scores(out) == known
    happened["scores compared"] += 1
    shutil.rmtree(out)
