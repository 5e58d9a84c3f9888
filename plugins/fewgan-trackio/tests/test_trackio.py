"""The calls that trackio and wandb get, with a module that notes them; a resume; a package that is not there."""

import json
import shutil
import sys
import types

import pytest
from fewgan_trackio.tracker import Tracker, numbers

from fewgan import run
from fewgan.plugin import FewganError
from fewgan.registry import choose
from fewgan.screen import Screen
from fewgan.testing import TrackerTests
from fewgan.testing.base import config, install_tiny
from fewgan.training.loop import resume, train

QUIET = Screen(quiet=True)


@pytest.fixture(autouse=True, params=["trackio", "wandb"])
def calls(request, monkeypatch, tmp_path_factory):
    """The library, replaced by one that notes its calls."""
    monkeypatch.syspath_prepend(str(install_tiny(tmp_path_factory.getbasetemp() / "fewgan-tiny")))
    noted = []

    def note(name):
        return lambda *words, **named: noted.append((name, words, named))

    for name in ("trackio", "wandb"):
        stand_in = types.SimpleNamespace(
            init=note("init"), log=note("log"), finish=note("finish"), Image=lambda grid: grid.shape
        )
        monkeypatch.setitem(sys.modules, name, stand_in)
    noted.append(request.param)
    return noted


class TestTrackio(TrackerTests):
    plugin = "trackio"


class TestWandb(TrackerTests):
    plugin = "wandb"


def steps(calls, what):
    return [named["step"] for name, words, named in calls[1:] if name == "log" and what in words[0]]


def test_a_run_and_its_resume_are_one_track(tmp_path, calls):
    package = calls[0]
    done = train(config(tmp_path, steps=30, trackers=(choose("trackers", package),)), QUIET)
    run.checkpoints(done.folder)[-1][1].unlink()
    resume(str(done.folder), QUIET, steps=40)
    assert steps(calls, "loss_d") == [10, 20, 30, 40]
    assert steps(calls, "samples") == [10, 20, 30, 40]
    inits = [named for name, _, named in calls[1:] if name == "init"]
    assert [named["resume"] for named in inits] == ["allow", "allow"]
    assert inits[0]["name"] == inits[1]["name"]
    assert inits[0].get("id") == inits[1].get("id")
    assert inits[0]["project"] == "fewgan"
    assert inits[0]["config"]["steps"] == 30
    assert [name for name, *_ in calls[1:]].count("finish") == 2
    assert json.loads((done.folder / f"{package}.json").read_text())["step"] == 40


def test_a_new_run_of_an_old_name_is_a_track_of_its_own(tmp_path, calls):
    for _ in range(2):
        folder = train(config(tmp_path, steps=2, trackers=(choose("trackers", calls[0]),)), QUIET).folder
        shutil.rmtree(folder)
    first, second = ([named.get("id"), named["name"]] for name, _, named in calls[1:] if name == "init")
    assert first != second


def test_pictures_are_a_grid_of_bytes(tmp_path, calls):
    train(config(tmp_path, steps=10, trackers=(choose("trackers", calls[0]),)), QUIET)
    (shape,) = [words[0]["samples"] for name, words, _ in calls[1:] if name == "log" and "samples" in words[0]]
    assert shape == (4 * 18 + 2, 8 * 18 + 2, 3)


def test_a_package_that_is_not_installed_is_named(monkeypatch, calls):
    monkeypatch.setitem(sys.modules, calls[0], None)
    with pytest.raises(FewganError, match=f"needs the package {calls[0]}; run 'pip install {calls[0]}'"):
        Tracker(calls[0], "x")


def test_numbers():
    line = {
        "step": 1,
        "loss_d": 2.0,
        "kid": None,
        "signs": ["x"],
        "learning_rates": {"generator": [1e-4, 5e-4], "d": []},
    }
    assert dict(numbers(line)) == {"step": 1, "loss_d": 2.0, "learning_rate_generator": 1e-4}
