"""What `fewgan runs` shows."""

import json
import shutil
from pathlib import Path

import pytest

from fewgan import run, storage
from fewgan.cli import show
from fewgan.plugin import UsageError
from fewgan.registry import choose
from fewgan.screen import Screen
from fewgan.testing.base import config
from fewgan.training.listing import listing
from fewgan.training.loop import train


@pytest.fixture
def two(tmp_path, tiny_installed):
    for steps, cr in ((10, ()), (20, (choose("regularizers", "cr"),))):
        train(config(tmp_path, steps=steps, regularizers=cr), Screen(quiet=True))
    (tmp_path / "runs" / "00007-nothing").mkdir()
    return tmp_path / "runs"


def test_runs_by_number(two):
    first, second = listing(two)
    assert [(one.step, one.steps, one.recipe, one.size, one.kid) for one in (first, second)] == [
        (10, 10, "tiny", 16, None), (20, 20, "tiny cr", 16, None),
    ]  # fmt: skip
    assert first.disk == sum(path.stat().st_size for path in first.folder.rglob("*") if path.is_file()) > 10_000


def test_a_training_may_replace_its_checkpoints_meanwhile(two, monkeypatch):
    folder = listing(two)[0].folder
    (folder / "gone").touch()
    real = Path.is_file

    def is_file(path):
        found = real(path)
        path.unlink() if path.name == "gone" else None
        return found

    monkeypatch.setattr(Path, "is_file", is_file)
    first = listing(two)[0]
    assert first.trouble is None
    assert first.disk > 10_000


def test_the_best_score_is_that_of_the_training_else_of_fid(two):
    first, second = (one.folder for one in listing(two))
    (first / "fid").mkdir()
    rows = [{"against": "train", "kid": 0.1}, *({"against": "held-out", "kid": kid} for kid in (0.4, 0.3, 0.5))]
    (first / "fid" / "scores.json").write_text(json.dumps({"rows": rows}))
    with (second / "metrics.jsonl").open("a") as file:
        for step, kid in ((30, 0.5), (40, 0.2), (50, 0.4)):
            file.write(json.dumps({"format": 1, "step": step, "kid": kid}) + "\n")
    assert [(one.kid, one.against) for one in listing(two)] == [(0.3, "fid"), (0.2, "training")]


def test_scores_against_other_pictures_are_not_the_best(two):
    first = listing(two)[0].folder
    other = {"settings": "random-20-x", "own_photos": False, "rows": [{"against": "train", "kid": 0.01}]}
    own = {"settings": "random-20-seed0", "rows": [{"against": "train", "kid": 0.7}]}
    for name, scores in ((".", other), (other["settings"], other), (own["settings"], own)):
        (first / "fid" / name).mkdir(parents=True, exist_ok=True)
        (first / "fid" / name / "scores.json").write_text(json.dumps(scores))
    assert listing(two)[0].kid == 0.7


def test_scores_of_a_generator_that_was_trained_on_are_not_the_best(two):
    first = listing(two)[0]
    storage.write_tensors(first.folder / run.GENERATOR, {}, {"step": first.step})
    (first.folder / "fid").mkdir()
    (first.folder / "generators").mkdir()
    (first.folder / "generators" / "000001.safetensors").touch()
    rows = [{"against": "train", "kid": kid, "step": step} for step, kid in ((0, 0.1), (1, 0.5), (first.step, 0.6))]
    (first.folder / "fid" / "scores.json").write_text(json.dumps({"rows": rows}))
    assert listing(two)[0].kid == 0.5
    shutil.rmtree(first.folder / "checkpoints")  # nor where the metrics end before the generator
    (first.folder / "metrics.jsonl").write_text("")
    assert listing(two)[0].kid == 0.5


@pytest.mark.parametrize("said", [{"own_photos": False}, {"settings": "x-against-y"}])
def test_scores_against_others_are_told_by_old_files_too(two, said):
    first = listing(two)[0].folder
    (first / "fid").mkdir()
    (first / "fid" / "scores.json").write_text(json.dumps(said | {"rows": [{"against": "train", "kid": 0.1}]}))
    assert listing(two)[0].kid is None


def test_a_run_without_its_checkpoints_has_the_steps_of_its_metrics(two):
    first = listing(two)[0]
    for path in (first.folder / "checkpoints").iterdir():
        path.unlink()
    assert listing(two)[0].step == first.step > 0


@pytest.mark.parametrize("content", ["", "[]", "{", '{"rows": [{}]}', '{"rows": 3}'])
def test_damaged_scores_are_no_scores(two, content):
    first = listing(two)[0].folder
    (first / "fid").mkdir()
    (first / "fid" / "scores.json").write_text(content)
    assert listing(two)[0].kid is None


def test_a_run_that_cannot_be_read_is_shown_with_the_reason(two):
    first, second = (one.folder for one in listing(two))
    (first / "config.json").write_text("{")
    damaged, whole = listing(two)
    assert (damaged.folder, whole.folder) == (first, second)
    assert "the file is damaged" in damaged.trouble
    assert whole.trouble is None
    assert "the file is damaged" in show.runs([damaged, whole]).splitlines()[1]


def test_a_folder_that_is_none(tmp_path):
    with pytest.raises(UsageError, match="no such folder"):
        listing(tmp_path / "no")
    assert listing(tmp_path) == []
