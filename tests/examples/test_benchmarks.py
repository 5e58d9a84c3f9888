"""The yardstick of the benchmarks gives the numbers of the public reference code, and the scripts run."""

from pathlib import Path

import forks
import pytest
import torch
from goldens import GOLDEN, found
from safetensors.torch import load_file

BENCHMARKS = Path(__file__).parents[2] / "examples" / "benchmarks"
ATTENTION = {32: [16], 64: [32], 128: [64]}


@pytest.fixture
def plain(monkeypatch):
    """The package examples/benchmarks/plain."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    import plain.augmentation
    import plain.networks
    import plain.training

    return plain


@pytest.fixture(params=found("biggan-32", "biggan-64", "biggan-128"), ids=str)
def golden(request, plain):
    """(G, D, numbers) of one golden folder."""
    states = {name: torch.load(request.param / f"{name}.pth", weights_only=True) for name in ("G_ema", "D")}
    size = int(request.param.name.partition("-")[2])
    width, (classes, features) = 8, states["G_ema"]["shared.weight"].shape
    generator = plain.networks.Generator(size, width, ATTENTION[size], classes, shared_dim=features)
    discriminator = plain.networks.Discriminator(size, width, ATTENTION[size], classes)
    generator.load_state_dict(states["G_ema"])
    discriminator.load_state_dict(states["D"])
    return generator, discriminator, load_file(request.param / "io.safetensors")


def close(value, reference):
    error = (value - reference).abs().max() / reference.abs().max()
    assert error <= 1e-4, f"relative error {error:.2e}"


@torch.no_grad()
def test_plain_biggan_in_eval_mode(golden):
    generator, discriminator, io = golden
    generator.eval()
    discriminator.eval()
    close(generator(io["z"], generator.embed(io["y"])), io["image_eval"])
    close(discriminator(io["x"], io["y"]), io["logit_real_eval"])
    close(discriminator(io["image_eval"], io["y"]), io["logit_fake_eval"])


@torch.no_grad()
def test_plain_biggan_in_training_mode(golden):
    generator, discriminator, io = golden
    close(generator(io["z"], generator.embed(io["y"])), io["image_train"])
    close(discriminator(io["x"], io["y"]), io["logit_real_train"])
    close(generator.linear.sv0, io["sigma_linear_after_train"])


def test_plain_gradients_of_the_hinge_loss(golden):
    """In float64: a ReLU within float32's rounding of zero may flip, which ones it does depends on the processor."""
    generator, discriminator, io = golden
    generator.double()
    discriminator.double().eval()
    z = io["z"].double().requires_grad_()
    loss = -discriminator(generator(z, generator.embed(io["y"])), io["y"]).mean()
    loss.backward()
    close(loss.detach().float()[None], io["hinge_generator_loss"])
    gradients = {"grad_z": z.grad}
    parameters = dict(generator.named_parameters())
    for name in ("linear.weight", "blocks.0.0.conv1.weight"):
        gradients[f"grad_G.{name}"] = parameters[name].grad
    for name, gradient in gradients.items():
        assert (gradient.float() - io[name]).norm() / io[name].norm() <= 1e-6


@torch.no_grad()
def test_plain_miner(plain):
    state, io = (
        torch.load(GOLDEN / "minegan-64/M.pth", weights_only=True),
        load_file(GOLDEN / "minegan-64/io.safetensors"),
    )
    miner = plain.networks.Miner(120, len(state["linear8.weight"])).eval()
    miner.load_state_dict({name: tensor for name, tensor in state.items() if name != "shared.weight"})
    z, embedding = miner(io["z"])
    close(z, io["mined_z"])
    close(embedding, io["mined_class_embedding"])


@pytest.mark.parametrize("name", ["brightness", "saturation", "contrast", "translation", "cutout"])
def test_plain_diffaugment(plain, name):
    numbers = load_file(GOLDEN / "diffaugment/ops.safetensors")
    x = numbers["x"].requires_grad_()
    draws = [numbers[key] for key in (f"{name}.draw0", f"{name}.draw1") if key in numbers]
    output = getattr(plain.augmentation, name)(x, *draws)
    weights = torch.linspace(-1, 1, 5 * 3 * 32 * 32).view(5, 3, 32, 32)[: len(x)]
    (gradient,) = torch.autograd.grad((output * weights).sum(), x)
    torch.testing.assert_close(output, numbers[f"{name}.output"], rtol=0, atol=1e-6)
    torch.testing.assert_close(gradient, numbers[f"{name}.grad_x"], rtol=0, atol=1e-6)


@pytest.mark.parametrize("mining", [None, 1, 2])
def test_plain_step_moves_what_learns(plain, mining):
    torch.manual_seed(0)
    photos = torch.randint(0, 256, (6, 3, 32, 32), dtype=torch.uint8)
    networks = plain.training.networks(32, 8, [16], classes=0 if mining is None else 1)
    training = plain.training.Training(*networks, photos, batch=4, d_steps=1, mining=mining, diffaugment=True, cr=True)
    modules = {"G": training.generator, "D": training.discriminator, "M": training.miner}
    before = {name: [p.detach().clone() for p in net.parameters()] for name, net in modules.items() if net}
    loss_d, loss_g = training.step()
    assert loss_d.isfinite()
    assert loss_g.isfinite()
    moved = {
        name: any(not torch.equal(p, old) for p, old in zip(modules[name].parameters(), olds, strict=True))
        for name, olds in before.items()
    }
    assert moved == {name: not (name == "G" and mining == 1) for name in before}


def test_training_is_timed_on_both_sides():
    words = "--sizes 32 --width 8 --batch 2 --threads 1 --steps 1 --quick --cases cr"
    done = forks.run([str(BENCHMARKS / "train.py"), *words.split()])
    assert done.returncode == 0, done.stderr
    rows = [line for line in done.stdout.splitlines() if line.startswith("| ") and not line.startswith("| ---")]
    head, *cases = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    assert len(cases) >= 1
    for _, size, width, plain, own, times, *others in cases:
        assert (size, width) == ("32", "8")
        assert len(others) == 3
        for seconds in (plain, own, times):
            assert float(seconds.split()[0]) > 0
    assert head[0] == "case"
