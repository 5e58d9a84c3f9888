"""Whole trainings of a few steps on tiny networks: what they leave, and that a resume is exact."""

import dataclasses
import json
import shutil
from itertools import product

import pytest
import torch
from PIL import Image
from short import GOLDEN, QUIET, config, draw_folder, metrics, regularizers, same_file

import fewgan
from fewgan import run
from fewgan.architectures.biggan import Options
from fewgan.files import write_json
from fewgan.photos.prepare import prepare
from fewgan.plugin import UsageError
from fewgan.registry import choose, find
from fewgan.screen import Screen
from fewgan.training import loop as train
from fewgan.training import session
from fewgan.training.plan import plan
from fewgan.training.players import Players

# Every transfer with every augmentation and without, whatever is installed; all regularizers in every second of them,
# so that each transfer and each augmentation is there with and without.
METHODS = [
    (transfer, augmentation, (row + column) % 2 == 1)
    for (row, transfer), (column, augmentation) in product(
        enumerate(sorted(find("transfers"))), enumerate([None, *sorted(find("augmentations"))])
    )
]


@pytest.mark.parametrize("method", METHODS, ids=lambda method: "-".join(map(str, method)))
def test_resume_is_bit_identical(data, source, tmp_path, method):
    whole = train.train(config(data, tmp_path / "whole", source, method, keep_generators=True), QUIET).folder
    half = tmp_path / "half" / whole.name
    shutil.copytree(whole, half)
    (half / "checkpoints" / "000004.safetensors").unlink()
    (half / run.GENERATOR).unlink()
    done = train.resume(str(half), QUIET)
    assert done.step == 4
    same_file(whole / run.GENERATOR, half / run.GENERATOR)
    same_file(whole / "checkpoints" / "000004.safetensors", half / "checkpoints" / "000004.safetensors")
    assert metrics(whole) == metrics(half)
    pictures = [Image.open(folder / "samples" / "000004.png").tobytes() for folder in (whole, half)]
    assert pictures[0] == pictures[1]


def test_a_generator_that_was_removed_is_written_again(data, tmp_path):
    folder = train.train(config(data, tmp_path, steps=2), QUIET).folder
    before = (folder / run.GENERATOR).read_bytes()
    (folder / run.GENERATOR).unlink()
    with pytest.raises(UsageError, match=rf"no generator.safetensors; 'fewgan train --resume .*{folder.name}' wr"):
        fewgan.load(folder)
    train.resume(str(folder), QUIET)
    assert (folder / run.GENERATOR).read_bytes() == before


def test_what_a_run_leaves(data, source, tmp_path):
    method = ("minegan", "diffaugment", True)
    done = train.train(config(data, tmp_path, source, method, steps=5, keep_generators=True), QUIET)
    folder = done.folder
    assert folder.name == "-".join(["00001-dataset-biggan-minegan-diffaugment", *regularizers()])
    assert [step for step, _ in run.checkpoints(folder)] == [4, 5]  # the newest two
    assert [step for step, _ in run.kept_generators(folder)] == [2, 4, 5]
    assert sorted(path.name for path in (folder / "samples").iterdir()) == [f"00000{n}.png" for n in (0, 2, 4, 5)]
    content = json.loads((folder / "config.json").read_text())
    assert (content["format"], content["photos"], content["size"], content["d_steps"]) == (1, 12, 32, 2)
    lines = run.read_metrics(folder)
    line = lines[-1]
    assert [line["step"] for line in lines] == [2, 4, 5]
    assert line["images_seen"] == 5 * 2 * 4
    assert line["logit_gap"] == pytest.approx(line["logit_real"] - line["logit_fake"])
    assert line["seconds_per_step"] > 0
    assert line["peak_memory_bytes"] > 1e6
    assert line == done.metrics

    # One file is enough to sample anywhere, and the run is itself a source.
    alone = shutil.copy(folder / run.GENERATOR, tmp_path / "alone.safetensors")
    from_file, from_run = fewgan.load(alone), fewgan.load(folder)
    assert torch.equal(from_file.sample(3, seed=1), from_run.sample(3, seed=1))
    assert from_run.mapper is not None
    assert (from_file.discriminator is None, from_run.discriminator is None) == (True, False)
    again = train.train(config(data, tmp_path, folder, ("finetune", None, False), steps=1), QUIET)
    assert again.folder.name == "00002-dataset-biggan-finetune"


def test_the_source_is_where_training_starts(data, source, tmp_path):
    work = session.begin(config(data, tmp_path, source, ("finetune", None, False)), QUIET)
    model = fewgan.load(source)
    ours, theirs = work.state.players.generator.state_dict(), model.generator.state_dict()
    assert torch.equal(ours["linear.weight"], theirs["linear.weight"])
    assert torch.allclose(ours["shared.weight"][0], theirs["shared.weight"].mean(0), atol=1e-6)
    assert not list(tmp_path.iterdir())  # nothing is written before the loop


def test_a_source_without_discriminator(data, source, tmp_path, capsys):
    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copy(source / "G_ema.pth", alone)
    session.begin(config(data, tmp_path, alone, ("minegan", None, False)), Screen())
    assert "D is initialised from scratch" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"source": None}, "32 px, and the source embedded is 64 px: prepare them with --size 64, or take another s"),
        ({"size": 64}, "--size 64: the source .* is 32 px"),
        (
            {"architecture": choose("architectures", "biggan", Options(width=4))},
            "--biggan-width 4: .* has --biggan-width 8",
        ),
        ({"data": "nowhere"}, "nowhere"),
        ({"source": "nowhere"}, "nowhere: no such"),
    ],
)
def test_requests_that_cannot_be_served(data, source, tmp_path, changes, message):
    with pytest.raises(UsageError, match=message):
        session.begin(dataclasses.replace(config(data, tmp_path, source, ("minegan", None, False)), **changes), QUIET)


def test_a_loss_beside_a_plugin_that_brings_its_own(data, tmp_path, monkeypatch):
    monkeypatch.setattr(Players, "loss_plugin_name", "alone")
    with pytest.raises(UsageError, match="--loss hinge: alone brings a loss of its own; leave --loss out"):
        session.begin(config(data, tmp_path, loss="hinge"), QUIET)
    session.begin(config(data, tmp_path), QUIET)


def test_networks_larger_than_the_photos(data, tmp_path):
    with pytest.raises(UsageError, match=r"64.*32|32.*64"):
        session.begin(config(data, tmp_path, size=64), QUIET)
    with pytest.raises(
        UsageError, match=r"choose --size 32, 64, 128, 256 \(the photos have 32 px and are not enlarged"
    ):
        session.begin(config(data, tmp_path, size=48), QUIET)


def test_a_source_that_nothing_needs(data, source, tmp_path):
    with pytest.raises(UsageError, match="has no effect with --transfer none"):
        session.begin(dataclasses.replace(config(data, tmp_path), source=str(source)), QUIET)


@pytest.mark.parametrize("change", [{"steps": 0}, {"batch_size": -1}, {"loss": "l2"}, {"precision": "fp8"}])
def test_impossible_settings(data, tmp_path, change):
    with pytest.raises(UsageError, match="--"):
        config(data, tmp_path, **change)


def test_resume_to_more_steps_and_back_again_without_naming_them(data, tmp_path):
    folder = train.train(config(data, tmp_path, steps=2), QUIET).folder
    assert train.resume(str(folder), QUIET, steps=4).step == 4
    assert run.read_config(folder)["steps"] == 4
    assert run.read_config(folder)["planned_steps"] == 2
    assert [step for step, _ in run.checkpoints(folder)] == [2, 4]


def test_resume_refuses_other_photos_and_empty_runs(data, tmp_path):
    folder = train.train(config(data, tmp_path, steps=1), QUIET).folder
    content = run.read_config(folder)
    write_json(folder / "config.json", content | {"fingerprint": "0"})
    with pytest.raises(UsageError, match="not the photos"):
        train.resume(str(folder), QUIET)
    shutil.rmtree(folder / "checkpoints")
    with pytest.raises(UsageError, match="no checkpoint"):
        train.resume(str(folder), QUIET)
    with pytest.raises(UsageError, match="not a fewgan run"):
        train.resume(str(tmp_path / "absent"), QUIET)


def test_classes_and_held_out_photos(tmp_path):
    for name in ("cats", "ducks"):
        draw_folder(tmp_path / "photos" / name, 5, seed=100 * len(name) + ord(name[0]))
    prepare(tmp_path / "photos", tmp_path / "dataset", size=32, classes=True, holdout=2, workers=1, screen=QUIET)
    done = train.train(config(tmp_path / "dataset", tmp_path / "runs", steps=1), QUIET)
    content = run.read_config(done.folder)
    assert (content["classes"], content["network_classes"], content["photos"]) == (["cats", "ducks"], 2, 8)
    model = fewgan.load(done.folder)
    assert model.classes == ("cats", "ducks")
    with pytest.raises(UsageError, match="finetune"):
        session.begin(config(tmp_path / "dataset", tmp_path, method=("minegan", None, False), source=GOLDEN), QUIET)


@pytest.mark.parametrize("loss", ["nonsaturating", "wasserstein"])
def test_other_settings_train_too(data, tmp_path, loss):
    settings = {"loss": loss, "grad_accumulation": 2, "d_steps": 1, "flip": False, "orthogonal": 1e-4}
    done = train.train(config(data, tmp_path, steps=1, precision="bf16", **settings), QUIET)
    assert done.metrics["images_seen"] == 8


def test_the_plan_writes_nothing(data, source, tmp_path):
    found = plan(config(data, tmp_path / "runs", source, ("minegan", "diffaugment", True)), QUIET)
    assert found["networks"]["size"] == 32
    assert found["method"]["source"] == str(source)
    assert found["training"]["memory_estimate_bytes"] > 1e6
    assert not (tmp_path / "runs").exists()
