"""What the event files hold, read back; a resume without double points; the conformance kit."""

import math
import shutil

import pytest
from fewgan_tensorboard import Options
from fewgan_tensorboard.tracker import numbers, options
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from fewgan import run
from fewgan.registry import choose
from fewgan.screen import Screen
from fewgan.testing import TrackerTests
from fewgan.testing.base import config, install_tiny
from fewgan.training.loop import resume, train

QUIET = Screen(quiet=True)


class TestTensorBoard(TrackerTests):
    plugin = "tensorboard"


@pytest.fixture(autouse=True)
def _tiny(tmp_path_factory, monkeypatch):
    monkeypatch.syspath_prepend(str(install_tiny(tmp_path_factory.getbasetemp() / "fewgan-tiny")))


def read(folder):
    found = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0})
    found.Reload()
    return found


def test_a_folder_elsewhere_is_the_same_after_a_resume_from_another_place(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    chosen = (choose("trackers", "tensorboard", Options(folder="logs")),)
    done = train(config(tmp_path, steps=10, trackers=chosen), QUIET)
    monkeypatch.chdir(tmp_path / "there")
    resume(str(done.folder), QUIET, steps=20)
    assert not (tmp_path / "there" / "logs").exists()
    assert [event.step for event in read(tmp_path / "here" / "logs").Scalars("loss_d")] == [10, 20]


def test_the_copy_of_a_project_has_its_own_folder(tmp_path, monkeypatch):
    (tmp_path / "one").mkdir()
    monkeypatch.chdir(tmp_path / "one")
    chosen = (choose("trackers", "tensorboard", Options(folder="logs")),)
    done = train(config(tmp_path / "one", steps=10, trackers=chosen), QUIET)
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    resume(str(tmp_path / "two" / done.folder.relative_to(tmp_path / "one")), QUIET, steps=20)
    assert sorted(event.step for event in read(tmp_path / "two" / "logs").Scalars("loss_d")) == [10, 20]
    assert [event.step for event in read(tmp_path / "one" / "logs").Scalars("loss_d")] == [10]


def test_scalars_and_grids_are_those_of_the_run(tmp_path, capsys):
    cr = (choose("regularizers", "cr"),)
    done = train(config(tmp_path, steps=30, regularizers=cr, trackers=(choose("trackers", "tensorboard"),)), QUIET)
    assert "does not work" not in capsys.readouterr().err
    found = read(done.folder / "tensorboard")
    for line in run.read_metrics(done.folder):
        shown = {event.step: event.value for event in found.Scalars("loss_d")}
        assert math.isclose(shown[line["step"]], line["loss_d"], rel_tol=1e-6)
    assert [event.step for event in found.Images("samples")] == [10, 20, 30]
    assert (found.Images("samples")[0].width, found.Images("samples")[0].height) == (8 * 18 + 2, 4 * 18 + 2)
    assert "learning_rates/generator/0" in found.Tags()["scalars"]
    assert "final/loss_d" in found.Tags()["scalars"]
    assert "_hparams_/session_start_info" in found.summary_metadata


def test_a_resume_from_an_earlier_checkpoint_shows_no_step_twice(tmp_path):
    done = train(config(tmp_path, steps=30, trackers=(choose("trackers", "tensorboard"),)), QUIET)
    run.checkpoints(done.folder)[-1][1].unlink()  # as if it had been killed before the last one
    resume(str(done.folder), QUIET, steps=40)
    found = read(done.folder / "tensorboard")
    assert [event.step for event in found.Scalars("loss_d")] == [10, 20, 30, 40]
    assert [event.step for event in found.Images("samples")] == [10, 20, 30, 40]


def test_numbers_and_options():
    metrics = {"step": 3, "a": None, "b": math.nan, "c": {"d": [1, 2.5]}, "signs": ["x"], "e": True}
    assert dict(numbers(metrics)) == {"step": 3, "c/d/0": 1, "c/d/1": 2.5}
    choice = {"name": "cr", "kind": "regularizers", "options": {"weight": None}}
    record = {
        "seed": 1,
        "architecture": {**choice, "name": "net"},
        "regularizers": [choice],
        "folder": "x",
        "size": None,
    }
    assert dict(options(record)) == {
        "seed": 1, "architecture": "net", "net.weight": "None", "regularizers.cr": "cr", "cr.weight": "None",
    }  # fmt: skip
