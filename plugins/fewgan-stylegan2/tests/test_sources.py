"""Files of other codes as models and sources: which file holds what, and the numbers of the published code."""

import dataclasses
import shutil

import pytest
import torch
from fewgan_stylegan2.architecture import Options, build, plugin, read, write
from safetensors.torch import load_file, save_file
from test_files import PKL, ROSINALITY
from test_golden import GOLDEN, near
from test_stylegan2_plugins import TINY

import fewgan
from fewgan.cli import commands as cli
from fewgan.errors import UsageError
from fewgan.sources import known, pickles


def tiny(classes=0, seed=0, **options):
    torch.manual_seed(seed)
    return build(Options(**TINY, **options), size=32, classes=classes).with_discriminator()


def saved(folder, files):
    folder.mkdir(exist_ok=True)
    for name, state in files.items():
        torch.save(state, folder / name)
    return folder


@torch.no_grad()
def check(model, io):
    model.generator.noise = "const"
    z, none = io["z"], torch.zeros(3, 0)
    near(model.generator(z, none), io["image_noise_const"])
    near(model.discriminator(io["x"], None), io["logits"].squeeze(1))
    return model.generator.sample(z, none, 0.5)


def test_the_official_pickle_is_a_model():
    io = load_file(PKL / "io.safetensors")
    model = fewgan.load(PKL / "network-snapshot.pkl")
    near(check(model, io), io["image_psi0.5"])
    shape = model.generator.shape
    assert (model.architecture.name, shape.clamp, model.discriminator.shape.group) == ("stylegan2", 256, 4)
    options = model.architecture.options
    assert (options["latent_dim"], options["mapping_layers"], options["clamp"]) == (shape.z_dim, 2, 256)
    z, labels = io["z"], torch.zeros(3, dtype=torch.int64)
    near(model.generate(z, labels, 0.5), io["image_psi0.5"])


@pytest.mark.parametrize("name", ["converted.pt", "010000.pt"])
def test_rosinality_files_are_models(name):
    io = load_file(ROSINALITY / "io.safetensors")
    model = fewgan.load(ROSINALITY / name)
    images = check(model, io)
    if name == "converted.pt":
        near(images, io["image_psi0.5"])
    else:
        assert "latent_avg" in model.config["notes"][0]


@pytest.mark.parametrize("form", ["bare", "parallel", "mined"])
def test_rosinality_networks_in_other_forms(tmp_path, form):
    whole = dict(pickles.read(ROSINALITY / "010000.pt"))
    content = {
        "bare": whole["g_ema"],
        "parallel": {"g_ema": {f"module.{name}": tensor for name, tensor in whole["g_ema"].items()}},
        "mined": whole | {"miner": {"linear.weight": torch.zeros(1)}},  # of MineGAN's code
    }[form]
    torch.save(content, tmp_path / "some.pt")
    model, expected = fewgan.load(tmp_path / "some.pt"), fewgan.load(ROSINALITY / "010000.pt")
    assert torch.equal(model.sample(2), expected.sample(2))
    assert any("has a miner, which is not read" in note for note in model.config["notes"]) == (form == "mined")


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_official_state_dicts_in_files_of_their_own(tmp_path, suffix):
    for name in ("G_ema", "D"):
        state = load_file(GOLDEN / f"{name}.safetensors")
        place = tmp_path / f"{name}.{suffix}"
        torch.save(state, place) if suffix == "pth" else save_file(state, place)
    model = fewgan.load(tmp_path)
    io = load_file(GOLDEN / "io.safetensors")
    near(check(model, io), io["image_psi0.5"])
    alone = fewgan.load(tmp_path / f"G_ema.{suffix}")
    assert not alone.has_discriminator
    assert alone.networks.with_discriminator


def test_several_networks_in_one_file():
    files = write(tiny())
    found = read({"both.pt": {"G_ema": files["G_ema.pth"], "D": files["D.pth"]}})
    assert found.discriminator.keys() == files["D.pth"].keys()
    assert found.generator.keys() == files["G_ema.pth"].keys()


def test_what_is_written_comes_back_with_what_leaves_no_trace(tmp_path):
    made = tiny(classes=3, clamp=64.0, group=2, architecture="orig")
    model = fewgan.load(saved(tmp_path / "a", write(made)))
    assert model.generator.shape == made.generator.shape
    assert model.discriminator.shape == made.discriminator.shape
    model.export(tmp_path / "b")
    again = fewgan.load(tmp_path / "b")
    assert again.discriminator.shape == made.discriminator.shape
    ours, theirs = made.generator.state_dict(), again.generator.state_dict()
    assert all(torch.equal(ours[name], tensor) for name, tensor in theirs.items())
    unclamped = write(tiny(clamp=0.0))
    assert "conv_clamp" not in unclamped["arguments.pth"]


def test_the_last_average_is_taken_and_its_own_discriminator():
    first, second = (write(tiny(seed=seed)) for seed in (1, 2))
    files = {}
    for name, state in (("network-snapshot-000200.pkl", first), ("network-snapshot-001000.pkl", second)):
        files |= {f"{name}:G": first["G_ema.pth"], f"{name}:D": state["D.pth"], f"{name}:G_ema": state["G_ema.pth"]}
    found = read(files)
    for network, name in ((found.generator, "G_ema.pth"), (found.discriminator, "D.pth")):
        assert all(torch.equal(tensor, second[name][key]) for key, tensor in network.items())
    del files["network-snapshot-001000.pkl:D"]
    assert read(files).discriminator is None


def test_networks_that_do_not_belong_together_are_refused():
    generator, other = write(tiny()), write(tiny(classes=3))
    with pytest.raises(UsageError, match=r"D\.pth: is of 32 px and 3 classes, G_ema\.pth of 32 px and 0"):
        read({"G_ema.pth": generator["G_ema.pth"], "D.pth": other["D.pth"]})


def test_other_layouts_are_left_to_others():
    assert read({}) is None
    assert read({"x.pth": {"x": torch.zeros(1)}, "y.pth": [1], "z.pt": {"g": torch.zeros(1)}}) is None
    assert read({"D.pth": write(tiny())["D.pth"]}) is None


def test_a_damaged_file_is_one_line(tmp_path):
    files = write(tiny())
    del files["G_ema.pth"]["synthesis.b8.conv1.bias"]
    with pytest.raises(UsageError) as error:
        fewgan.load(saved(tmp_path / "damaged", files))
    assert "G_ema.pth: tensor synthesis.b8.conv1.bias is missing" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_generator_without_a_discriminator_gets_one_of_its_shape():
    found = read({"G_ema.pth": write(tiny())["G_ema.pth"]})
    made = build(found.options, size=32, classes=0).with_discriminator()
    assert made.discriminator.shape.channels == made.generator.shape.channels


def test_shapes_take_another_number_of_classes():
    found = read(write(tiny(classes=3)))
    made = build(found.options, size=32, classes=5).with_discriminator()
    assert made.generator.classes == made.discriminator.classes == 5
    shape = dataclasses.replace(made.generator.shape, classes=3)
    assert shape == build(found.options, size=32, classes=3).generator.shape


def test_the_commands_take_a_pickle(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    shutil.copy(PKL / "network-snapshot.pkl", "faces.pkl")
    assert cli.run(["sample", "faces.pkl", "--count", "3", "--truncation", "0.5", "--out", "pictures"]) == 0
    assert len(list((tmp_path / "pictures").glob("*.png"))) == 3
    assert cli.run(["fid", "faces.pkl", "--against", "pictures", "--features", "random", "--count", "8"]) == 0
    assert "random" in capsys.readouterr().out.lower()


def test_nothing_in_a_pickle_is_executed_on_the_way(monkeypatch):
    # Everything of the file goes through the one reader that executes nothing.
    seen = []
    monkeypatch.setattr(pickles, "read", lambda path, read=pickles.read: seen.append(path.name) or read(path))
    monkeypatch.setattr("torch.load", lambda *_, **__: pytest.fail("torch.load was called for a .pkl"))
    fewgan.load(PKL / "network-snapshot.pkl").sample(1)
    assert seen == ["network-snapshot.pkl"]


def test_the_known_sources_say_where_they_are_and_what_may_be_done_with_them(tmp_path, monkeypatch):
    monkeypatch.setenv("FEWGAN_CACHE", str(tmp_path))
    table = known.of_plugin("stylegan2", plugin.sources)
    assert {"ffhq-256", "ffhq-512", "ffhq-1024", "celebahq-256", "lsundog-256", "metfaces-1024"} < table.keys()
    for name, entry in table.items():
        assert known.sources()[name] == entry
        assert "NVIDIA" in entry["licence"]
        assert "non-commercial" in entry["licence"]
        with pytest.raises(UsageError, match=f"get it from {entry['get']} and put {entry['files'][0]['name']} into"):
            fewgan.load(name)


def test_a_known_file_brings_its_licence_wherever_it_lies(tmp_path, monkeypatch):
    monkeypatch.setenv("FEWGAN_CACHE", str(tmp_path / "cache"))
    name = "ffhq-res256-mirror-paper256-noaug.pkl"
    for folder in (tmp_path / "mine", tmp_path / "cache" / "sources" / "ffhq-256"):
        folder.mkdir(parents=True)
        shutil.copy(PKL / "network-snapshot.pkl", folder / name)
    expected = [{"source": "ffhq-256", "licence": known.sources()["ffhq-256"]["licence"]}]
    for place in ("ffhq-256", tmp_path / "mine" / name, tmp_path / "mine"):
        assert fewgan.load(place).config["licences"] == expected
    assert fewgan.load(PKL / "network-snapshot.pkl").config["licences"] == []


def studiogan(folder, files, when="best", step=8000):
    """The files of PyTorch-StudioGAN: the layout is that of its code; the files are made here."""
    folder.mkdir(exist_ok=True)
    for name, state in files.items():
        rest = {"optimizer": {"state": {}, "param_groups": []}, "seed": 1, "run_name": "x", "step": step, "aa_p": None}
        torch.save({"state_dict": dict(state), **rest}, folder / f"model={name}-{when}-weights-step={step}.pth")
    return folder


def with_linear1(state, **more):
    return {name.replace("b4.out.", "linear1."): tensor for name, tensor in state.items()} | more


@torch.no_grad()
@pytest.mark.parametrize("classes", [0, 3])
def test_files_of_studiogan(tmp_path, classes):
    made, other = tiny(classes, clamp=0.0), tiny(classes, seed=1, clamp=0.0)
    files, others = write(made), write(other)
    networks = {"G": others["G_ema.pth"], "G_ema": files["G_ema.pth"], "D": with_linear1(files["D.pth"])}
    studiogan(tmp_path, networks)
    studiogan(tmp_path, {"G_ema": others["G_ema.pth"], "D": with_linear1(others["D.pth"])}, step=7000)
    late = {"G": others["G_ema.pth"], "G_ema": others["G_ema.pth"], "D": with_linear1(others["D.pth"])}
    studiogan(tmp_path, late, when="current", step=10000)
    model = fewgan.load(tmp_path)
    assert model.architecture.name == "stylegan2"
    assert model.config["notes"] == []
    z, labels = torch.randn(3, 8), torch.arange(3) % max(classes, 1)
    made.generator.eval().noise = model.generator.noise = "const"
    condition = made.generator.embed(labels)
    assert torch.equal(model.generator(z, condition), made.generator(z, condition))
    images = torch.randn(4, 3, 32, 32)
    given = (torch.arange(4) % classes) if classes else None
    assert torch.equal(model.discriminator(images, given), made.discriminator.eval()(images, given))


@pytest.mark.parametrize("head", ["linear2.weight", "embedding.fc0.weight", "linear1.weight"])
def test_discriminators_of_studiogan_with_other_heads_are_left_out(tmp_path, head):
    files = write(tiny(clamp=0.0))
    networks = {"G_ema": files["G_ema.pth"], "D": with_linear1(files["D.pth"], **{head: torch.zeros(3, 8)})}
    model = fewgan.load(studiogan(tmp_path, networks))
    assert not model.has_discriminator
    (note,) = model.config["notes"]
    assert note == "model=D-best-weights-step=8000.pth judges by classes in its own way; not used"
