"""The examples run: the demo script with few steps, in the environment of the tests."""

import json
import os
import subprocess
import sys
from pathlib import Path

from PIL import Image

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_demo(tmp_path):
    programs = tmp_path / "work" / "venv" / "bin"
    programs.mkdir(parents=True)
    for name, command in (("python", sys.executable), ("fewgan", f"{sys.executable} -m fewgan")):
        (programs / name).write_text(f'#!/bin/sh\nexec {command} "$@"\n')
        (programs / name).chmod(0o755)
    environment = {**os.environ, "STEPS": "2", "COUNT": "20"}
    done = subprocess.run([EXAMPLES / "demo.sh", tmp_path / "work"], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    shown = [line.split(":", 1)[1].split(",")[0].strip() for line in done.stdout.splitlines() if "Look at" in line]
    assert Image.open(shown[0]).size[0] > 8 * 64
    assert "EfficientNet-Lite0" in done.stdout
    (run,) = (tmp_path / "work" / "runs").glob("0*")
    assert json.loads((run / "config.json").read_text())["source"] == "embedded"
    assert (run / "fid" / "nearest.png").exists()
