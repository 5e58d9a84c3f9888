"""Files of the official code and of rosinality's, at the numbers that their own code gave."""

import pytest
import torch
from fewgan_stylegan2.discriminator import Discriminator
from fewgan_stylegan2.files import from_official, is_official, to_official
from fewgan_stylegan2.generator import Generator
from fewgan_stylegan2.rosinality import from_rosinality, whole
from safetensors.torch import load_file
from test_golden import GOLDEN, near
from test_networks import networks

from fewgan.plugin import UsageError
from fewgan.sources import pickles

ROSINALITY = GOLDEN.parent / "stylegan2-rosinality"
PKL = GOLDEN.parent / "stylegan2-pkl"


def built(found):
    generator = Generator(found.generator_shape, noise="const")
    generator.load_state_dict(found.generator)
    discriminator = Discriminator(found.discriminator_shape)
    discriminator.load_state_dict(found.discriminator)
    return generator.eval(), discriminator.eval()


@torch.no_grad()
def test_the_official_pickle(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    io = load_file(PKL / "io.safetensors")
    parts = pickles.networks(pickles.read(PKL / "network-snapshot.pkl"))
    found = {}
    for name in ("G", "G_ema"):
        assert is_official(parts[name].state)
        found[name] = from_official(
            parts[name].state,
            parts["D"].state,
            generator_arguments=parts[name].kwargs,
            discriminator_arguments=parts["D"].kwargs,
        )
    assert found["G_ema"].generator_shape.clamp == found["G_ema"].discriminator_shape.clamp == 256
    assert found["G_ema"].generator_shape.mapping_layers == 2
    assert found["G_ema"].discriminator_shape.group == 4
    generator, discriminator = built(found["G_ema"])
    z, none = io["z"], torch.zeros(3, 0)
    near(generator.styles(z, none), io["w"])
    near(generator(z, none), io["image_noise_const"])
    near(generator.sample(z, none, 0.5), io["image_psi0.5"])
    near(discriminator(io["x"], None), io["logits"].squeeze(1))
    near(built(found["G"])[0](z, none), io["image_G_noise_const"])
    assert not list(tmp_path.iterdir())


@torch.no_grad()
@pytest.mark.parametrize("name", ["converted.pt", "010000.pt"])
def test_rosinality(name):
    io = load_file(ROSINALITY / "io.safetensors")
    content = pickles.read(ROSINALITY / name)
    assert whole(content) is content
    assert not is_official(content)
    found = from_rosinality(content, name)
    generator, discriminator = built(found)
    assert generator.shape.mapping_layers == 4
    assert generator.shape.channels == {4: 32, 8: 32, 16: 24, 32: 16}
    z, none = io["z"], torch.zeros(3, 0)
    ws = generator.styles(z, none)
    near(ws, io["w"])
    near(generator(z, none), io["image_noise_const"])
    mixed = torch.cat((ws[:, :3], generator.styles(io["z2"], none)[:, 3:]), dim=1)
    near(generator.synthesis(mixed, "const"), io["image_mix3"])
    near(discriminator(io["x"], None), io["logits"].squeeze(1))
    if name == "converted.pt":
        assert found.notes == ()
        near(generator.sample(z, none, 0.5), io["image_psi0.5"])
    else:
        assert "latent_avg" in found.notes[0]
        w = generator.mapping(torch.randn(20_000, 32), none)
        assert (generator.mapping.w_avg - w.mean(dim=0)).abs().max() < 0.05 * w.std()


def test_rosinality_without_averages_and_with_damage():
    content = dict(pickles.read(ROSINALITY / "converted.pt"))
    content["g_ema"] = None
    assert "g is taken" in from_rosinality(content, "some.pt").notes[0]
    del content["d"]
    assert from_rosinality(content).discriminator is None
    content["g"] = content["g"] | {"convs.0.conv.surprise": torch.zeros(1)}
    with pytest.raises(UsageError, match=r"some\.pt: g: tensor convs\.0\.conv\.surprise belongs to no part"):
        from_rosinality(content, "some.pt")
    assert whole({"state_dict": {}}) is None
    assert whole({"g_ema": torch.zeros(1)}) is None


@pytest.mark.parametrize("architecture", ["resnet", "orig"])
@pytest.mark.parametrize("classes", [0, 3])
@pytest.mark.parametrize("size", [8, 32, 64])
def test_shapes_are_derived_from_tensors_and_arguments(size, classes, architecture):
    generator, discriminator = networks(size, classes, 200.0, architecture=architecture, group=3)
    generator_state, generator_arguments = to_official(generator)
    discriminator_state, discriminator_arguments = to_official(discriminator)
    found = from_official(
        generator_state,
        discriminator_state,
        generator_arguments=generator_arguments or {"conv_clamp": 200},
        discriminator_arguments=discriminator_arguments
        or {"epilogue_kwargs": {"mbstd_group_size": 3}, "conv_clamp": 200},
    )
    assert found.generator_shape == generator.shape
    assert found.discriminator_shape == discriminator.shape
    for state, network in ((found.generator, generator), (found.discriminator, discriminator)):
        assert all(torch.equal(state[name], value) for name, value in network.state_dict().items())


def test_arguments_of_the_official_classes():
    generator = load_file(GOLDEN / "G_ema.safetensors")
    shape = from_official(generator).generator_shape
    assert (shape.z_dim, shape.w_dim, shape.mapping_layers, shape.clamp) == (32, 32, 2, None)
    network = Generator(shape)
    state, arguments = to_official(network)
    assert state.keys() == generator.keys()
    base, most = arguments.pop("channel_base"), arguments.pop("channel_max")
    assert {side: min(base // side, most) for side in shape.channels} == shape.channels
    assert arguments == {
        "z_dim": 32,
        "w_dim": 32,
        "c_dim": 0,
        "img_resolution": 32,
        "img_channels": 3,
        "conv_clamp": None,
        "mapping_kwargs": {"num_layers": 2},
    }
    # stylegan3 hands its arguments over flat, and clamps where they say nothing.
    assert from_official(generator, generator_arguments={"channel_base": 512}).generator_shape.clamp == 256
    nested = {"synthesis_kwargs": {"channel_base": 512}}
    assert from_official(generator, generator_arguments=nested).generator_shape.clamp is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mapping.fc1.weight": None}, "mapping.fc1.bias belongs to no part"),
        ({"synthesis.b8.conv0.bias": None}, "synthesis.b8.conv0.bias is missing"),
        ({"synthesis.b8.conv1.weight": None}, "synthesis.b8.conv1.weight is missing"),
        ({"synthesis.b8.conv0.bias": torch.zeros(3)}, r"conv0.bias is \[3\], \[32\] expected"),
        ({"synthesis.b4.const": torch.full((32, 4, 4), torch.nan)}, "holds NaN"),
        ({"synthesis.b4.resample_filter": torch.ones(4, 4)}, "another filter"),
        ({"synthesis.b4.torgb.noise": torch.ones(4)}, "torgb.noise belongs to no part"),
        ({"mapping.fc0.weight": torch.zeros(3)}, r"mapping.fc0.weight is \[3\]"),
    ],
)
def test_a_damaged_file_is_named(change, message):
    state = load_file(GOLDEN / "G_ema.safetensors")
    for name, tensor in change.items():
        if tensor is None:
            del state[name]
        else:
            state[name] = tensor
    with pytest.raises(UsageError, match=f"some.pkl: .*{message}"):
        from_official(state, file="some.pkl")


@pytest.mark.parametrize(
    "arguments",
    [
        {"img_channels": 1},
        {"mapping_kwargs": {"lr_multiplier": 1}},
        {"synthesis_kwargs": {"resample_filter": [1, 2, 1]}},
        {"conv_clamp": "256"},
        {"conv_clamp": -1},
        {"architecture": ["skip"]},
    ],
)
def test_arguments_of_another_network_are_refused(arguments):
    with pytest.raises(UsageError, match="was made with"):
        from_official(load_file(GOLDEN / "G_ema.safetensors"), generator_arguments=arguments)


def test_what_may_be_left_out_is_made_up():
    state = load_file(GOLDEN / "G_ema.safetensors")
    kept = {name: value for name, value in state.items() if not name.endswith(("resample_filter", "noise_const"))}
    made = from_official(kept).generator
    assert made.keys() == state.keys()
    assert torch.equal(made["synthesis.b8.conv0.resample_filter"], state["synthesis.b8.conv0.resample_filter"])
    assert torch.equal(
        made["synthesis.b8.conv0.noise_const"], from_official(kept).generator["synthesis.b8.conv0.noise_const"]
    )
