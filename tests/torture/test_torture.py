"""The short form of the torture: every command line of it is real, and is really killed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize(("way", "times"), [("trainings", 4), ("prepare", 10), ("fid", 5), ("disks", 3), ("ranks", 10)])
def test_what_is_killed_or_starved_ends_as_if_it_had_not_been(way, times):
    """fid: a fifth as many, ranks: a tenth."""
    script = Path(__file__).parent / "kill.py"
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, script, "--ways", way, "--kills", str(times), "--seed", "1"],
        env=environment, capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    happened = json.loads(done.stdout.splitlines()[-1])[way]
    assert happened.get("kills", 0) + happened.get("disks filled", 0) >= {"fid": 1, "ranks": 1}.get(way, times)
    assert happened.get("runs compared", 0) + happened.get("datasets compared", 0) + happened.get("scores compared", 0)
    if way == "trainings":
        assert happened["while a file was written"] >= 1
