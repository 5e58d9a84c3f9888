"""Command lines in several processes, which meet on loopback."""

import os
import subprocess
import sys
from pathlib import Path

import forks

ALONE = {key: value for key, value in os.environ.items() if key not in ("WORLD_SIZE", "RANK")}


def torchrun(processes: int, arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """`torchrun --nproc-per-node PROCESSES ARGUMENTS`, as typed."""
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(processes)]
    command += ["--rdzv-backend", "c10d", "--rdzv-endpoint", "127.0.0.1:0", "--local-addr", "127.0.0.1", *arguments]
    return subprocess.run(command, cwd=folder, env=ALONE, capture_output=True, text=True, timeout=240, check=False)


def ranks(processes: int, arguments: list[str], folder: Path, restarts: int = 0) -> subprocess.CompletedProcess[str]:
    """The same processes, which start at once. restarts: `--max-restarts`."""
    return forks.run(arguments, folder, environment=ALONE, processes=processes, restarts=restarts)
