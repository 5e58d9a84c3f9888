"""The short form of the torture: every command line of it is real, and is really killed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize(("ways", "times"), [("trainings,prepare,fid", 5), ("disks,ranks", 2)])
def test_what_is_killed_or_starved_ends_as_if_it_had_not_been(ways, times):
    """Of fid and of ranks, one is killed."""
    script = Path(__file__).parent / "kill.py"
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, script, "--ways", ways, "--kills", str(times), "--seed", "1"],
        env=environment, capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    counts = json.loads(done.stdout.splitlines()[-1])
    for way in ways.split(","):
        happened = counts[way]
        assert happened.get("kills", 0) + happened.get("disks filled", 0) >= {"fid": 1, "ranks": 1}.get(way, times)
        assert sum(happened.get(f"{what} compared", 0) for what in ("runs", "datasets", "scores"))
    if "trainings" in ways:  # half of the kills wait for a write; whose they meet is chance
        assert sum(n for way in ways.split(",") for what, n in counts[way].items() if what.startswith("while a")) >= 1
