"""The examples run: the demo script with few steps, in the environment of the tests."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from inprocess import fewgan
from PIL import Image

EXAMPLES = Path(__file__).parents[2] / "examples"


# What the demo's `fewgan` is here: it writes down what it was asked, and leaves what the script's last lines look for.
STUB = """#!/bin/sh
echo "$@" >> calls.txt
mkdir -p runs/00001-x pictures/x && touch pictures/x/grid.png
"""


def test_demo(tmp_path, capsys):
    """The script by the shell, its planets by their script, and the commands that it types in this process."""
    programs = tmp_path / "work" / "venv" / "bin"
    programs.mkdir(parents=True)
    for name, content in (("python", f'#!/bin/sh\nexec {sys.executable} "$@"\n'), ("fewgan", STUB)):
        (programs / name).write_text(content)
        (programs / name).chmod(0o755)
    environment = {**os.environ, "STEPS": "2", "COUNT": "20"}
    done = subprocess.run([EXAMPLES / "demo.sh", tmp_path / "work"], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    work = tmp_path / "work"
    calls = (work / "calls.txt").read_text().splitlines()
    for left in (work / "runs", work / "pictures"):
        shutil.rmtree(left)
    for line in calls:
        assert fewgan(line, work) == 0, f"{line}\n{capsys.readouterr().err}"
    (grid,) = (work / "pictures").glob("*/grid.png")
    (run,) = (work / "runs").glob("0*")
    assert str(work) in done.stdout
    with Image.open(grid) as picture:
        assert picture.size[0] > 6 * 64
    assert json.loads((run / "config.json").read_text())["source"] == "embedded"
    assert list((run / "fid").glob("**/*.png"))
