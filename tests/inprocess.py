"""Command lines run in this process, as typed: what the command does without the seconds that its start takes."""

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from fewgan.cli.commands import run


def fewgan(line: str | Sequence[str], folder: Path) -> int:
    """The exit code of `fewgan …` in a folder."""
    words = shlex.split(line, comments=True) if isinstance(line, str) else list(line)
    here = os.getcwd()
    os.chdir(folder)
    try:
        return run(words)
    finally:
        os.chdir(here)
