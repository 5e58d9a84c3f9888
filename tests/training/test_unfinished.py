"""--continue: which run the same command takes."""

import dataclasses
import shutil

import pytest
import torch
from drawn import draw

from fewgan import registry, run, storage
from fewgan.errors import UsageError
from fewgan.files import write_json
from fewgan.photos.prepare import prepare
from fewgan.regularizers.cr import Options
from fewgan.screen import Screen
from fewgan.testing.base import QUIET, config
from fewgan.training import loop

pytestmark = pytest.mark.usefixtures("tiny_installed")


def test_the_same_command_resumes_its_unfinished_run(tmp_path):
    asked = config(tmp_path, steps=4, save_every=2)
    folder = loop.train(asked, QUIET, resume_unfinished=True).folder
    expected, _ = storage.read_tensors(folder / run.GENERATOR)
    run.checkpoints(folder)[-1][1].unlink()
    assert loop.train(asked, QUIET, resume_unfinished=True).folder == folder
    found, _ = storage.read_tensors(folder / run.GENERATOR)
    assert all(torch.equal(tensor, found[name]) for name, tensor in expected.items())
    assert loop.train(asked, QUIET, resume_unfinished=True).step == 4  # finished: nothing is done again
    shutil.rmtree(folder / "checkpoints")  # stopped before its first checkpoint: started again in the same folder
    assert loop.train(asked, QUIET, resume_unfinished=True).folder == folder
    other = dataclasses.replace(asked, seed=1)
    assert loop.train(other, QUIET, resume_unfinished=True).folder != folder
    assert loop.train(asked, QUIET).folder not in (folder,)


@pytest.mark.parametrize("damaged", [{"options": None}, {"name": 5}, {"kind": 5}, {"package": None}])
def test_a_run_with_a_damaged_record_is_passed_over(tmp_path, damaged):
    asked = config(tmp_path, steps=2, regularizers=(registry.choose("regularizers", "cr"),))
    folder = loop.train(asked, QUIET, resume_unfinished=True).folder
    record = run.read_config(folder)
    record["asked"]["regularizers"][0] |= damaged
    write_json(folder / "config.json", record)
    assert loop.train(asked, QUIET, resume_unfinished=True).folder != folder


def test_other_photos_in_the_dataset_start_a_new_run(tmp_path, capsys):
    asked = config(tmp_path, steps=2)
    folder = loop.train(asked, QUIET, resume_unfinished=True).folder
    prepare(draw(tmp_path / "others", 5, seed=70), tmp_path / "dataset", size=16, force=True, workers=1, screen=QUIET)
    newer = loop.train(asked, Screen(), resume_unfinished=True).folder
    assert newer != folder
    assert "is left as it is" in capsys.readouterr().err
    assert loop.train(asked, QUIET, resume_unfinished=True).folder == newer


def test_a_newer_version_resumes_what_the_older_one_began(tmp_path):
    asked = config(tmp_path, steps=4, save_every=2, regularizers=(registry.choose("regularizers", "cr"),))
    folder = loop.train(asked, QUIET, resume_unfinished=True).folder
    record = run.read_config(folder)
    record["asked"]["regularizers"][0]["version"] = "0.0.9"
    record["asked"]["regularizers"][0]["options"].popitem()  # an option that came later
    record["asked"].pop("patience")  # and a flag
    write_json(folder / "config.json", record)
    assert loop.train(asked, QUIET, resume_unfinished=True).folder == folder
    heavier = (registry.choose("regularizers", "cr", Options(weight=5.0)),)
    other = dataclasses.replace(asked, regularizers=heavier)
    assert loop.train(other, QUIET, resume_unfinished=True).folder != folder


def test_options_that_a_newer_version_lacks_or_refuses_start_no_new_run(tmp_path):
    asked = config(tmp_path, steps=4, save_every=2, regularizers=(registry.choose("regularizers", "cr"),))
    folder = loop.train(asked, QUIET, resume_unfinished=True).folder
    record = run.read_config(folder)
    for choice in (record["asked"]["regularizers"][0], record["regularizers"][0]):
        choice |= {"package": "fewgan", "options": {"weight": None, "old": 9}}
    write_json(folder / "config.json", record)
    with pytest.raises(UsageError, match="cr has no option 'old'"):
        loop.train(asked, QUIET, resume_unfinished=True)
    assert len(list(folder.parent.glob("0*"))) == 1


def test_the_same_command_beside_one_that_runs_takes_nothing_from_it(tmp_path):
    asked = config(tmp_path, steps=4, save_every=2)
    folder = loop.train(asked, QUIET, resume_unfinished=True).folder
    shutil.rmtree(folder / "checkpoints")  # it has not come to its first one
    before = (folder / "metrics.jsonl").read_bytes()
    with run.locked(folder), pytest.raises(UsageError, match="being trained by another process"):
        loop.train(asked, QUIET, resume_unfinished=True)
    assert (folder / "metrics.jsonl").read_bytes() == before


def test_a_trailing_slash_makes_no_other_command(tmp_path):
    asked = config(tmp_path, steps=1)
    folder = loop.train(asked, QUIET, resume_unfinished=True).folder
    completed = dataclasses.replace(asked, data=f"{asked.data}/", out=f"{asked.out}/")
    assert loop.train(completed, QUIET, resume_unfinished=True).folder == folder
