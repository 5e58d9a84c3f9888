"""BigGAN against the numbers of the public reference code."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from fewgan.architectures.biggan import build, plugin
from fewgan.plugin import Networks

SHARED = Path(__file__).parents[2] / "shared" / "golden"
OWN = Path(__file__).parent / "golden"
FOLDERS = [OWN / "biggan-32", *(SHARED / f"biggan-{size}" for size in (32, 64, 128))]


def files(folder: Path) -> dict[str, dict[str, Tensor]]:
    return {path.name: torch.load(path, weights_only=True) for path in folder.glob("*.pth")}


def networks_of(state: dict[str, dict[str, Tensor]], dtype: torch.dtype = torch.float32) -> Networks:
    pretrained = plugin.read(state)
    networks = build(pretrained.options, size=pretrained.size, classes=pretrained.classes)
    networks.generator.load_state_dict(pretrained.generator)
    networks.discriminator.load_state_dict(pretrained.discriminator)
    networks.generator.to(dtype)
    networks.discriminator.to(dtype)
    return networks


@pytest.fixture(params=FOLDERS, ids=lambda folder: f"{folder.parents[1].name}-{folder.name}")
def folder(request):
    if not request.param.is_dir():
        pytest.skip("no golden numbers here")
    return request.param


def close(value: Tensor, reference: Tensor, tolerance: float = 1e-4) -> None:
    error = (value - reference).abs().max() / reference.abs().max()
    assert error <= tolerance, f"relative error {error:.2e}"


def relative(value: Tensor, reference: Tensor) -> float:
    return float((value - reference).norm() / reference.norm())


@pytest.mark.parametrize("channels_last", [False, True])
def test_eval_mode(folder, channels_last):
    networks, io = networks_of(files(folder)), load_file(folder / "io.safetensors")
    generator, discriminator = networks.generator.eval(), networks.discriminator.eval()
    if channels_last:
        generator.to(memory_format=torch.channels_last)
        discriminator.to(memory_format=torch.channels_last)
    with torch.no_grad():
        image = generator(io["z"], generator.embed(io["y"]))
        close(image, io["image_eval"])
        close(discriminator(io["x"], io["y"])[:, None], io["logit_real_eval"])
        close(discriminator(io["image_eval"], io["y"])[:, None], io["logit_fake_eval"])


@pytest.mark.parametrize("advanced", [False, True])
def test_training_mode_is_one_power_iteration(folder, advanced):
    networks, io = networks_of(files(folder)), load_file(folder / "io.safetensors")
    generator, discriminator = networks.generator, networks.discriminator
    if advanced:
        generator.advance()
        discriminator.advance()
        close(generator.linear.sv0, io["sigma_linear_after_train"])
    with torch.no_grad():
        close(generator(io["z"], generator.embed(io["y"])), io["image_train"])
        close(discriminator(io["x"], io["y"])[:, None], io["logit_real_train"])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients(folder, dtype):
    networks, io = networks_of(files(folder), dtype), load_file(folder / "io.safetensors")
    generator, discriminator = networks.generator, networks.discriminator.eval()
    generator.advance()
    z = io["z"].to(dtype).requires_grad_()
    loss = -discriminator(generator(z, generator.embed(io["y"])), io["y"]).mean()
    loss.backward()
    close(loss.detach().float()[None], io["hinge_generator_loss"])
    names = dict(generator.named_parameters())
    assert relative(z.grad.float(), io["grad_z"]) <= 1e-3
    for name in ("linear.weight", "blocks.0.0.conv1.weight"):
        assert relative(names[name].grad.float(), io[f"grad_G.{name}"]) <= 1e-3
