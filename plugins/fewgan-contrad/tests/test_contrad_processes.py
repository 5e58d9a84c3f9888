"""Two processes against one: contrast is over the projections of both, and gradients are those of one process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from contrad_steps import three_steps
from safetensors.torch import load_file

SCRIPT = Path(__file__).parent / "contrad_steps.py"
ALONE = {key: value for key, value in os.environ.items() if key not in ("WORLD_SIZE", "RANK")}


@pytest.fixture
def _float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.usefixtures("_float64")
def test_two_processes_of_4_do_what_one_of_8_does(tmp_path):
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--rdzv-backend", "c10d"]
    command += ["--rdzv-endpoint", "127.0.0.1:0", "--local-addr", "127.0.0.1", str(SCRIPT), "two.safetensors", "3"]
    done = subprocess.run(command, cwd=tmp_path, env=ALONE, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    one, two = three_steps(classes=3), load_file(tmp_path / "two.safetensors")
    assert one.keys() == two.keys()
    for name, expected in one.items():
        assert expected.dtype == torch.float64
        worst = (two[name] - expected).abs().max() / expected.abs().max().clamp(min=1e-3)
        assert worst < 1e-9, (name, worst)
