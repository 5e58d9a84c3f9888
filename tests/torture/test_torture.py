"""The short form of the torture: every command line of it is a real training that SIGKILL ends."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_run_that_is_killed_ten_times_ends_as_if_it_had_not_been():
    script = Path(__file__).parent / "kill.py"
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, script, "--kills", "10", "--seed", "1"],
        env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    happened = json.loads(done.stdout.splitlines()[-1])
    assert happened["kills"] == 10
    assert happened["kills while a file was written"] >= 3
    assert happened["runs compared"] >= 1
