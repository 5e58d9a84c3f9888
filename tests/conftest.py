"""Options of the whole suite."""

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
