"""fewgan as a process of its own."""

import os
import subprocess
import sys


def subprocess_of(*arguments: str, encoding: str = "utf-8", **more: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "COLUMNS": "100", **more}
    command = [sys.executable, "-m", "fewgan", *arguments]
    return subprocess.run(command, capture_output=True, encoding=encoding, env=environment, check=False)
