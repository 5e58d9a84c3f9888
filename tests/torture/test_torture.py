"""The short form of the torture: every command line of it is real, and is really killed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("ways", ["trainings,prepare,fid", "disks,ranks"])
def test_what_is_killed_or_starved_ends_as_if_it_had_not_been(ways):
    """Five kills of trainings and of prepare, one of fid and of a rank, five full disks."""
    script = Path(__file__).parent / "kill.py"
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, script, "--ways", ways, "--kills", "5", "--seed", "1"],
        env=environment, capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for way, happened in json.loads(done.stdout.splitlines()[-1]).items():
        least = {"fid": 1, "ranks": 1}.get(way, 5) if way in ways else 0
        assert happened.get("kills", 0) + happened.get("disks filled", 0) >= least
        assert sum(happened.get(f"{what} compared", 0) for what in ("runs", "datasets", "scores"))
    if "trainings" in ways:
        assert json.loads(done.stdout.splitlines()[-1])["trainings"]["while a file was written"] >= 1
