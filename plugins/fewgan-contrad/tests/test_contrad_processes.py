"""Two processes against one: contrast is over the projections of both, and gradients are those of one process."""

from pathlib import Path

import pytest
import torch
from contrad_steps import three_steps
from safetensors.torch import load_file
from torchrun import ranks

SCRIPT = Path(__file__).parent / "contrad_steps.py"


@pytest.fixture
def _float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.usefixtures("_float64")
def test_two_processes_of_4_do_what_one_of_8_does(tmp_path):
    done = ranks(2, [str(SCRIPT), "two.safetensors", "3"], tmp_path)
    assert done.returncode == 0, done.stderr
    one, two = three_steps(classes=3), load_file(tmp_path / "two.safetensors")
    assert one.keys() == two.keys()
    for name, expected in one.items():
        assert expected.dtype == torch.float64
        worst = (two[name] - expected).abs().max() / expected.abs().max().clamp(min=1e-3)
        assert worst < 1e-9, (name, worst)
