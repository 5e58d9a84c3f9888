"""fewgan as a process of its own."""

import os
import subprocess
import sys


def subprocess_of(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "COLUMNS": "100", **more}
    command = [sys.executable, "-m", "fewgan", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
