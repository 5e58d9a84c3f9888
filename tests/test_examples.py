"""The examples run: the drawings, and the quickstart script with few steps in the environment of the tests."""

import os
import subprocess
import sys
from pathlib import Path

from PIL import Image

EXAMPLES = Path(__file__).parents[1] / "examples"


def test_drawings_are_different_and_repeatable(tmp_path):
    for folder in ("one", "two"):
        subprocess.run([sys.executable, EXAMPLES / "draw.py", tmp_path / folder, "3"], check=True)
    files = sorted((tmp_path / "one").iterdir())
    assert len({file.read_bytes() for file in files}) == 3
    assert all(file.read_bytes() == (tmp_path / "two" / file.name).read_bytes() for file in files)
    assert Image.open(files[0]).size == (160, 160)


def test_quickstart(tmp_path):
    programs = tmp_path / "work" / "venv" / "bin"
    programs.mkdir(parents=True)
    for name, command in (("python", sys.executable), ("fewgan", f"{sys.executable} -m fewgan")):
        (programs / name).write_text(f'#!/bin/sh\nexec {command} "$@"\n')
        (programs / name).chmod(0o755)
    environment = {**os.environ, "STEPS": "2", "FEWGAN_INCEPTION_WEIGHTS": str(tmp_path / "absent.pth")}
    done = subprocess.run(
        [EXAMPLES / "quickstart.sh", tmp_path / "work"], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    shown = [line.split(":", 1)[1].strip() for line in done.stdout.splitlines() if line.startswith("Look at")]
    assert Image.open(shown[0]).size[0] > 8 * 32
    assert "absent.pth" in done.stderr
