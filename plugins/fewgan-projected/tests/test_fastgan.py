"""The FastGAN generator against golden numbers of the published code, and by its own properties."""

import pytest
import torch
from fewgan_projected import layers
from fewgan_projected.fastgan import SIZES, Generator, GeneratorFacts
from fewgan_projected.layouts import generator_name, read_generator, write_generator
from projected_golden import distance, error, load, nets
from torch import nn
from torch.nn import functional as F

from fewgan.plugin import UsageError


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.fixture(params=nets("fastgan"))
def golden(request):
    """(generator, golden numbers, published name -> name here, folder, net, config)"""
    folder, net, config = request.param
    state, numbers = load(folder, net, config)
    facts, translated = read_generator(state, f"{net}.safetensors")
    generator = Generator(facts)
    generator.load_state_dict(translated)
    names = {generator_name(name, translated, facts): name for name in translated}
    return generator.to(memory_format=torch.channels_last), numbers, names, *request.param


def give_noise(monkeypatch, numbers, mode):
    """torch.randn gives the golden noises in turn; the list that is returned holds those not yet given."""
    left = [numbers[f"noise_{mode}.{index}"] for index in range(sum(f"noise_{mode}." in name for name in numbers))]

    def given(*shape, device, dtype):
        noise = left.pop(0)
        assert noise.shape == shape
        return noise.to(device, dtype)

    monkeypatch.setattr(layers.torch, "randn", given)
    return left


def condition(generator, numbers):
    classes = numbers["c"].argmax(1) if "c" in numbers else torch.zeros(len(numbers["z"]), dtype=torch.int64)
    return generator.embed(classes)


def test_facts_come_from_the_tensors(golden):
    facts, config = golden[0].facts, golden[-1]
    assert facts == GeneratorFacts(
        size=config["img_resolution"],
        width=config["ngf"],
        latent_dim=config["z_dim"],
        lite=config["lite"],
        classes=config["num_classes"],
    )


def test_images_in_eval_mode(golden, monkeypatch):
    generator, numbers, *_ = golden
    left = give_noise(monkeypatch, numbers, "eval")
    generator.eval()
    with torch.no_grad():
        images = generator(numbers["z"], condition(generator, numbers))
    assert left == []
    assert error(images, numbers["image_eval"]) < 1e-4


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_images_gradients_and_buffers_in_training_mode(golden, monkeypatch, dtype):
    generator, numbers, names, *_ = golden
    generator.to(dtype)
    left = give_noise(monkeypatch, numbers, "train")
    z = numbers["z"].to(dtype).requires_grad_()
    generator.advance()
    images = generator(z, condition(generator, numbers))
    assert left == []
    assert error(images, numbers["image_train"]) < 1e-4
    loss = (images.flatten() * torch.linspace(-1, 1, images.numel(), dtype=dtype)).sum()
    assert loss.item() == pytest.approx(numbers["loss"].item(), rel=1e-4)
    loss.backward()
    assert distance(z.grad, numbers["grad_z"]) < 1e-3
    parameters, buffers = dict(generator.named_parameters()), dict(generator.named_buffers())
    compared = 0
    for key, reference in numbers.items():
        kind, _, name = key.partition(".")
        if kind == "grad":
            assert distance(parameters[names[name]].grad, reference) < 1e-3, name
        elif kind == "after":
            assert error(buffers[names[name]], reference) < 1e-5, name
        compared += kind in ("grad", "after")
    assert compared >= 12


def test_a_state_dict_is_written_back_under_the_published_names(golden):
    """Blocks for sides above the image's are in the published files, and nothing reads them."""
    generator, _, names, *where = golden
    state, _ = load(*where)
    written = write_generator(generator)
    assert {name: tensor.shape for name, tensor in written.items()} == {
        name: tensor.shape for name, tensor in state.items()
    }
    assert all(torch.equal(written[name], state[name]) for name in names)


def test_wrong_files_are_refused_by_name():
    facts = GeneratorFacts(size=64, width=4, latent_dim=8)
    state = write_generator(Generator(facts))
    assert read_generator(state, "x")[0] == facts
    with pytest.raises(UsageError, match=r"x: tensor synthesis\.to_big\.weight_orig is missing"):
        read_generator({name: state[name] for name in state if "to_big" not in name}, "x")
    with pytest.raises(UsageError, match=r"x: tensor synthesis\.feat_8\.9\.weight is unknown"):
        read_generator(state | {"synthesis.feat_8.9.weight": torch.zeros(1)}, "x")
    with pytest.raises(UsageError, match=r"x: tensor synthesis\.feat_16\.2\.weight has the shape \[2\]"):
        read_generator(state | {"synthesis.feat_16.2.weight": torch.zeros(2)}, "x")
    with pytest.raises(UsageError, match="which no FastGAN generator of width 4 has"):
        read_generator(state | {"synthesis.to_big.weight_orig": torch.zeros(3, 5, 3, 3)}, "x")


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("blocks", ["", "lite", "alternating"])
@pytest.mark.parametrize("classes", [0, 3])
def test_every_size_builds_and_every_parameter_is_in_one_block(size, blocks, classes):
    kind = {blocks: True} if blocks else {}
    facts = GeneratorFacts(size=size, width=8, latent_dim=16, classes=classes, **kind)
    generator = Generator(facts)
    inside = [parameter for block in generator.blocks() for parameter in block.parameters()]
    assert sorted(map(id, inside)) == sorted(map(id, generator.parameters()))
    assert read_generator(write_generator(generator), "x")[0] == facts
    if size <= 256:
        images = generator(torch.randn(2, 16), generator.embed(torch.zeros(2, dtype=torch.int64)))
        assert images.shape == (2, 3, size, size)
        images.sum().backward()
        assert all(parameter.grad is not None for parameter in generator.parameters())


@pytest.mark.parametrize(
    ("size", "lite", "classes", "count"),
    [
        (256, False, 0, 105_684_175),
        (256, True, 0, 79_354_307),
        (256, False, 1000, 110_527_689),
        (256, True, 1000, 81_904_067),
        (128, False, 0, 105_685_903 - 750_082),
    ],
)
def test_parameters_of_the_published_networks(size, lite, classes, count):
    with torch.device("meta"):
        generator = Generator(GeneratorFacts(size=size, lite=lite, classes=classes))
    assert sum(parameter.numel() for parameter in generator.parameters()) == count


LAYERS = {
    "conv": (
        lambda: layers.SpectralConv2d(6, 5, 4, stride=2, padding=1, bias=True),
        lambda: nn.Conv2d(6, 5, 4, 2, 1),
        (2, 6, 8, 8),
    ),
    "depthwise": (
        lambda: layers.SpectralConv2d(6, 6, 3, padding=1, groups=6),
        lambda: nn.Conv2d(6, 6, 3, 1, 1, groups=6, bias=False),
        (2, 6, 8, 8),
    ),
    "upsample": (
        lambda: layers.UpsampleConv2d(6, 5),
        lambda: nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(6, 5, 3, 1, 1, bias=False)),
        (2, 6, 7, 5),
    ),
    "latent": (
        lambda: layers.LatentConv(6, 5),
        lambda: nn.Sequential(nn.Unflatten(1, (6, 1, 1)), nn.ConvTranspose2d(6, 5, 4, bias=False)),
        (2, 6),
    ),
    "linear": (lambda: layers.SpectralLinear(6, 5), lambda: nn.Linear(6, 5), (2, 6)),
}


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_spectral_layers_agree_with_those_of_torch(kind, memory_format):
    """torch.nn.utils.spectral_norm: three training steps, and then eval mode."""
    make, make_plain, shape = LAYERS[kind]
    layer, plain = make().double(), make_plain().double()
    conv = plain[-1] if isinstance(plain, nn.Sequential) else plain
    with torch.no_grad():
        conv.weight.copy_(layer.weight)
        if layer.bias is not None:
            conv.bias.copy_(layer.bias)
    nn.utils.spectral_norm(conv)
    conv.weight_u.copy_(layer.u)
    conv.weight_v.copy_(layer.v)
    layer.to(memory_format=memory_format)
    optimizers = [torch.optim.SGD([parameter], lr=0.1) for parameter in (layer.weight, conv.weight_orig)]
    for _ in range(3):
        x = torch.randn(shape, dtype=torch.float64)
        layer.advance()
        before = layer.u.clone()
        for module, optimizer in zip((layer, plain), optimizers, strict=True):
            optimizer.zero_grad()
            output = module(x)
            output.sin().sum().backward()
            optimizer.step()
        assert torch.equal(layer.u, before)
    layer.eval()
    plain.eval()
    assert torch.allclose(layer.u, conv.weight_u, atol=1e-9)
    assert torch.allclose(layer.v, conv.weight_v, atol=1e-9)
    assert torch.allclose(layer.weight, conv.weight_orig, atol=1e-9)
    assert torch.allclose(layer(x), plain(x), atol=1e-9)


def test_a_frozen_layer_keeps_its_kernel_until_something_changes():
    layer = layers.SpectralConv2d(4, 4, 3).requires_grad_(False)
    first, u = layer.kernel(), layer.u.clone()
    layer.advance()
    assert torch.equal(layer.u, u)
    assert layer.kernel() is first
    with torch.no_grad():
        layer.weight.mul_(2)
    assert layer.kernel() is not first
    assert torch.allclose(layer.kernel(), first)  # sigma doubled as well


def test_a_forward_of_an_older_sigma_can_still_be_differentiated():
    layer = layers.SpectralConv2d(4, 4, 3)
    x = torch.randn(1, 4, 5, 5)
    expected = torch.autograd.grad(layer(x).square().sum(), layer.weight)[0]
    loss = layer(x).square().sum()
    layer.advance()
    assert torch.equal(torch.autograd.grad(loss, layer.weight)[0], expected)


def test_noise_is_fresh_in_both_modes_and_starts_at_zero():
    noise, x = layers.Noise(), torch.randn(3, 4, 5, 5)
    assert torch.equal(noise(x), x)
    nn.init.ones_(noise.weight)
    for mode in (True, False):
        noise.train(mode)
        added = noise(x) - x
        assert torch.allclose(added, added[:, :1].expand_as(added), atol=1e-6)  # one for all channels
        assert not torch.allclose(noise(x), noise(x))
        assert added[:, 0].std().item() == pytest.approx(1, abs=0.4)


def test_batch_norm_is_asked_of_the_core(monkeypatch):
    """One function normalises, so that the statistics are those of all processes."""
    calls = []

    def counted(*args):
        calls.append(args[0].shape[1])
        return F.batch_norm(*args)

    monkeypatch.setattr(layers, "batch_norm", counted)
    for classes in (0, 2):
        calls.clear()
        generator = Generator(GeneratorFacts(size=64, width=4, latent_dim=8, classes=classes))
        generator(torch.randn(2, 8), generator.embed(torch.tensor([0, 0])))
        assert calls == [128, 64, 64, 32, 32, 16, 16, 16, 16]


def test_latents_are_scaled_and_so_cannot_be_truncated():
    made = Generator(GeneratorFacts(size=64, width=4)).eval()
    z = made.latents(5, torch.Generator().manual_seed(1))
    torch.testing.assert_close(z.square().mean(1), torch.ones(5))
    torch.testing.assert_close(made(z, torch.zeros(5, 0)), made(7 * z, torch.zeros(5, 0)), rtol=0, atol=1e-4)
    assert not hasattr(Generator(GeneratorFacts(size=64, width=4, original=True)), "latents")
