"""What is no generator is told for what it is."""

from pathlib import Path, PureWindowsPath

import pytest

import fewgan
from fewgan import run
from fewgan.features.random.network import RandomVGG
from fewgan.plugin import UsageError
from fewgan.scoring.fid import score
from fewgan.sources import hub
from fewgan.testing.base import QUIET, config
from fewgan.training.loop import train


@pytest.mark.parametrize("place", [PureWindowsPath("hf:owner/name"), Path("hf:owner/name"), "hf:owner/name"])
def test_a_place_on_the_hub_may_have_been_a_path(place):
    assert hub.name(place) == "owner-name"


def test_a_dataset_and_a_folder_of_runs_are_told_for_what_they_are(tmp_path, tiny_installed):
    folder = train(config(tmp_path, steps=1), QUIET).folder
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "dataset.json").write_text("{}")
    with pytest.raises(UsageError, match="data: neither a run nor a folder with weight files"):
        fewgan.load(tmp_path / "data")  # StyleGAN's
    (tmp_path / "data" / "images.safetensors").touch()
    with pytest.raises(UsageError, match=r"data: is a dataset and no generator; 'fewgan train .*data' makes one"):
        fewgan.load(tmp_path / "data")
    with pytest.raises(UsageError, match=f"holds runs; give one of them, such as {folder}"):
        score(folder.parent, features=RandomVGG(), screen=QUIET)


def test_what_lies_in_or_above_a_run_says_to_give_the_run(tmp_path, tiny_installed):
    folder = train(config(tmp_path, steps=1), QUIET).folder
    for place in (folder / "checkpoints", run.checkpoints(folder)[0][1]):
        with pytest.raises(UsageError, match=f"give the run, {folder}, or one of its generators"):
            fewgan.load(place)
    with pytest.raises(UsageError, match=f"holds runs; give one of them, such as {folder}"):
        fewgan.load(folder.parent)
