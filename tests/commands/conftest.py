"""A run for the tests of `fewgan report`."""

import pytest
from report_runs import write


@pytest.fixture
def shown_run(tmp_path, monkeypatch):
    """A run folder, runs/00002-photos-biggan of the folder that the test is in."""
    monkeypatch.chdir(tmp_path)
    return write(tmp_path / "runs" / "00002-photos-biggan")
