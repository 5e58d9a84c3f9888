"""Stand-ins for the functions behind the commands."""

import shlex
import sys
import types
from dataclasses import dataclass
from pathlib import Path

import pytest
from packages import PLUGIN, install

from fewgan.cli import commands as cli


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
    """The functions behind the commands, replaced by ones that note what they are called with."""
    noted = {}

    @dataclass(frozen=True)
    class Trained:
        folder: Path = Path("runs/00001-x")
        step: int = 2000
        seconds: float = 65.0
        metrics: tuple = (("loss_d", float("nan")),)

    class Report:
        def as_dict(self):
            return {"frechet_distance": 12.5}

        def text(self):
            return "12.5"

    def stand_in(module, name, result):
        def function(*arguments, **options):
            noted[f"{module}.{name}"] = arguments, options
            return result

        if f"fewgan.{module}" not in replaced:
            replaced[f"fewgan.{module}"] = types.ModuleType(f"fewgan.{module}")
        setattr(replaced[f"fewgan.{module}"], name, function)

    replaced = {}
    counts = {"out": Path("dataset"), "count": 9, "held_out": 2, "rejected": {"small": 1}, "size": 64}
    stand_in("prepare", "prepare", types.SimpleNamespace(**counts, classes=("a", "b"), seconds=1.0, enlarged=0))
    stand_in("train", "train", Trained())
    stand_in("train", "resume", Trained(step=2100))
    stand_in("plan", "plan", {"networks": {"size": 64, "generator_parameters": 12345678}, "memory_bytes": 3.2e9})
    stand_in("sample", "sample", types.SimpleNamespace(folder=Path("pictures/x"), count=2, files=["a", "b"], seconds=1))
    stand_in("fid", "score", Report())
    for name, module in replaced.items():
        monkeypatch.setitem(sys.modules, name, module)
        import fewgan

        monkeypatch.setattr(fewgan, name.partition(".")[2], module, raising=False)
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
