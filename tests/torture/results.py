"""`prepare` and `fid` that are killed: what is there is whole, and the same command makes what it would have made."""

import json
import os
import random
import shutil
import sys
import time
from collections import Counter
from pathlib import Path

from drawn import contents
from PIL import Image
from processes import kill, pause, run, start, wait
from trainings import undisturbed

PREPARED = Path("prepared")
SCORED = Path("scored")


def prepare_line(photos: str, *more: str) -> list[str]:
    return ["prepare", photos, "--out", str(PREPARED), "--size", "32", "--force", "--quiet", *more]


def datasets() -> tuple[dict[str, bytes], dict[str, bytes]]:
    """The files of a dataset of ./photos and of ./other-photos, undisturbed."""
    found = []
    for photos in ("photos", "other-photos"):
        run(prepare_line(photos, "--workers", "1"))
        found.append(contents(PREPARED))
    return found[0], found[1]


def kill_prepare(kills: int, chance: random.Random) -> Counter[str]:
    """Each replaces a dataset: until it is done, the older one is there."""
    happened: Counter[str] = Counter()
    known = datasets()
    while happened["kills"] < kills:
        which = chance.randrange(2)
        # Worker processes import this script, and so torch, again: seldom.
        workers = "2" if chance.random() < 0.1 else "1"
        longest = 3.0 if workers == "2" else 0.3
        child = start(prepare_line(("photos", "other-photos")[which], "--workers", workers))
        if not pause(child, chance, longest, lambda: any(Path().glob(".fewgan-*.partial"))):
            wait(child)
            assert contents(PREPARED) == known[which]
            happened["finished before"] += 1
            continue
        kill(child)
        happened["kills"] += 1
        happened["while a dataset was written"] += any(Path().glob(".fewgan-*.partial"))
        if PREPARED.exists():
            assert contents(PREPARED) in known, "a dataset is neither the old one nor the new one"
        else:
            happened["between the two renames"] += 1
        if chance.random() < 0.5:
            run(prepare_line(("photos", "other-photos")[which], "--workers", "1"))
            assert contents(PREPARED) == known[which]
            # A folder without its lock yet may be another process's; it is removed by the first prepare ten minutes on.
            left = [path for path in Path().glob(".fewgan-*") if os.listdir(path) or path.suffix != ".partial"]
            assert not left, f"left over: {left}"
            for path in Path().glob(".fewgan-*.partial"):
                path.rmdir()
                happened["empty hidden folders left"] += 1
            happened["datasets compared"] += 1
    return happened


def fid_line(out: Path = SCORED) -> list[str]:
    return ["fid", str(undisturbed()), "--features", "random", "--count", "8",
            "--device", "cpu", "--out", str(out), "--quiet"]  # fmt: skip


def kill_fid(kills: int, chance: random.Random) -> Counter[str]:
    happened: Counter[str] = Counter()
    started = time.monotonic()
    run(fid_line())
    longest = 1.2 * (time.monotonic() - started)
    known = scores(SCORED)
    while happened["kills"] < kills:
        shutil.rmtree(SCORED)
        if chance.random() < 0.5:
            shutil.rmtree("cache", ignore_errors=True)  # features of the photos
        child = start(fid_line())
        if pause(child, chance, longest, lambda: any(SCORED.rglob(".*.tmp"))):
            kill(child)
            happened["kills"] += 1
            happened["while a file was written"] += any(SCORED.rglob(".*.tmp"))
            happened["after the first file"] += any(map(_whole, SCORED.rglob("*.*")))
            run(fid_line())
        else:
            wait(child)
            happened["finished before"] += 1
        assert scores(SCORED) == known
        happened["scores compared"] += 1
    return happened


def _whole(path: Path) -> bool:
    """Whether it is a result; raises an exception where it is a broken one."""
    if path.name.startswith("."):
        return False
    if path.suffix == ".json":
        json.loads(path.read_text(encoding="utf-8"))
    elif path.suffix == ".png":
        with Image.open(path) as image:
            image.load()
    return path.is_file()


def scores(folder: Path) -> dict[str, object]:
    """The results of a fid, without the time that it took."""
    found: dict[str, object] = {}
    for name, data in contents(folder).items():
        if name.endswith(".json"):
            found[name] = {key: value for key, value in json.loads(data).items() if key != "seconds"}
        elif not name.rpartition("/")[2].startswith("."):
            found[name] = data
    assert any(name.endswith("scores.json") for name in found), sys.stderr
    return found
