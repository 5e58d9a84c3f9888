"""Stand-ins for the functions behind the commands."""

import importlib
import inspect
import shlex
import sys
import types
from pathlib import Path

import pytest
from packages import PLUGIN, install

from fewgan.cli import commands as cli
from fewgan.photos.prepare import Summary
from fewgan.training.loop import Trained


@pytest.fixture(autouse=True)
def wide(monkeypatch, tmp_path):
    """Help pages of one width, an empty folder to be in, and nothing left over on sys.path or in sys.modules."""
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.startswith("calm"):
            del sys.modules[name]


@pytest.fixture
def calls(monkeypatch):
    """The functions behind the commands, replaced by ones that note what they are called with.

    The arguments must fit the real function.
    """
    noted = {}

    class Report:
        def as_dict(self):
            return {"frechet_distance": 12.5}

        def text(self):
            return "12.5"

    def stand_in(module, name, result):
        signature = inspect.signature(getattr(importlib.import_module(f"fewgan.{module}"), name))

        def function(*arguments, **options):
            signature.bind(*arguments, **options)
            noted[name] = arguments, options
            return result

        monkeypatch.setattr(f"fewgan.{module}.{name}", function)

    def trained(step):
        return Trained(Path("runs/00001-x"), step, 65.0, {"loss_d": float("nan")})

    out = Path("dataset")
    stand_in("photos.prepare", "prepare", Summary(out, 9, 2, {"small": 1}, 64, ("a", "b\x1b[2J"), 1.0))
    stand_in("training.loop", "train", trained(2000))
    stand_in("training.loop", "resume", trained(2100))
    plan = {"networks": {"size": 64, "generator_parameters": 12345678}, "memory_bytes": 3.2e9, "classes": ["a\x1b[2J"]}
    stand_in("training.plan", "plan", plan)
    stand_in("sampling.sample", "sample", types.SimpleNamespace(folder=Path("pictures/x"), files=["a", "b"], seconds=1))
    stand_in("scoring.fid", "score", Report())
    return noted


@pytest.fixture
def run(capsys):
    """run("train --cr") -> (exit code, stdout, stderr)."""

    def call(line: str):
        code = cli.run(shlex.split(line))
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture
def calm(tmp_path, monkeypatch):
    """A package with a transfer method and a regularizer."""
    place = tmp_path / "packages"
    points = {"transfers": ["calm-down = calm:plugin"], "regularizers": ["calm = calm:plugin"]}
    install(place, "fewgan-calm", points, {"calm": PLUGIN})
    monkeypatch.syspath_prepend(place)
    return place
