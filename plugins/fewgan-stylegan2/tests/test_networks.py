"""The networks against the literal ones, and what they do in training mode, in bfloat16 and at every size."""

import pytest
import torch
from fewgan_stylegan2 import losses
from fewgan_stylegan2.discriminator import Discriminator, DiscriminatorShape, standard_deviation
from fewgan_stylegan2.generator import Generator, GeneratorShape, sides
from fewgan_stylegan2.modulation import demodulation
from hypothesis import given, settings
from hypothesis import strategies as st
from test_golden import near, near_gradient, plain
from test_modulation import F64, random


def networks(size=32, classes=0, clamp=None, **kwargs):
    torch.manual_seed(0)
    channels = {side: min(512 // side, 24) + 1 for side in sides(size)}
    generator = Generator(
        GeneratorShape(
            size=size, channels=channels, classes=classes, z_dim=12, w_dim=10, mapping_layers=2, clamp=clamp
        ),
        noise="const",
    )
    discriminator = Discriminator(
        DiscriminatorShape(
            size=size, channels=channels, classes=classes, clamp=clamp, mapping_layers=3 if classes else 8, **kwargs
        )
    )
    for name, parameter in [*generator.named_parameters(), *discriminator.named_parameters()]:
        if name.endswith(("bias", "noise_strength")):
            torch.nn.init.normal_(parameter, std=0.3)
    return generator.eval(), discriminator.eval()


@pytest.mark.parametrize("architecture", ["resnet", "orig"])
@pytest.mark.parametrize("clamp", [None, 0.7])
@pytest.mark.parametrize("classes", [0, 3])
def test_networks_agree_with_the_literal_ones(classes, clamp, architecture):
    generator, discriminator = networks(16, classes, clamp, architecture=architecture)
    generator.double(), discriminator.double()
    generator.mapping.track(torch.randn(5, 10, dtype=F64))
    z, labels = random(4, 12), torch.tensor([0, 2, 1, 2][:4]) % max(classes, 1)
    condition = generator.embed(labels)
    assert condition.shape == (4, classes)
    states = [
        dict(network.named_parameters()) | dict(network.named_buffers()) for network in (generator, discriminator)
    ]
    for images, expected in (
        (generator(z, condition), plain.generator(states[0], z, condition, "const", clamp=clamp)),
        (generator.sample(z, condition, 0.3), plain.generator(states[0], z, condition, "const", 0.3, clamp=clamp)),
    ):
        near(images, expected, 1e-9)
    one_hot = condition if classes else None
    near(
        discriminator(images, labels),
        plain.discriminator(states[1], images, one_hot, clamp=clamp),
        1e-9,
    )


def test_classes_steer_images_and_logits():
    generator, discriminator = networks(16, 3)
    z = torch.randn(1, 12).repeat(3, 1)
    images = generator(z, generator.embed(torch.arange(3)))
    assert (images[0] - images[1]).abs().mean() > 1e-2
    logits = [discriminator(images, torch.full((3,), label)) for label in range(3)]
    assert (logits[0] - logits[1]).abs().min() > 1e-5
    near(discriminator(images, None), torch.stack(logits).mean(dim=0))


@pytest.mark.parametrize("path", [False, True])
def test_second_order_losses_agree_with_the_literal_networks(path):
    generator, discriminator = networks(16, 2)
    generator.double(), discriminator.double()
    network = generator if path else discriminator
    state = dict(network.named_parameters()) | dict(network.named_buffers())
    labels = torch.tensor([0, 1, 0, 1])
    condition, z, x = generator.embed(labels), random(4, 12), random(4, 3, 16, 16)
    found = []
    for literal in (False, True):
        if path:
            ws = generator.styles(z, condition)
            images = plain.synthesis(state, ws, "const") if literal else generator.synthesis(ws, "const")
            loss, _ = losses.path_length(losses.path_lengths(images, ws, random(*images.shape)), torch.tensor(0.2))
        else:
            logits = plain.discriminator(state, x, condition) if literal else discriminator(x, labels)
            loss = losses.r1(logits, x, 2.0)
        parameters = [parameter for name, parameter in network.named_parameters() if not name.endswith("out.bias")]
        gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
        found.append([loss, *gradients])
    assert sum(gradient is not None for gradient in found[0]) > 10
    for one, other in zip(*found, strict=True):
        assert (one is None) == (other is None)
        if one is not None and other.abs().max() > 1e-12:
            near(one, other, 1e-8)


@given(st.integers(1, 12), st.integers(1, 8))
@settings(max_examples=30, deadline=None)
def test_standard_deviation_over_groups(count, group):
    x = random(count, 2, 3, 3, seed=group)
    y = standard_deviation(x, group)
    assert torch.equal(y[:, :2], x)
    size = max(divisor for divisor in range(1, group + 1) if count % divisor == 0 and divisor <= count)
    for image in range(count):
        members = x[image % (count // size) :: count // size]
        assert len(members) == size
        expected = (members.var(dim=0, correction=0) + 1e-8).sqrt().mean()
        near(y[image, 2], expected.expand(3, 3), 1e-9)


def test_training_mode_mixes_styles_and_moves_the_average():
    generator, _ = networks()
    generator.train()
    z, none = torch.randn(64, 12), torch.zeros(64, 0)
    generator.mixing = 0.0
    before = generator.mapping.w_avg.clone()
    ws = generator.styles(z, none)
    assert torch.equal(ws, ws[:, :1].expand_as(ws))
    near(generator.mapping.w_avg, before * 0.995 + 0.005 * ws[:, 0].mean(dim=0), 1e-5)
    generator.mixing = 1.0
    after = generator.mapping.w_avg.clone()
    seen = set()
    for _ in range(60):
        mixed = generator.styles(z, none)
        changed = (mixed != ws).any(dim=2)
        assert torch.equal(changed, changed[:1].expand_as(changed))  # one cutoff for the batch
        start = int(changed[0].float().argmax())
        assert changed[0, start:].all()
        seen.add(start)
    assert seen == set(range(1, 8))
    # The second z does not touch the average.
    near(generator.mapping.w_avg, ws[:, 0].mean(dim=0) * (1 - 0.995**60) + after * 0.995**60, 1e-4)
    generator.eval()
    kept = generator.mapping.w_avg.clone()
    assert torch.equal(generator.styles(z, none), ws)
    assert torch.equal(generator.mapping.w_avg, kept)


def test_behind_a_mapper_styles_are_mixed_with_those_of_mapped_latents(monkeypatch):
    generator, _ = networks()
    generator.train()
    generator.mixing, generator.mapped = 1.0, True
    monkeypatch.delattr(torch, "randn_like")
    z = torch.randn(5, 12, requires_grad=True)
    ws = generator.styles(z, torch.zeros(5, 0))
    assert torch.equal(ws[:, -1], ws[:, 0].roll(1, 0))
    (gradient,) = torch.autograd.grad(ws[0, -1].sum(), z)
    assert (gradient.abs().sum(1) > 0).tolist() == [False, False, False, False, True]


def test_style_mixing_fires_nine_times_in_ten():
    generator, _ = networks()
    generator.train()
    torch.manual_seed(0)
    z, none = torch.randn(1, 12), torch.zeros(1, 0)
    mixed = [bool((generator.styles(z, none).std(dim=1) > 0).any()) for _ in range(1500)]
    assert abs(sum(mixed) / len(mixed) - 0.9) < 0.03


def test_truncation_and_its_cutoff():
    generator, _ = networks()
    generator.mapping.track(torch.randn(9, 10) * 100)
    ws = generator.styles(torch.randn(2, 12), torch.zeros(2, 0))
    average = generator.mapping.w_avg.expand_as(ws)
    near(generator.truncated(ws, 0.0), average)
    near(generator.truncated(ws, 0.25), average + 0.25 * (ws - average))
    assert generator.truncated(ws, 1.0) is ws
    generator.cutoff = 3
    near(generator.truncated(ws, 0.0), torch.cat((average[:, :3], ws[:, 3:]), dim=1))


def test_noise_is_drawn_for_each_image_and_follows_the_seed():
    generator, _ = networks()
    z, none = torch.randn(1, 12).repeat(2, 1), torch.zeros(2, 0)
    for mode, differs in (("random", True), ("const", False), ("none", False)):
        generator.noise = mode
        torch.manual_seed(1)
        images = generator(z, none)
        assert ((images[0] - images[1]).abs().max() > 1e-3) == differs
        torch.manual_seed(1)
        assert torch.equal(generator(z, none), images)


@pytest.mark.parametrize("size", [32, 64, 128, 256, 512, 1024])
@pytest.mark.parametrize("classes", [0, 7])
def test_shapes_from_32_to_1024(size, classes):
    channels = {side: min(32768 // side, 512) for side in sides(size)}
    with torch.device("meta"):
        generator = Generator(GeneratorShape(size=size, channels=channels, classes=classes))
        discriminator = Discriminator(DiscriminatorShape(size=size, channels=channels, classes=classes))
        z, labels = torch.zeros(2, 512), torch.zeros(2, dtype=torch.int64)
        images = generator.synthesis(generator.mapping(z, torch.zeros(2, classes))[:, None].expand(-1, 18, -1))
        assert images.shape == (2, 3, size, size)
        assert discriminator(images, None).shape == (2,)
    del labels
    for network in (generator, discriminator):
        listed = [parameter for block in network.blocks() for parameter in block.parameters()]
        assert len({id(parameter) for parameter in listed}) == len(listed)
        assert {id(parameter) for parameter in listed} == {id(parameter) for parameter in network.parameters()}
        assert len(network.blocks()) == len(sides(size))


def test_published_numbers_of_parameters():
    """What the published code reports for configuration F at 1024 px."""
    channels = {side: min(32768 // side, 512) for side in sides(1024)}
    with torch.device("meta"):
        generator = Generator(GeneratorShape(size=1024, channels=channels))
        discriminator = Discriminator(DiscriminatorShape(size=1024, channels=channels))
    assert sum(parameter.numel() for parameter in generator.parameters()) == 30_370_060
    assert sum(parameter.numel() for parameter in discriminator.parameters()) == 29_012_513


def test_bfloat16_keeps_demodulation_and_spread_in_float32():
    generator, discriminator = networks(32)
    z, none = torch.randn(4, 12), torch.zeros(4, 0)
    images = generator(z, none)
    logits = discriminator(images, None)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = generator(z, none)
        assert rough.dtype == torch.float32
        assert generator.styles(z, none).dtype == torch.float32
        weight = torch.randn(512, 512, 3, 3).bfloat16()
        factor = demodulation(weight, torch.randn(2, 512).bfloat16())
        assert factor.dtype == torch.float32
        near_gradient(rough, images, 0.03)
        near_gradient(discriminator(images, None), logits, 0.05)
        x = torch.full((4, 2, 4, 4), 300.0).bfloat16()
        x[0] += 2
        assert standard_deviation(x, 4)[0, 2, 0, 0].item() == pytest.approx(0.75**0.5 / 2**0.5 * 2**0.5, rel=1e-3)
    rough.sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in generator.parameters() if parameter.grad is not None)


def test_second_order_works_in_bfloat16():
    generator, discriminator = networks(16)
    x = torch.randn(4, 3, 16, 16, requires_grad=True)
    exact = losses.r1_penalties(discriminator(x, None), x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = discriminator(x, None)
        ws = generator.styles(torch.randn(2, 12), torch.zeros(2, 0))
        images = generator.synthesis(ws, "const")
        rough = losses.r1_penalties(logits, x)
        lengths = losses.path_lengths(images, ws)
    near_gradient(rough, exact, 0.1)
    (rough.mean() + lengths.mean()).backward()
    assert all(p.grad.isfinite().all() for p in discriminator.parameters() if p.grad is not None)


@torch.no_grad()
def test_images_of_w_are_those_of_z():
    generator, _ = networks(classes=2)
    z, condition = torch.randn(3, 12), generator.embed(torch.tensor([0, 1, 1]))
    w = generator.mapping(z, condition)
    layers, length = generator.w_shape
    assert (layers, length) == (8, 10)
    near(generator.from_w(w), generator(z, condition))
    plus = w[:, None].repeat(1, layers, 1)
    near(generator.from_w(plus), generator(z, condition))
    plus[:, -1] += 1
    assert not torch.allclose(generator.from_w(plus), generator(z, condition), atol=1e-3)
