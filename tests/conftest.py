"""Options of the whole suite."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--device", default="cpu", help="Run the tests of steps, resume, sampling and scores there.")


@pytest.fixture
def device(request: pytest.FixtureRequest) -> torch.device:
    """Where the networks of a test compute: `--device cuda` runs it on a GPU."""
    return torch.device(request.config.getoption("--device"))


@pytest.fixture
def tiny_installed(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kit's networks of 16 px are a plugin like any other."""
    from fewgan.testing.base import install_tiny

    monkeypatch.syspath_prepend(str(install_tiny(tmp_path_factory.getbasetemp() / "fewgan-tiny")))
    torch.manual_seed(0)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on sys.path for packages; their modules are forgotten afterwards."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if not name.startswith("fewgan"):
            del sys.modules[name]
