"""Options of the whole suite."""

import pytest
import torch


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--device", default="cpu", help="Run the tests of steps, resume, sampling and scores there.")


@pytest.fixture
def device(request: pytest.FixtureRequest) -> torch.device:
    """Where the networks of a test compute: `--device cuda` runs it on a GPU."""
    return torch.device(request.config.getoption("--device"))
