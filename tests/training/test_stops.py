"""What ends a training or spoils it: signals, steps that are not finite, an end between two ticks."""

import math
import shlex
import signal
from pathlib import Path

import pytest
from safetensors.torch import load_file
from short import QUIET, config, metrics, same_file

from fewgan import run
from fewgan.plugin import FewganError
from fewgan.training import diagnostics as watch
from fewgan.training import loop as train
from fewgan.training import steps, ticks


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_finishes_the_step_and_saves(data, tmp_path, monkeypatch, signum, request):
    # Started by nohup or in the background, the test run ignores some, and ignored ones are left ignored.
    before = signal.signal(signum, signal.SIG_DFL)
    request.addfinalizer(lambda: signal.signal(signum, before))
    real = train.generator_step

    def interrupted(*args):
        if args[3].index == 2:
            signal.raise_signal(signum)
        return real(*args)

    monkeypatch.setattr(train, "generator_step", interrupted)
    with pytest.raises(train.Stopped, match="--resume") as caught:
        train.train(config(data, tmp_path / "My Drive", steps=50, save_every=50), QUIET)
    assert caught.value.exit_code == 128 + signum
    folder = tmp_path / "My Drive" / "00001-dataset-biggan"
    told = str(caught.value).split("go on with '")[1].removesuffix("'")  # a command that works as it stands
    assert shlex.split(told) == ["fewgan", "train", "--resume", str(folder)]
    assert [step for step, _ in run.checkpoints(folder)] == [3]
    monkeypatch.setattr(train, "generator_step", real)
    assert train.resume(str(folder), QUIET, steps=4).step == 4


@pytest.mark.parametrize("during", ["save_samples", "_compared"])
def test_a_signal_between_steps_is_saved_too(data, tmp_path, monkeypatch, during, request):
    """Samples and scores take most of the time of a short run, so that is when it is stopped."""
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    real = getattr(ticks, during)

    def interrupted(work, *rest):
        if work.state.step == 2:
            signal.raise_signal(signal.SIGINT)
        return real(work, *rest)

    monkeypatch.setattr(ticks, during, interrupted)
    with pytest.raises(train.Stopped, match="at step 2, saved"):
        train.train(config(data, tmp_path, steps=50, save_every=50, sample_every=2), QUIET)
    (folder,) = run.runs_in(tmp_path)
    assert [step for step, _ in run.checkpoints(folder)] == [2]


def spoil(monkeypatch, spoilt) -> None:
    """The generator's loss is NaN in these steps, counted from 0."""
    real, loss = train.generator_step, steps.generator_loss

    def step(*args):
        with monkeypatch.context() as patch:
            if args[3].index in spoilt:
                patch.setattr(steps, "generator_loss", lambda *logits: loss(*logits) * float("nan"))
            return real(*args)

    monkeypatch.setattr(train, "generator_step", step)


def all_finite(folder: Path) -> bool:
    (_, path) = run.checkpoints(folder)[-1]
    return all(tensor.isfinite().all() for tensor in load_file(path).values())


def test_a_step_that_is_not_finite_changes_nothing_and_is_counted(data, tmp_path, monkeypatch):
    spoil(monkeypatch, {3, 4})
    done = train.train(config(data, tmp_path, steps=10, sample_every=10), QUIET)
    assert done.metrics["skipped_g"] == 2
    for value in ("loss_d", "loss_g", "logit_gap"):
        assert math.isfinite(done.metrics[value])
    assert all_finite(done.folder)


def test_a_run_of_them_ends_the_training_and_what_was_saved_is_good(data, tmp_path, monkeypatch):
    spoil(monkeypatch, range(4, 100))
    with pytest.raises(FewganError, match=r"loss_g or its gradients have been NaN or infinite since step 5: .*--lr-g"):
        train.train(config(data, tmp_path, steps=40, save_every=4), QUIET)
    folder = tmp_path / "00001-dataset-biggan"
    assert all_finite(folder)


def test_the_count_of_them_survives_a_resume(data, tmp_path, monkeypatch):
    spoil(monkeypatch, range(3, 100))
    folder = train.train(config(data, tmp_path, steps=8), QUIET).folder
    assert run.read_metrics(folder)[-1]["loss_g"] is None  # no step since the last tick has counted
    with pytest.raises(FewganError, match="since step 4:"):
        train.resume(str(folder), QUIET, steps=40)
    spoil(monkeypatch, range(100))
    with pytest.raises(FewganError, match="since step 1:"):  # a run shorter than the patience
        train.train(config(data, tmp_path, steps=2), QUIET)


def test_signs_of_failure_are_told_once_and_logged(data, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(watch, "LONG", 20)
    monkeypatch.setattr(watch, "ALIKE", 100.0)
    done = train.train(config(data, tmp_path, steps=60, sample_every=10), QUIET)
    lines = run.read_metrics(done.folder)
    assert [line["step"] for line in lines if line.get("signs") == ["samples-alike"]] == [30]
    assert capsys.readouterr().err.count("the samples have been nearly identical since step 10") == 1
    assert all(0 < line["sample_spread"] < 100 for line in lines)


def test_an_end_between_two_ticks_is_forgotten_by_a_resume(data, tmp_path):
    settings = {"sample_every": 100, "save_every": 100, "planned_steps": 14}
    whole = train.train(config(data, tmp_path / "whole", steps=14, **settings), QUIET).folder
    part = train.train(config(data, tmp_path / "part", steps=7, **settings), QUIET).folder
    assert [line.get("last") for line in run.read_metrics(part)] == [True]
    train.resume(str(part), QUIET, steps=14)
    assert metrics(whole) == metrics(part)
    assert [line["step"] for line in run.read_metrics(part)] == [10, 14]
    same_file(*(folder / "checkpoints" / "000014.safetensors" for folder in (whole, part)))
