"""`fewgan project` as a command: what it writes, what it says, and that `sample` draws the same pictures."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
import torch
from fewgan_project import Options, build, command
from PIL import Image

from fewgan.cli import commands as cli
from fewgan.features.random.network import RandomVGG
from fewgan.photos.decode import decode
from fewgan.photos.prepare import prepare
from fewgan.sampling import stored
from fewgan.sampling.imagefile import facts_of, shaped
from fewgan.testing import CommandTests
from fewgan.testing.base import QUIET, config, install_tiny
from fewgan.training.loop import train


class TestProject(CommandTests):
    plugin = "project"
    options: ClassVar = {}


@pytest.fixture(scope="module", autouse=True)
def run(tmp_path_factory):
    """A run of the kit's tiny networks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(install_tiny(tmp_path_factory.getbasetemp() / "fewgan-tiny")))
        yield train(config(tmp_path_factory.mktemp("run"), steps=1), QUIET).folder


@pytest.fixture
def photos(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = ["a b.jpg", "c.png", "d.jpg"]
    for index, name in enumerate(names):
        pixels = np.random.default_rng(index).integers(0, 256, (5, 6, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((48, 40), Image.Resampling.BICUBIC).save(name)
    return names


def project(*words):
    return cli.run(["project", *map(str, words), "--features", "random", "--device", "cpu"])


def pixels(path):
    return torch.from_numpy(np.array(Image.open(path))).permute(2, 0, 1)


def test_photos_become_pictures_and_latents(run, photos, capsys):
    assert project(*photos, "--run", run, "--steps", 3, "--json") == 0
    shown = capsys.readouterr()
    report = json.loads(shown.out)
    folder = f"projections/{run.name}"
    assert (report["folder"], report["latents"]) == (folder, f"{folder}/latents.safetensors")
    assert [one["photo"] for one in report["photos"]] == photos
    assert all(one["distance"] <= one["start"] for one in report["photos"])
    assert [one["picture"] for one in report["photos"]] == ["000000-a_b.png", "000001-c.png", "000002-d.png"]
    assert f"Next: fewgan sample {run} --latents {folder}/latents.safetensors --interpolate" in shown.err
    latents = stored.read(Path(report["latents"]))
    assert latents.count == 3
    assert latents.facts["photos"] == photos
    assert facts_of(Path(folder) / "000001-c.png")["photo"] == 1

    assert cli.run(["sample", str(run), "--latents", report["latents"], "--device", "cpu", "--out", "drawn"]) == 0
    for index, one in enumerate(report["photos"]):
        both, drawn = pixels(f"{folder}/{one['picture']}"), pixels(f"drawn/{index:06d}.png")
        size = drawn.shape[-1]
        gap = (both.shape[-1] - 2 * size) // 3
        assert torch.equal(both[:, gap : gap + size, -gap - size : -gap], drawn)
    assert cli.run(["sample", str(run), "--latents", report["latents"], "--interpolate", "--out", "walk.gif"]) == 0


def test_latents_of_others_are_not_overwritten(run, photos, capsys):
    words = ("--run", run, "--steps", 1, "--quiet")
    file = Path("projections") / run.name / "latents.safetensors"
    file.parent.mkdir(parents=True)
    file.write_text("mine")
    assert project(photos[0], *words) == 2
    assert f"{file}: not made by fewgan and would be overwritten" in capsys.readouterr().err
    assert file.read_text() == "mine"
    file.unlink()
    assert [project(photos[0], *words), project(photos[0], *words), project(photos[1], *words)] == [0, 0, 2]
    assert f"{file}: holds other latents and would be overwritten" in capsys.readouterr().err
    assert stored.read(file).facts["photos"] == photos[:1]


def test_a_photo_may_be_a_link(run, photos):
    Path("link.jpg").symlink_to(photos[2])
    assert project("link.jpg", "--run", run, "--steps", 1) == 0


def test_classes_are_taken_in_turn():
    model = SimpleNamespace(generator=SimpleNamespace(classes=3), classes=("rose", "tulip", "daisy"))
    options = Options(photos=("a", "b", "c"), classes="daisy,0")
    assert command._labels(options, model) == [2, 0, 2]
    assert command._labels(Options(photos=("a",)), model) is None


def test_photos_are_cut_as_those_of_the_run(tmp_path, photos):
    """A run of photos that were squeezed learns from photos that are."""
    prepare(Path(), Path("dataset"), size=16, crop="stretch", aspect=2.0, screen=QUIET)
    squeezed = train(config(tmp_path, steps=1), QUIET).folder
    assert project(photos[0], "--run", squeezed, "--steps", 1, "--out", "made") == 0
    both = pixels("made/000000-a_b.png")
    with open(photos[0], "rb") as file:
        squeezed_photo = torch.from_numpy(decode(file, 16, "stretch", aspect=2.0).pixels).permute(2, 0, 1)
    expected = shaped(squeezed_photo[None], {"crop": "stretch", "aspect": 2.0})[0]  # shown in the shape of the photos
    height, width = expected.shape[1:]
    assert width == 2 * height
    gap = (both.shape[-1] - 2 * width) // 3
    assert torch.equal(both[:, gap : gap + height, gap : gap + width], expected)


def test_another_crop_than_the_run_s_is_taken(run, photos):
    """A run of central squares has no shape to squeeze photos to."""
    picture = Image.new("RGB", (64, 32), (200, 30, 30))
    picture.paste((30, 30, 200), (0, 0, 16, 32))  # outside the central square
    picture.save("wide.png")
    for crop in ("center", "stretch"):
        assert project("wide.png", "--run", run, "--steps", 1, "--crop", crop, "--out", crop) == 0
    assert not torch.equal(pixels("center/000000-wide.png"), pixels("stretch/000000-wide.png"))


def test_photos_of_12_bits_are_not_black(run, photos, capsys):
    values = np.random.default_rng(0).integers(0, 4096, (32, 32)).astype(np.uint16)
    Image.fromarray(values).save("deep.png")
    assert project("deep.png", "--run", run, "--steps", 1, "--out", "made") == 0
    assert "read as 12 bits" in capsys.readouterr().err
    both = pixels("made/000000-deep.png").float()
    assert both[:, :, : both.shape[-1] // 2].mean() > 80


def test_other_photos_of_the_same_name_and_other_settings_replace_nothing(run, photos, capsys):
    for folder, colour in (("one", (90, 20, 20)), ("two", (20, 90, 20))):
        Path(folder).mkdir()
        picture = Image.new("RGB", (32, 32), colour)
        picture.paste((200, 200, 0), (4, 4, 20, 20))
        picture.save(f"{folder}/x.png")
    line = ["--run", run, "--steps", 1, "--out", "made"]
    assert project("one/x.png", *line) == 0
    before = Path("made/latents.safetensors").read_bytes()
    assert project("one/x.png", *line) == 0  # the same again
    for words in (["two/x.png", *line], ["one/x.png", *line, "--seed", 3]):
        assert project(*words) == 2
        assert "holds other latents and would be overwritten" in capsys.readouterr().err
    assert Path("made/latents.safetensors").read_bytes() == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["gone.jpg"], "gone.jpg: no such file"),
        (["."], ".: no such file; name photos, not folders"),
        (["text.jpg"], "text.jpg: cannot be projected: "),
        (["c.png", "--space", "w"], "--space w: this generator has no w space; use z"),
        (["c.png", "--space", "v"], "--space v: unknown; choose auto, z, w or w+"),
        (["c.png", "--crop", "all"], "--crop all: unknown; choose center, fit or stretch"),
        (["c.png", "--classes", "tulip"], "--classes tulip: this generator has no classes"),
        (["c.png", "--steps", "0"], "--steps"),
        ([], "PHOTOS"),
    ],
)
def test_wrong_use_is_one_line(run, photos, capsys, words, message):
    Path("text.jpg").write_text("no photo")
    assert project(*words, "--run", run) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not Path("projections").exists()


def test_features_without_maps(run, photos, capsys, monkeypatch):
    monkeypatch.delattr(RandomVGG, "maps")
    assert project("c.png", "--run", run) == 2
    assert "--features random: gives no feature maps" in capsys.readouterr().err


def test_it_needs_no_torch_to_be_listed():
    assert callable(build(Options()).run)
