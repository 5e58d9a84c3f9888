"""Pretrained GANs from anywhere."""

import dataclasses
import os
import pickle
import shutil
from functools import partial
from pathlib import Path

import pytest
import torch
from drawn import smooth
from safetensors.torch import load_file

import fewgan
from fewgan import run
from fewgan.architectures.biggan import Options, build
from fewgan.features.random.network import RandomVGG
from fewgan.photos.prepare import prepare
from fewgan.plugin import FewganError, UsageError
from fewgan.registry import choose
from fewgan.scoring.fid import score
from fewgan.screen import Screen
from fewgan.sources import known
from fewgan.sources.empty import build_empty
from fewgan.sources.transfer import about_classes, copy_weights
from fewgan.testing.base import QUIET, config
from fewgan.training.config import Config
from fewgan.training.loop import train

OWN = Path(__file__).parents[1] / "golden" / "biggan-32"


def test_a_foreign_folder_is_a_model(foreign):
    model, io = fewgan.load(foreign), load_file(OWN / "io.safetensors")
    images = model.generate(io["z"], io["y"])
    assert (images - io["image_eval"]).abs().max() <= 1e-4 * io["image_eval"].abs().max()
    pictures = model.sample(3, seed=5, truncation=0.5, labels=torch.tensor([1, 2, 3]))
    assert pictures.shape == (3, 3, 32, 32)
    assert pictures.dtype == torch.uint8
    assert torch.equal(model.sample(2, seed=5, truncation=0.5, labels=torch.tensor([1, 2])), pictures[:2])
    assert model.discriminator is not None


def test_building_for_a_load_sets_every_tensor(foreign):
    model = fewgan.load(foreign)
    plugin, options = model.architecture.plugin()
    networks = build_empty(partial(plugin.build, options, size=32, classes=10))
    assert not any(p.is_meta for p in (*networks.generator.parameters(), *networks.generator.buffers()))

    class Stubborn(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("table", torch.arange(3.0), persistent=False)

    other = dataclasses.replace(plugin, build=lambda *_, **__: dataclasses.replace(networks, generator=Stubborn()))
    assert build_empty(other.build).generator.table.tolist() == [0, 1, 2]


def test_export_and_back(foreign, tmp_path):
    model = fewgan.load(foreign)
    model.export(tmp_path / "out")
    again = fewgan.load(tmp_path / "out")
    for side in ("generator", "discriminator"):
        theirs = getattr(again, side).state_dict()
        assert all(torch.equal(tensor, theirs[name]) for name, tensor in getattr(model, side).state_dict().items())


def test_export_writes_into_its_folder_alone(foreign, tmp_path, monkeypatch):
    model = fewgan.load(foreign)
    plugin, options = model.architecture.plugin()
    outside = dataclasses.replace(plugin, write=lambda networks: {"G.pth": {}, "../evil.pt": {}})
    monkeypatch.setattr(type(model.architecture), "plugin", lambda _: (outside, options))
    with pytest.raises(FewganError, match=r"biggan: its write names a file '\.\./evil\.pt', which is a path; report"):
        model.export(tmp_path / "a" / "out")
    assert not list(tmp_path.rglob("evil*")) + list(tmp_path.rglob("G.pth"))


def test_no_discriminator(foreign):
    (foreign / "D.pth").unlink()
    model = fewgan.load(foreign)
    assert model.discriminator is None
    with pytest.raises(UsageError, match="no discriminator"):
        model.export(foreign / "out")


@pytest.mark.parametrize("classes", [10, 3, 1, 40])
def test_other_class_counts_start_from_the_mean(foreign, classes):
    """As a function: D's logits are those of the source, with the mean over its classes in the place of each."""
    model = fewgan.load(foreign)
    networks = build(model.architecture.plugin()[1], size=32, classes=classes)
    copy_weights(model, networks)
    theirs, ours = model.generator.shared.weight, networks.generator.shared.weight
    assert ours.shape == (classes, 32)
    assert torch.allclose(ours, theirs if classes == 10 else theirs.mean(0).expand(classes, -1), atol=1e-6)
    assert torch.equal(networks.generator.linear.weight, model.generator.linear.weight)
    images = torch.rand(4, 3, 32, 32) * 2 - 1
    d = networks.discriminator.eval().requires_grad_(False)
    every = torch.stack([model.discriminator(images, torch.full((4,), label)) for label in range(10)])
    for label in range(min(classes, 10)):
        expected = every[label] if classes == 10 else every.mean(0)
        assert torch.allclose(d(images, torch.full((4,), label)), expected, atol=1e-4)


def test_classes_of_the_same_name_start_from_it_wherever_they_stand(foreign):
    model = fewgan.load(foreign)
    model.classes = tuple("abcdefghij")
    networks = build(model.architecture.plugin()[1], size=32, classes=10)
    copy_weights(model, networks, ["j", "x", *"bcdefgh", "A"])
    table, ours = model.generator.shared.weight, networks.generator.shared.weight
    assert torch.equal(ours[0], table[9])
    assert torch.equal(ours[9], table[0])  # case does not count
    assert torch.allclose(ours[1], table.mean(0), atol=1e-6)
    assert about_classes(10, model.classes, ["a", "x"]).endswith("of the same name: a")
    assert about_classes(10, model.classes, list("jihgfedcba")) is None
    assert about_classes(2, ["caf\u00e9", "b"], ["B", "cafe\u0301"]) is None  # file systems write accents in two ways
    assert "by number" in about_classes(10, (), list("jihgfedcba"))


def test_a_whole_pickled_module_is_read(foreign, tmp_path):
    model = fewgan.load(foreign)
    torch.save(model.discriminator, foreign / "D.pth")
    again = fewgan.load(foreign)
    state = again.discriminator.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.discriminator.state_dict().items())


def test_another_width_is_one_error_that_names_the_tensor(foreign):
    with pytest.raises(UsageError, match=r"(shared|linear)\.weight"):
        copy_weights(fewgan.load(foreign), build(Options(width=4), size=32, classes=10))


class Bomb:
    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_a_pickle_with_code_is_never_run(tmp_path):
    folder = tmp_path / "hostile"
    folder.mkdir()
    torch.save({"linear.weight": Bomb(str(tmp_path / "ran"))}, folder / "G_ema.pth")
    with pytest.raises(UsageError, match="no installed architecture reads"):
        fewgan.load(folder)
    (folder / "G_ema.pth").write_bytes(pickle.dumps(Bomb(str(tmp_path / "ran"))))
    with pytest.raises(UsageError, match="no installed architecture reads"):
        fewgan.load(folder)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not a zip", b"\x80\x02."])
def test_damaged_weights_are_named(foreign, content):
    (foreign / "D.pth").write_bytes(content)
    with pytest.raises(UsageError, match=r"D\.pth"):
        fewgan.load(foreign)


def test_what_is_no_source(tmp_path):
    with pytest.raises(UsageError, match="no such file"):
        fewgan.load(tmp_path / "absent")
    with pytest.raises(UsageError, match="neither a run nor"):
        fewgan.load(tmp_path)
    torch.save({"x": torch.zeros(1)}, tmp_path / "w.pth")
    with pytest.raises(UsageError, match=r"no installed architecture reads.*w\.pth"):
        fewgan.load(tmp_path)
    (tmp_path / "g.safetensors").write_bytes(b"junk")
    with pytest.raises(UsageError, match=r"g\.safetensors"):
        fewgan.load(tmp_path / "g.safetensors")


def test_a_source_of_two_small_files(foreign, tmp_path):
    """What `save` writes is a source: the same pictures and logits, with float16 nearly so; no path is told."""
    made = fewgan.load(foreign)
    with pytest.raises(UsageError, match="use export instead"):
        made.save(tmp_path / "no")
    (tmp_path / "photos").mkdir()
    for index in range(4):
        smooth(48, 48, index).save(tmp_path / "photos" / f"{index}.png")
    prepare(tmp_path / "photos", tmp_path / "dataset", size=32, screen=Screen(quiet=True))
    config = Config(
        data=str(tmp_path / "dataset"),
        out=str(tmp_path / "runs"),
        architecture=choose("architectures", "biggan", Options(width=4)),
        transfer=choose("transfers", "none"),
        steps=2,
        batch_size=2,
    )
    run = train(config, Screen(quiet=True)).folder
    model = fewgan.load(run)
    images, labels = torch.rand(4, 3, 32, 32) * 2 - 1, torch.zeros(4, dtype=torch.int64)
    for half, tolerance in ((False, 0.0), (True, 2e-3)):
        folder = tmp_path / f"half-{half}"
        model.save(folder, half=half)
        assert sorted(file.name for file in folder.iterdir()) == ["discriminator.safetensors", "generator.safetensors"]
        with pytest.raises(UsageError, match=r"discriminator.safetensors: holds no generator; give the file"):
            fewgan.load(folder / "discriminator.safetensors")
        again = fewgan.load(folder)
        assert all(parameter.dtype == torch.float32 for parameter in again.generator.parameters())
        difference = again.sample(4).float() - model.sample(4).float()
        assert difference.abs().mean() <= 255 * tolerance
        with torch.no_grad():
            there, here = again.discriminator(images, labels), model.discriminator(images, labels)
        assert (there - here).abs().max() <= tolerance * 10
        assert str(tmp_path).encode() not in (folder / "generator.safetensors").read_bytes()
    stored = load_file(tmp_path / "half-True" / "discriminator.safetensors")
    assert stored["linear.weight"].dtype == torch.float16
    assert stored["linear.u0"].dtype == torch.float32


def test_the_source_that_comes_with_fewgan():
    files = list(known.locate("embedded").glob("*.safetensors"))
    assert sum(file.stat().st_size for file in files) <= 12_000_000
    model = fewgan.load("embedded")
    assert model.generator.size == 64
    assert "ringed" not in model.classes
    assert len(model.classes) == 7
    pictures = model.sample(14, truncation=0.7, labels=torch.arange(7).repeat(2)).float()
    assert pictures[:, :, :4, :4].mean() < 80  # dark space around
    assert pictures[:, :, 16:48, 16:48].std() > 30
    assert (pictures[:7] - pictures[7:]).abs().mean() > 5
    # Each class is nearer to itself than to the others, in colour.
    colours = model.sample(112, seed=1, labels=torch.arange(7).repeat(16)).float()[:, :, 16:48, 16:48].mean((2, 3))
    means = colours.reshape(16, 7, 3)
    centres = means[:8].mean(0)
    guesses = torch.cdist(means[8:].reshape(-1, 3), centres).argmin(1)
    assert (guesses == torch.arange(7).repeat(8)).float().mean() > 0.5
    with torch.no_grad():
        logits = model.discriminator(pictures / 127.5 - 1, torch.arange(7).repeat(2))
    assert logits.isfinite().all()


def test_a_run_s_generator_is_not_replaced_by_save(tmp_path, tiny_installed):
    folder = train(config(tmp_path, steps=1), QUIET).folder
    model = fewgan.load(folder)
    with pytest.raises(UsageError, match="is a run, whose generator would be replaced; give another folder"):
        model.save(folder, half=True)
    for _ in range(2):
        model.save(tmp_path / "source", half=True)


def test_a_run_with_the_best_generator_alone_is_a_source(tmp_path, tiny_installed):
    folder = train(config(tmp_path, steps=1), QUIET).folder
    (folder / run.GENERATOR).rename(folder / run.BEST)
    assert fewgan.load(folder).generator.size == 16
    (folder / run.BEST).unlink()
    shutil.rmtree(folder / "checkpoints")
    with pytest.raises(UsageError, match=r"no generator\.safetensors yet"):
        fewgan.load(folder)
    for path in folder.iterdir():  # what there is from the first moment on
        if path.name not in ("config.json", ".lock"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for use in (fewgan.load, lambda folder: score(folder, features=RandomVGG(), screen=QUIET)):
        with pytest.raises(UsageError, match=r"no generator\.safetensors yet"):
            use(folder)


def test_classes_are_counted_where_networks_ask_for_values_while_they_are_built(foreign, monkeypatch):
    model = fewgan.load(foreign)
    plugin, options = model.architecture.plugin()

    def asks(options, **facts):
        torch.linspace(0, 1, 3)[1].item()  # as drop path does
        return build(options, **facts)

    asking = dataclasses.replace(plugin, build=asks)
    monkeypatch.setattr(type(model.architecture), "plugin", lambda self: (asking, options))
    networks = build(options, size=32, classes=3)
    copy_weights(model, networks, ["a", "b", "c"])
    table = model.generator.shared.weight
    assert torch.allclose(networks.generator.shared.weight[1], table.mean(0), atol=1e-6)


def test_a_folder_with_one_generator_of_fewgan_is_that_whatever_it_is_called(tmp_path):
    folder = tmp_path / "models"
    source = fewgan.load("embedded")
    source.save(folder)
    (folder / "generator.safetensors").rename(folder / "mine.safetensors")
    model = fewgan.load(folder)
    assert model.has_discriminator
    assert model.config["architecture"] == source.config["architecture"]
    assert torch.equal(model.sample(1), source.sample(1))
    shutil.copy(folder / "mine.safetensors", folder / "theirs.safetensors")
    with pytest.raises(UsageError, match=r"holds 2 generators; give one of them, such as .*/theirs\.safetensors"):
        fewgan.load(folder)


def test_a_dataset_is_no_hint_for_a_source(tmp_path):
    (tmp_path / "a").mkdir()
    for name in ("dataset.json", "images.safetensors"):
        (tmp_path / "a" / name).touch()
    with pytest.raises(UsageError, match="neither a run nor a folder with weight files"):
        fewgan.load(tmp_path)
