"""Projected GAN's pickles, of plain modules, and the pretrained ones that are known by name."""

import pickle
import sys
import types

import pytest
import torch
from fewgan_projected.architecture import Options, build, plugin, write
from torch import nn

import fewgan
from fewgan.cli import commands as cli
from fewgan.errors import UsageError
from fewgan.sources import known
from fewgan.testing.base import config, install_tiny

# Classes of the published code, and the places in its networks where they stand; other modules are PyTorch's.
CLASSES = {
    "pg_modules.networks_fastgan": {"Generator": "G", "FastganSynthesis": "G.synthesis"},
    "pg_modules.blocks": {"InitLayer": "G.synthesis.init", "SEBlock": "G.synthesis.se_64"},
    "pg_modules.projector": {"F_RandomProj": "D.feature_network"},
    "pg_modules.discriminator": {"ProjectedDiscriminator": "D", "MultiScaleD": "D.discriminator"},
}


def placed(monkeypatch):
    """The classes by place, empty, where a pickle finds them: their code is not needed to read one."""
    found = {}
    monkeypatch.setitem(sys.modules, "pg_modules", types.ModuleType("pg_modules"))
    for module, names in CLASSES.items():
        made = types.ModuleType(module)
        for name, place in names.items():
            found[place] = type(name, (nn.Module,), {"__module__": module})
            setattr(made, name, found[place])
        monkeypatch.setitem(sys.modules, module, made)
    return found


def nested(state, place, classes):
    """Modules with this state dict; place: where in the networks the outermost stands."""
    own = {name: tensor for name, tensor in state.items() if "." not in name}
    if "running_mean" in own:
        module = nn.BatchNorm2d(len(own["running_mean"]))
    elif own.get("weight_orig", own.get("weight", torch.zeros(1))).dim() == 4:
        module = nn.Conv2d(1, 1, 1, bias="bias" in own)
    else:
        module = classes.get(place, nn.Module)()
    if "weight_orig" in own:
        module = nn.utils.spectral_norm(module)
    for name, tensor in own.items():
        if name in ("weight_orig", "weight", "bias"):
            module.register_parameter(name, nn.Parameter(tensor))
        else:
            module.register_buffer(name, tensor)
    for first in dict.fromkeys(name.partition(".")[0] for name in state if "." in name):
        inner = {name.removeprefix(f"{first}."): t for name, t in state.items() if name.startswith(f"{first}.")}
        module.add_module(first, nested(inner, f"{place}.{first}", classes))
    return module


def made(seed, **options):
    torch.manual_seed(seed)
    return build(Options(width=4, side=224, separable=False, **options), size=64, classes=0).with_discriminator()


@torch.no_grad()
@pytest.mark.parametrize("blocks", ["", "lite", "alternating"])
def test_a_snapshot_is_a_model_with_its_discriminator(tmp_path, monkeypatch, blocks):
    kind = {"lite": blocks == "lite", "alternating": blocks == "alternating"}
    average, latest = made(0, **kind), made(1, **kind)
    files = write(average)
    with monkeypatch.context() as patch:
        classes = placed(patch)
        content = {
            "G": nested(write(latest)["G_ema.pth"], "G", classes),
            "D": nested(files["D.pth"], "D", classes),
            "G_ema": nested(files["G_ema.pth"], "G", classes),
            "training_set_kwargs": {"path": "church.zip", "resolution": 64},
            "progress": {"cur_nimg": torch.tensor(0)},
        }
        assert content["D"].state_dict().keys() == files["D.pth"].keys()
        (tmp_path / "network-snapshot.pkl").write_bytes(pickle.dumps(content))
    assert "pg_modules.discriminator" not in sys.modules
    model = fewgan.load(tmp_path / "network-snapshot.pkl")
    options = model.architecture.options
    assert {name: options[name] for name in kind} == kind
    assert (options["side"], options["original"], model.config["notes"]) == (224, False, [])
    for found, expected in ((model.generator, average.generator), (model.discriminator, average.discriminator)):
        state = expected.state_dict()
        assert all(torch.equal(tensor, state[name]) for name, tensor in found.state_dict().items())
    images = torch.rand(2, 3, 64, 64) * 2 - 1
    expected = average.discriminator.eval()(images, None)
    torch.testing.assert_close(model.discriminator(images, None), expected)


def test_the_known_sources_say_what_to_get(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("FEWGAN_CACHE", str(tmp_path / "cache"))
    table = known.of_plugin("fastgan", plugin.sources)
    assert len(table) == 9
    for name, entry in table.items():
        assert known.sources()[name] == entry
        assert entry["licence"].startswith("MIT")
        folder = tmp_path / "cache" / "sources" / name
        with pytest.raises(UsageError) as error:
            fewgan.load(name)
        assert str(error.value) == (
            f"--source {name}: is not downloaded by fewgan; get it from {entry['get']} and put {name}.pkl into {folder}"
        )
    monkeypatch.syspath_prepend(str(install_tiny(tmp_path / "tiny")))
    dataset = config(tmp_path, dataset_size=64).data
    assert cli.run(["train", dataset, "--transfer", "finetune", "--source", "projected-church"]) == 2
    assert "projected_gan/models/church.pkl (save it as projected-church.pkl)" in capsys.readouterr().err


def test_a_file_of_a_common_name_is_not_taken_for_a_known_one(tmp_path):
    """ffhq.pkl is also what NVIDIA calls its file, and its licence is another."""
    for name, state in write(made(0)).items():
        torch.save(state, tmp_path / name)
    for name in ("ffhq.pkl", "church.pkl"):
        (tmp_path / name).write_bytes(pickle.dumps({}))
    assert fewgan.load(tmp_path).config["licences"] == []
