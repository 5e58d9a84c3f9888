"""What a tracker must do (fewgan.plugin.Tracker)."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from fewgan import run
from fewgan.testing.base import QUIET, PluginTests, config
from fewgan.training.loop import resume, train


class TrackerTests(PluginTests):
    """That it bears what a run shows it, from start to end and after a resume, and leaves the run as it is."""

    kind = "trackers"
    where = "fewgan.plugin.Tracker"
    choosing = "train --track {}"

    def test_it_follows_a_run_and_its_resume(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        plain = train(config(tmp_path / "plain", steps=20), QUIET)
        done = train(config(tmp_path / "tracked", steps=10, planned_steps=20, trackers=(self.choice,)), QUIET)
        done = resume(str(done.folder), QUIET, steps=20)
        warnings = capsys.readouterr().err
        self.must(f"tracker {self.plugin}" not in warnings, "no hook raises an error", warnings)
        alike = run.read_metrics(plain.folder)[-1]["loss_d"] == run.read_metrics(done.folder)[-1]["loss_d"]
        self.must(alike, "a run is the same with the tracker and without it")

    def test_it_bears_what_is_missing(self, tmp_path: Path) -> None:
        made = self.made()
        with self._told("start, line, pictures and end are there, and bear numbers that are None"):
            made.start({"folder": str(tmp_path), "step": 0, "seed": 0, "regularizers": [], "source": None})
            made.line({"step": 10, "images_seen": 160, "loss_d": None, "learning_rates": {"generator": [1e-4]}})
            made.pictures(10, torch.zeros(3, 3, 16, 16, dtype=torch.uint8))
            made.end({})
