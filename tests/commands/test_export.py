"""`fewgan export`: every architecture as ONNX, as onnxruntime computes it; safetensors; layouts of public code."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx as library
import pytest
import torch
from inprocess import fewgan as command
from PIL import Image
from torch import nn

import fewgan
from fewgan import registry
from fewgan.commands.export import onnx, tracing
from fewgan.errors import FewganError, UsageError
from fewgan.screen import Screen
from fewgan.sources.model import Model
from fewgan.testing import CommandTests, tiny

ROOT = Path(__file__).parents[2]
ort = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed here")
QUIET = Screen(quiet=True)
TRANSGAN = {
    "latent_dim": 8, "heads": 2, "norm": "pn", "noise": True, "cross": True,
    "stages": [
        {"side": 4, "width": 16, "depth": 0, "window": 4, "up": ""},
        {"side": 8, "width": 16, "depth": 1, "window": 4, "up": "bicubic"},
        {"side": 16, "width": 4, "depth": 1, "window": 8, "up": "shuffle"},
    ],
}  # fmt: skip
PACKAGED = {
    "fastgan": ({"width": 4}, 64, 2),
    "stylegan2": ({"channel_max": 8, "latent_dim": 8, "mapping_layers": 1}, 8, 2),
    "transgan": ({"generator_shape": json.dumps(TRANSGAN)}, 16, 0),
}


class TestExport(CommandTests):
    plugin = "export"


def model(networks, architecture=None, **more):
    for name, parameter in networks.generator.named_parameters():
        if "noise" in name:  # its strength is 0 at the start
            parameter.data.fill_(0.3)
    return Model(Path("some") / "net", networks, architecture or registry.Choice("", "kit", "", "", {}), **more)


def tiny_model(**more):
    torch.manual_seed(0)
    return model(tiny.build(tiny.Options(), size=tiny.SIZE, classes=3), **more)


def run(file, **inputs):
    return ort.InferenceSession(str(file), providers=["CPUExecutionProvider"]).run(None, inputs)[0]


@pytest.mark.parametrize("name", sorted(PACKAGED))
def test_packaged_architectures_export(name, tmp_path):
    if name not in registry.find("architectures"):
        pytest.skip(f"the package with {name} is not installed here")
    values, size, classes = PACKAGED[name]
    plugin = registry.load("architectures", name)
    options = registry.options_from(plugin, name, values)
    torch.manual_seed(0)
    made = model(plugin.build(options, size=size, classes=classes), registry.choose("architectures", name, options))
    truncation = 0.7 if hasattr(made.generator, "sample") else None
    facts = onnx.write(made, tmp_path / "net.onnx", truncation=truncation, screen=QUIET)
    assert 0 < facts["largest_difference"] < 1e-4
    assert (facts["size"], facts["classes"], facts["truncation"]) == (size, classes, truncation)
    z = np.random.default_rng(1).standard_normal((5, made.generator.latent_dim), dtype=np.float32)
    labels = np.arange(5) % max(classes, 1)
    found = run(tmp_path / "net.onnx", z=z, **({"labels": labels} if classes else {}))
    with torch.no_grad():
        expected = tracing.Whole(made, truncation)(torch.from_numpy(z), torch.from_numpy(labels))
    assert found.shape == (5, 3, size, size)
    assert np.abs(found - expected.numpy()).max() < 1e-4
    assert np.abs(found[1:] - found[:1]).max() > 1e-3  # pictures of their own


@pytest.fixture(scope="module")
def embedded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported")
    assert command("export embedded --to onnx", folder) == 0
    return folder


def test_the_file_says_what_it_is(embedded):
    session = ort.InferenceSession(str(embedded / "exports" / "embedded.onnx"), providers=["CPUExecutionProvider"])
    shapes = {item.name: (item.shape, item.type) for item in (*session.get_inputs(), *session.get_outputs())}
    source = fewgan.load("embedded")
    assert shapes == {
        "z": (["batch", source.generator.latent_dim], "tensor(float)"),
        "labels": (["batch"], "tensor(int64)"),
        "images": (["batch", 3, 64, 64], "tensor(float)"),
    }
    facts = json.loads(session.get_modelmeta().custom_metadata_map["fewgan"])
    assert facts["class_names"] == list(source.classes)
    assert facts["opset"] == onnx.OPSET
    assert facts["licences"][0]["licence"] == "MIT"


def test_its_images_are_those_of_fewgan(embedded):
    source = fewgan.load("embedded")
    z = torch.randn(3, source.generator.latent_dim, generator=torch.Generator().manual_seed(5))
    labels = torch.tensor([2, 0, 1])
    found = run(embedded / "exports" / "embedded.onnx", z=z.numpy(), labels=labels.numpy())
    assert np.abs(found - source.generate(z, labels).numpy()).max() < 1e-4


def test_the_example_draws_without_torch(embedded, tmp_path):
    words = [ROOT / "examples" / "onnx.py", embedded / "exports" / "embedded.onnx", "3", tmp_path / "p"]
    code = (
        "import sys, runpy; sys.modules['torch'] = None; sys.argv = sys.argv[1:]; sys.path.pop(0); "
        "runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", code, *map(str, words)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    made = [np.asarray(Image.open(path)) for path in sorted((tmp_path / "p").iterdir())]
    assert [image.shape for image in made] == [(64, 64, 3)] * 3
    assert made[0].std() > 10
    assert (made[0] != made[1]).any()


def test_the_example_gives_the_photos_their_shape_back(embedded, tmp_path):
    code = "import runpy, sys; sys.argv = sys.argv[1:]; sys.path.pop(0); runpy.run_path(sys.argv[0])"
    model = library.load(embedded / "exports" / "embedded.onnx")
    for changes, shape in (({"crop": "stretch", "aspect": 1.5}, (64, 96)), ({"crop": "fit", "aspect": 0.5}, (64, 32))):
        for entry in model.metadata_props:
            if entry.key == "fewgan":
                entry.value = json.dumps(json.loads(entry.value) | changes)
        library.save(model, tmp_path / "m.onnx")
        words = [ROOT / "examples" / "onnx.py", tmp_path / "m.onnx", "1", tmp_path / changes["crop"]]
        subprocess.run([sys.executable, "-c", code, *map(str, words)], check=True)
        assert np.asarray(Image.open(tmp_path / changes["crop"] / "000000.png")).shape == (*shape, 3)


def test_a_discriminator_of_another_generator_does_not_stay(tmp_path, capsys):
    model = fewgan.load("embedded")
    model.save(tmp_path / "exports")
    alone = fewgan.load(tmp_path / "exports" / "generator.safetensors")
    assert alone.discriminator is None
    words = ["export", str(alone.path), "--to", "safetensors", "--out", str(tmp_path / "exports"), "--force"]
    alone.save(tmp_path / "alone")
    words[1] = str(tmp_path / "alone")
    (tmp_path / "exports" / "generator.safetensors").unlink()
    assert command(words[:-1], tmp_path) == 2  # not without --force
    assert (tmp_path / "exports" / "discriminator.safetensors").exists()
    assert command(words, tmp_path) == 0
    assert not fewgan.load(tmp_path / "exports").has_discriminator
    model.save(tmp_path / "again")
    alone.save(tmp_path / "again")
    assert not fewgan.load(tmp_path / "again").has_discriminator


def test_a_file_in_the_place_of_the_folder_is_told_before_the_work(embedded, tmp_path, capsys):
    (tmp_path / "afile").touch()
    assert command(["export", "embedded", "--to", "onnx", "--out", str(tmp_path / "afile")], embedded) == 2
    assert f"--out {tmp_path / 'afile'}: is a file; give a folder" in capsys.readouterr().err


@pytest.mark.parametrize("mark", ["checkpoints", "metrics.jsonl", "real.png"])
def test_a_run_keeps_its_generator(tmp_path, capsys, mark):
    """Its checkpoints may have been removed to save space."""
    (tmp_path / "run" / mark).mkdir(parents=True)
    assert command("export embedded --to safetensors --out run --force", tmp_path) == 2
    assert "--out run: is a run, whose generator would be replaced" in capsys.readouterr().err


def test_files_are_not_replaced_unasked(embedded, capsys):
    assert command("export embedded --to onnx", embedded) == 2
    assert "exists; give another place with --out, or --force" in capsys.readouterr().err


class Mapper(nn.Module):
    """As a miner: it looks at labels too."""

    def __init__(self, generator):
        super().__init__()
        self.linear, self.table = nn.Linear(tiny.LATENT, tiny.LATENT), nn.Embedding(3, tiny.CONDITION)

    def forward(self, z, labels):
        return self.linear(z), self.table(labels)


def test_a_mapper_is_part_of_it_and_nothing_stays_changed(tmp_path):
    made = tiny_model()
    made.mapper = Mapper(made.generator).eval().requires_grad_(False)
    before = type(made.generator)
    facts = onnx.write(made, tmp_path / "deep" / "net.onnx", truncation=None, screen=QUIET)
    assert facts["largest_difference"] < 1e-4
    z, labels = torch.randn(4, tiny.LATENT), torch.tensor([0, 1, 2, 1])
    found = run(tmp_path / "deep" / "net.onnx", z=z.numpy(), labels=labels.numpy())
    assert np.abs(found - made.generate(z, labels).numpy()).max() < 1e-4
    assert type(made.generator) is before
    assert not any(p.requires_grad for p in made.generator.parameters())
    assert not hasattr(sys.modules[tiny.__name__], "len")
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["net.onnx"]


def test_a_miner_is_part_of_it(tmp_path):
    torch.manual_seed(0)
    networks = tiny.build(tiny.Options(), size=tiny.SIZE, classes=0)
    plugin, options = registry.choose("transfers", "minegan").plugin()
    made = model(networks, mapper=plugin.build(options, networks=networks).mapper)
    onnx.write(made, tmp_path / "net.onnx", truncation=None, screen=QUIET)
    z = torch.randn(3, tiny.LATENT)
    found = run(tmp_path / "net.onnx", z=z.numpy())
    assert np.abs(found - made.generate(z, torch.zeros(3, dtype=torch.int64)).numpy()).max() < 1e-4
    with torch.no_grad():
        unmined = made.generator(z, made.generator.embed(torch.zeros(3, dtype=torch.int64)))
    assert np.abs(found - unmined.numpy()).max() > 1e-3


class Counting(tiny.Generator):
    """Computes with the number of pictures as Python's own number."""

    def forward(self, z, condition):
        return super().forward(z, condition) * float(range(z.shape[0])[-1])


def test_what_cannot_be_exported_is_one_line(tmp_path, monkeypatch):
    made = tiny_model()
    with pytest.raises(UsageError, match="--truncation: this generator has none of its own"):
        onnx.write(made, tmp_path / "net.onnx", truncation=0.5, screen=QUIET)
    made.generator.__class__ = Counting
    with pytest.raises(UsageError, match="the generator of kit cannot be exported"):
        onnx.write(made, tmp_path / "net.onnx", truncation=None, screen=QUIET)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UsageError, match="needs onnxruntime; run pip install onnx onnxscript onnxruntime"):
        onnx.write(made, tmp_path / "net.onnx", truncation=None, screen=QUIET)
    assert not list(tmp_path.iterdir())


def test_other_images_fail(embedded, monkeypatch):
    source = fewgan.load("embedded")
    source.generator.output_layer[2].bias.data.add_(0.1)
    z, labels = torch.randn(2, source.generator.latent_dim), torch.zeros(2, dtype=torch.int64)
    with pytest.raises(FewganError, match=r"onnxruntime's images differ from fewgan's by 0\.\d"):
        onnx.largest_difference(tracing.Whole(source, None), embedded / "exports" / "embedded.onnx", z, labels)


def test_safetensors_and_the_architectures_layout(tmp_path, capsys):
    assert command("export embedded --to safetensors --half --json", tmp_path) == 0
    assert json.loads(capsys.readouterr().out)["files"] == ["discriminator.safetensors", "generator.safetensors"]
    assert command("export embedded --to biggan-pytorch --out public", tmp_path) == 0
    assert command("export embedded --to foreign --out again", tmp_path) == 0
    source, half, public = (
        fewgan.load(place) for place in ("embedded", tmp_path / "exports" / "embedded-safetensors", tmp_path / "public")
    )
    assert {path.name for path in (tmp_path / "public").iterdir()} == {
        path.name for path in (tmp_path / "again").iterdir()
    }
    pictures = source.sample(2).int()
    assert torch.equal(public.sample(2).int(), pictures)
    assert (half.sample(2).int() - pictures).abs().max() <= 4


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--to gif", "--to gif: biggan exports to onnx, safetensors, biggan-pytorch, foreign"),
        ("--to stylegan2", "--to stylegan2: biggan exports to"),
        ("--to onnx --half", "--half: goes with --to safetensors alone"),
        ("--to foreign --truncation 0.5", "--truncation: goes with --to onnx alone"),
        ("--to foreign --out a-file", "--out a-file: is a file; give a folder"),
    ],
)
def test_wrong_use_is_one_line(tmp_path, capsys, line, message):
    (tmp_path / "a-file").write_text("")
    assert command(f"export embedded {line}", tmp_path) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["a-file"]


def test_the_default_is_the_latest_run(tmp_path, capsys):
    assert command("export", tmp_path) == 2
    assert "no trained run here" in capsys.readouterr().err


def test_a_foreign_model_has_no_safetensors(tmp_path, capsys):
    assert command("export embedded --to foreign --out public", tmp_path) == 0
    assert command("export public --to safetensors", tmp_path) == 2
    assert "is for what fewgan trained" in capsys.readouterr().err
