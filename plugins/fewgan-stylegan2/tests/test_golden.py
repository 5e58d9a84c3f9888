"""Both implementations, this one and the literal one of the benchmark, against numbers of the reference."""

import importlib.util
from pathlib import Path

import pytest
import torch
from fewgan_stylegan2 import losses, winograd
from fewgan_stylegan2.discriminator import Discriminator, DiscriminatorShape
from fewgan_stylegan2.generator import Generator, GeneratorShape
from safetensors.torch import load_file

GOLDEN = Path(__file__).parent / "golden" / "stylegan2-32"
CHANNELS = {4: 32, 8: 32, 16: 32, 32: 16}
io = load_file(GOLDEN / "io.safetensors")
numbers = load_file(GOLDEN / "losses.safetensors")

_spec = importlib.util.spec_from_file_location("stylegan2_plain", Path(__file__).parents[1] / "benchmarks" / "plain.py")
plain = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(plain)


def near(actual, expected, tolerance=1e-4):
    assert actual.shape == expected.shape
    error = (actual - expected).abs().max() / expected.abs().max()
    assert error <= tolerance, f"max error {error:.1e} of the largest value"


def near_gradient(actual, expected, tolerance=1e-3):
    error = (actual - expected).norm() / expected.norm()
    assert error <= tolerance, f"relative L2 error {error:.1e}"


@pytest.fixture(params=["ordinary", "winograd"], autouse=True)
def _convolution(request, monkeypatch):
    """These networks are too narrow for Winograd's to be chosen; the numbers must be the same with it."""
    if request.param == "winograd":
        monkeypatch.setattr(winograd, "serves", lambda x, weight: weight.shape[-1] == 3)


@pytest.fixture
def generator():
    shape = GeneratorShape(size=32, channels=CHANNELS, z_dim=32, w_dim=32, mapping_layers=2)
    network = Generator(shape, noise="const")
    network.load_state_dict(load_file(GOLDEN / "G_ema.safetensors"))
    return network.eval()


@pytest.fixture
def discriminator():
    network = Discriminator(DiscriminatorShape(size=32, channels=CHANNELS))
    network.load_state_dict(load_file(GOLDEN / "D.safetensors"))
    return network.eval()


def test_images_and_w(generator):
    z, none = io["z"], torch.zeros(3, 0)
    with torch.no_grad():
        near(generator.styles(z, none), io["w"], 1e-5)
        near(generator(z, none), io["image_noise_const"], 1e-5)
        near(generator.sample(z, none, 0.5), io["image_psi0.5"], 1e-5)
        near(generator.sample(z, none, None), io["image_noise_const"], 1e-5)
        generator.noise = "none"
        near(generator(z, none), io["image_noise_none"], 1e-5)


def test_logits(discriminator):
    with torch.no_grad():
        near(discriminator(io["x"], None), io["logits"].squeeze(1), 1e-5)


def test_adversarial_losses(generator, discriminator):
    with torch.no_grad():
        fakes = generator(io["z"], torch.zeros(3, 0))
        fakes = torch.cat((fakes, fakes[:1]))
        softplus = torch.nn.functional.softplus
        near(softplus(-discriminator(fakes, None)).mean(), numbers["g_loss"], 1e-5)
        d_loss = softplus(discriminator(fakes, None)).mean() + softplus(-discriminator(io["x"], None)).mean()
        near(d_loss, numbers["d_loss"], 1e-5)


def test_r1_and_its_gradients(discriminator):
    images = io["x"].clone().requires_grad_()
    logits = discriminator(images, None)
    near(losses.r1_penalties(logits, images), numbers["r1_penalty"], 1e-5)
    loss = losses.r1(discriminator(images, None), images, float(numbers["r1_gamma"]))
    near(loss, numbers["r1_loss"], 1e-5)
    loss.backward()
    check_gradients(discriminator, "r1_grad.")


def test_path_length_and_its_gradients(generator):
    """In float64: some CPUs' float32 convolutions are 6e-5 off in a length."""
    ws = generator.double().styles(io["z"].double(), torch.zeros(3, 0))
    images = generator.synthesis(ws, "const")
    lengths = losses.path_lengths(images, ws, numbers["pl_noise"].double())
    near(lengths, numbers["pl_lengths"], 1e-5)
    loss, mean = losses.path_length(lengths, numbers["pl_mean_before"])
    near(mean, numbers["pl_mean_after"], 1e-5)
    near((lengths - mean).square(), numbers["pl_penalty"], 1e-5)
    near(loss, numbers["pl_loss"], 1e-5)
    loss.backward()
    check_gradients(generator, "pl_grad.")


def check_gradients(network, prefix):
    expected = {name.removeprefix(prefix): value for name, value in numbers.items() if name.startswith(prefix)}
    assert expected
    parameters = dict(network.named_parameters())
    for name, value in expected.items():
        if not value.any():
            assert parameters[name].grad is None or not parameters[name].grad.any()
            continue
        near_gradient(parameters[name].grad, value)


def test_the_literal_implementation():
    state, none = load_file(GOLDEN / "G_ema.safetensors"), torch.zeros(3, 0)
    near(plain.generator(state, io["z"], none, "const"), io["image_noise_const"], 1e-5)
    near(plain.generator(state, io["z"], none, "const", 0.5), io["image_psi0.5"], 1e-5)
    near(plain.generator(state, io["z"], none, "none"), io["image_noise_none"], 1e-5)
    near(plain.discriminator(load_file(GOLDEN / "D.safetensors"), io["x"]), io["logits"].squeeze(1), 1e-5)
