"""The forms that state dicts come in: compiled, safetensors, another protocol, half downloaded, of a live run."""

import shutil
import typing
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import fewgan
from fewgan import run, storage
from fewgan.plugin import UsageError
from fewgan.sources import load as source
from fewgan.sources.model import PRIVATE
from fewgan.training.config import Config

OWN = Path(__file__).parents[1] / "golden" / "biggan-32"


def save(form: str, folder: Path) -> Path:
    """The golden networks in this form; what `load` is then given."""
    folder.mkdir()
    states = {name: torch.load(OWN / f"{name}.pth") for name in ("G_ema", "D")}
    for name, state in states.items():
        if form == "compiled":
            torch.save({f"_orig_mod.{key}": tensor for key, tensor in state.items()}, folder / f"{name}.pth")
        elif form == "protocol 5":
            torch.save(state, folder / f"{name}.pth", pickle_protocol=5)
        else:
            save_file(state, folder / f"{name}.safetensors")
    return folder / "G_ema.safetensors" if form == "one file" else folder


@pytest.mark.parametrize("form", ["compiled", "protocol 5", "safetensors", "one file"])
@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_a_state_dict_is_read_in_every_form(form, tmp_path):
    expected, model = fewgan.load(OWN), fewgan.load(save(form, tmp_path / "x"))
    assert torch.equal(model.sample(1), expected.sample(1))
    assert model.has_discriminator == (form != "one file")


def nested(form: str, generator: dict, discriminator: dict) -> dict:
    """A file's content, as programs that train save it."""
    lightning = {f"generator.{key}": tensor for key, tensor in generator.items()}
    lightning |= {f"discriminator.{key}": tensor for key, tensor in discriminator.items()}
    return {
        "state_dict": {"state_dict": generator, "epoch": 1},
        "parallel": {"state_dict": {f"module.{key}": tensor for key, tensor in generator.items()}},
        "model": {"model": generator},
        "ema": {"params_ema": generator},
        "both": {"G_ema": generator, "D": discriminator, "optim": {"state": {}}},
        "names": {"generator": generator, "discriminator": discriminator},
        "long names": {"ema_state_dict": generator, "discriminator_state_dict": discriminator, "step": 3},
        "model_state_dict": {"model_state_dict": generator, "epoch": 1},
        "lightning": {"state_dict": lightning, "epoch": 3},
    }[form]


@pytest.mark.parametrize(
    "form",
    ["state_dict", "parallel", "model", "ema", "both", "names", "lightning", "long names", "model_state_dict"],
)
@pytest.mark.parametrize("name", ["x.ckpt", "G_ema.pth.tar", "x.pth"])
def test_a_checkpoint_of_a_training_is_taken_apart(form, name, tmp_path):
    states = [torch.load(OWN / f"{one}.pth") for one in ("G_ema", "D")]
    torch.save(nested(form, *states), tmp_path / name)
    expected = fewgan.load(OWN)
    for place in (tmp_path, tmp_path / name):
        model = fewgan.load(place)
        assert torch.equal(model.sample(1), expected.sample(1))
        assert model.has_discriminator == (form in ("both", "names", "lightning", "long names"))
    if model.has_discriminator:
        pictures = torch.rand(2, 3, 32, 32)
        assert torch.equal(model.discriminator(pictures, None), expected.discriminator(pictures, None))


@pytest.mark.parametrize(
    "names", [("netG.pth", "netD.pth"), ("generator.pt", "discriminator.pt"), ("g_ema.pth", "d.pth")]
)
def test_files_may_have_the_names_that_networks_have_elsewhere(names, tmp_path):
    for name, content in zip(names, ("G_ema", "D"), strict=True):
        torch.save(torch.load(OWN / f"{content}.pth"), tmp_path / name)
    expected, model = fewgan.load(OWN), fewgan.load(tmp_path)
    assert torch.equal(model.sample(1), expected.sample(1))
    images, labels = torch.zeros(1, 3, 32, 32), torch.tensor([1])
    assert torch.equal(model.discriminator(images, labels), expected.discriminator(images, labels))


@pytest.mark.parametrize("form", ["params", "state_dict", "options"])
def test_the_average_comes_before_what_it_is_the_average_of(form, tmp_path):
    average, raw = torch.load(OWN / "G_ema.pth"), {name: t + 1 for name, t in torch.load(OWN / "G_ema.pth").items()}
    content = {
        "params": {"params": raw, "params_ema": average},
        "state_dict": {"model_state_dict": raw, "ema_state_dict": average},
        "options": {
            "G_ema": average,
            "params": {"lr": 1e-4},
            "weights": {"adv": 1.0},
            "m": {"linear.weight": torch.zeros(2)},
        },
    }[form]
    torch.save(content, tmp_path / "x.pth")
    assert torch.equal(fewgan.load(tmp_path).sample(1), fewgan.load(OWN).sample(1))


def test_names_of_networks_beside_other_files(tmp_path):
    for name, content in (("netG.pth", "G_ema"), ("netD.pth", "D")):
        torch.save(torch.load(OWN / f"{content}.pth"), tmp_path / name)
    for name in ("optimG.pth", "optimD.pth"):
        torch.save({"state": {}, "param_groups": []}, tmp_path / name)
    model = fewgan.load(tmp_path)
    assert torch.equal(model.sample(1), fewgan.load(OWN).sample(1))
    assert model.has_discriminator


def test_what_cannot_be_read_beside_weights_hides_nothing(tmp_path):
    states = [torch.load(OWN / f"{one}.pth") for one in ("G_ema", "D")]
    torch.save(nested("both", *states), tmp_path / "a.pt")
    (tmp_path / "training_args.bin").write_bytes(b"no pickle")
    assert fewgan.load(tmp_path).has_discriminator
    (tmp_path / "a.pt").unlink()
    with pytest.raises(UsageError, match=r"training_args\.bin: neither a pickle[^(]*$"):
        fewgan.load(tmp_path)


def test_of_two_checkpoints_none_is_chosen(tmp_path):
    states = [torch.load(OWN / f"{one}.pth") for one in ("G_ema", "D")]
    for name in ("epoch=9.ckpt", "epoch=10.ckpt"):
        torch.save(nested("lightning", *states), tmp_path / name)
    with pytest.raises(UsageError, match=r"epoch=10\.ckpt and epoch=9\.ckpt both hold a generator; give one"):
        fewgan.load(tmp_path)
    assert fewgan.load(tmp_path / "epoch=9.ckpt").has_discriminator


def test_a_tensor_that_is_missing_within_a_file_names_the_file(tmp_path):
    states = [torch.load(OWN / f"{one}.pth") for one in ("G_ema", "D")]
    del states[0]["output_layer.2.bias"]
    torch.save(nested("both", *states), tmp_path / "m.ckpt")
    with pytest.raises(UsageError, match=r"output_layer\.2\.bias is missing \(read as biggan within m\.ckpt\)"):
        fewgan.load(tmp_path)


def test_a_file_of_any_ending_is_read_and_others_say_what_to_do(tmp_path):
    shutil.copy(OWN / "G_ema.pth", tmp_path / "weights")
    assert torch.equal(fewgan.load(tmp_path / "weights").sample(1), fewgan.load(OWN).sample(1))
    (tmp_path / "up" / "138k").mkdir(parents=True)
    (tmp_path / "up" / "0").mkdir()
    (tmp_path / "up" / "0" / "notes.txt").touch()
    shutil.copy(OWN / "G_ema.pth", tmp_path / "up" / "138k")
    torch.save({"epoch": 1, "other": {"a": torch.zeros(1)}}, tmp_path / "x.pth")
    with zipfile.ZipFile(tmp_path / "138k.zip", "w") as archive:
        archive.write(OWN / "G_ema.pth", "G_ema.pth")
    (tmp_path / "G.pth.gz").write_bytes(b"\x1f\x8b\x08")
    expected = {
        "up": "holds no weights itself; did you mean .*138k",
        "x.pth": r"reads the layout of x\.pth \(it holds epoch, other\)",
        "138k.zip": "a zip archive.*unpack it",
        "G.pth.gz": "a gzip file; unpack it first",
    }
    for name, message in expected.items():
        with pytest.raises(UsageError, match=message):
            fewgan.load(tmp_path / name)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer.*git lfs pull"),
        (b"<!DOCTYPE html><html>", "a web page"),
        (b"", "an empty file"),
        (b"PK\x03\x04", r"a zip archive.*must end in \.pth"),
    ],
)
@pytest.mark.parametrize("name", ["g.safetensors", "generator.safetensors", "G_ema.safetensors"])
def test_what_is_no_safetensors_file_says_what_it_is(content, what, name, tmp_path):
    (tmp_path / name).write_bytes(content)
    for place in (tmp_path, tmp_path / name):
        with pytest.raises(UsageError, match=f"{name}: {what}"):
            fewgan.load(place)


def test_a_pointer_in_the_place_of_weights_says_what_it_is(tmp_path):
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 99\n"
    (tmp_path / "G_ema.pth").write_text(pointer)
    with pytest.raises(UsageError, match=r"G_ema\.pth.*git lfs pull") as caught:
        fewgan.load(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_checkpoint_that_is_removed_meanwhile_is_no_error(tmp_path, monkeypatch):
    """A run that is being trained keeps its newest two."""
    embedded = Path(source.__file__).parent / "embedded"
    shutil.copy(embedded / run.GENERATOR, tmp_path)
    monkeypatch.setattr(run, "checkpoints", lambda _: [(200, tmp_path / "checkpoints" / "000200.safetensors")])
    assert not fewgan.load(tmp_path).has_discriminator
    monkeypatch.undo()
    (tmp_path / "checkpoints").mkdir()
    state, facts = storage.read_tensors(embedded / run.DISCRIMINATOR)
    for step in (200, 400):
        state = {f"discriminator.{name.removeprefix('discriminator.')}": tensor for name, tensor in state.items()}
        storage.write_tensors(tmp_path / "checkpoints" / f"{step:06d}.safetensors", state, facts)
    monkeypatch.chdir(tmp_path)
    model = fewgan.load(".")
    (tmp_path / "checkpoints" / "000200.safetensors").unlink()
    (tmp_path / "checkpoints" / "000400.safetensors").rename(tmp_path / "checkpoints" / "000600.safetensors")
    monkeypatch.chdir(embedded)
    assert model.discriminator is not None  # it is asked for now
    model = fewgan.load(tmp_path)
    shutil.rmtree(tmp_path / "checkpoints")
    with pytest.raises(UsageError, match="its discriminator has been removed since it was loaded"):
        _ = model.discriminator


def test_pictures_get_the_shape_of_the_photos_back():
    model, pictures = fewgan.load("embedded"), torch.zeros(2, 3, 64, 64, dtype=torch.uint8)
    for config, size in (
        ({}, (64, 64)),
        ({"crop": "stretch", "aspect": 1.5}, (64, 96)),
        ({"crop": "fit", "aspect": 0.5}, (64, 32)),
    ):
        model.config = config
        assert model.shaped(pictures).shape == (2, 3, *size)


def test_no_setting_that_may_be_a_path_is_shared():
    """A new field of text belongs to one of the two."""
    harmless = {"loss", "precision", "device"}
    texts = {name for name, kind in typing.get_type_hints(Config).items() if kind in (str, str | None)}
    assert texts <= harmless | PRIVATE.keys()
