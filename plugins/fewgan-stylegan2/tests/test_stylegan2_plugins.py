"""The three plugins through the conformance kit, and their defaults, options and messages."""

import json
from typing import ClassVar

import pytest
import torch
from fewgan_stylegan2 import losses
from fewgan_stylegan2.architecture import Options, build
from fewgan_stylegan2.pathlength import plugin as pathlength
from fewgan_stylegan2.r1 import plugin as r1
from safetensors.torch import load_file
from test_golden import GOLDEN, io, near, numbers

from fewgan.errors import UsageError
from fewgan.plugin import Step
from fewgan.testing import ArchitectureTests, RegularizerTests
from fewgan.testing.base import networks

TINY = {"channel_base": 256, "channel_max": 8, "latent_dim": 8}


class TestStylegan2(ArchitectureTests):
    plugin, size = "stylegan2", 16
    options: ClassVar = TINY


class TestOrig(ArchitectureTests):
    plugin, size = "stylegan2", 16
    options: ClassVar = TINY | {"config": "cifar", "group": 2, "clamp": 0.0}
    test_its_options_are_in_help = None  # shown by the class above
    test_it_trains_resumes_and_samples_from_its_files = None


class TestR1(RegularizerTests):
    plugin = "r1"
    options: ClassVar = {"gamma": 1.0}


def test_the_configuration_decides_and_single_options_win():
    made = build(Options(**TINY), size=32, classes=0).with_discriminator()
    assert made.generator.shape.channels == {4: 8, 8: 8, 16: 8, 32: 8}
    assert (made.generator.shape.mapping_layers, made.generator.shape.clamp, made.generator.mixing) == (2, 256, 0.9)
    assert made.discriminator.shape.channels == made.generator.shape.channels
    assert made.discriminator.r1_gamma == pytest.approx(0.0002 * 32 * 32 / 32)
    options = Options(config="stylegan2", mapping_layers=3, clamp=0.0, mixing=0.5, noise="none", cutoff=2, **TINY)
    made = build(options, size=64, classes=2).with_discriminator()
    generator = made.generator
    assert (generator.shape.mapping_layers, generator.shape.clamp, generator.shape.classes) == (3, None, 2)
    assert (generator.mixing, generator.noise, generator.cutoff) == (0.5, "none", 2)
    assert made.discriminator.r1_gamma == 10
    made = build(Options(config="cifar", **TINY), size=32, classes=0).with_discriminator()
    assert (made.generator.mixing, made.discriminator.shape.architecture, made.discriminator.shape.group) == (
        0, "orig", 32,
    )  # fmt: skip


def test_training_follows_the_reference():
    defaults = build(Options(**TINY), size=32, classes=0).defaults
    assert (defaults.loss, defaults.regularizers) == ("nonsaturating", ("r1", "pathlength"))
    assert defaults.generator.learning_rate == pytest.approx(0.0025 * 4 / 5)
    assert defaults.generator.betas == (0, pytest.approx(0.99**0.8))
    assert defaults.discriminator.learning_rate == pytest.approx(0.0025 * 16 / 17)
    assert defaults.discriminator.betas == (0, pytest.approx(0.99 ** (16 / 17)))
    assert build(Options(config="cifar", **TINY), size=32, classes=0).defaults.regularizers == ("r1",)
    # At its own batch of 64 this configuration has a half-life of 20,000 images; the core scales from 32.
    assert build(Options(config="paper256", **TINY), size=32, classes=0).defaults.ema_images == 10_000


@pytest.mark.parametrize(
    ("options", "size", "message"),
    [
        ({}, 48, "stylegan2 has no 48 px network; choose --size 8, 16, 32"),
        ({"config": "paper"}, 32, "--stylegan2-config paper: unknown; choose auto, stylegan2, paper256"),
        ({"noise": "white"}, 32, "--stylegan2-noise white: unknown; choose random, const or none"),
        ({"architecture": "skip"}, 32, "--stylegan2-architecture skip: unknown; choose resnet or orig"),
    ],
)
def test_what_it_cannot_serve_is_said_in_one_line(options, size, message):
    with pytest.raises(UsageError) as error:
        build(Options(**TINY, **options), size=size, classes=0)
    assert str(error.value).startswith(message)


SHAPE = {"size": 32, "channels": {"4": 8, "8": 8, "16": 8, "32": 8}}


def test_a_shape_is_taken_and_another_size_refused():
    made = build(Options(generator_shape=json.dumps(SHAPE | {"z_dim": 5, "w_dim": 6})), size=32, classes=2)
    assert (made.generator.latent_dim, made.generator.shape.w_dim, made.generator.classes) == (5, 6, 2)
    shape = {"size": 64, "channels": {"4": 8}}
    with pytest.raises(UsageError, match="--size 32: these networks are of 64 px"):
        build(Options(generator_shape=json.dumps(shape)), size=32, classes=0)


@pytest.mark.parametrize(
    "shape",
    [
        "{",
        "[]",
        "3",
        json.dumps({"size": 32}),
        json.dumps(SHAPE | {"channels": {"4": 8}}),
        json.dumps(SHAPE | {"channels": {"4": 8, "8": 8, "16": 8, "32": "8"}}),
        json.dumps(SHAPE | {"surprise": 1}),
        json.dumps(SHAPE | {"mapping_layers": 1000}),
        json.dumps(SHAPE | {"z_dim": -1}),
    ],
)
def test_a_damaged_shape_is_one_line(shape):
    with pytest.raises(UsageError, match="stylegan2: the shape of the networks in this file is damaged"):
        build(Options(generator_shape=shape), size=32, classes=0)


def test_weights_come_from_the_architecture_unless_given():
    made = build(Options(config="paper1024", **TINY), size=32, classes=0).with_discriminator()
    assert r1.build(r1.options(), networks=made).gamma == 2
    assert r1.build(r1.options(gamma=0.5), networks=made).gamma == 0.5
    assert r1.build(r1.options(), networks=networks()).gamma == pytest.approx(0.0002 * 16 * 16 / 32)
    assert pathlength.build(pathlength.options(), networks=made).weight == 2
    assert pathlength.build(pathlength.options(weight=3), networks=made).weight == 3
    made = build(Options(config="cifar", **TINY), size=32, classes=0).with_discriminator()
    assert pathlength.build(pathlength.options(), networks=made).weight == 2


def test_path_length_needs_a_w_space():
    with pytest.raises(UsageError, match="--pathlength: the generator has no w space; leave it out or choose --arch"):
        pathlength.build(pathlength.options(), networks=networks())


def step(made, mapper=None, **parts):
    """A step with these parts alone."""
    names = Step.__dataclass_fields__

    def generate(z, labels):
        z = z if mapper is None else mapper(z)
        return made.generator(z, made.generator.embed(torch.zeros(len(z), dtype=torch.int64)))

    known = {"generator": made.generator, "discriminator": made.discriminator, "index": 0, "generate": generate}
    return Step(**(dict.fromkeys(names) | known | parts))


def test_r1_is_the_published_number_and_goes_through_the_augmentation():
    options = Options(channel_base=512, channel_max=32, latent_dim=32, clamp=0.0)
    made = build(options, size=32, classes=0).with_discriminator()
    made.discriminator.load_state_dict(load_file(GOLDEN / "D.safetensors"))
    module = r1.build(r1.options(gamma=float(numbers["r1_gamma"])), networks=made)
    near(module.discriminator_loss(step(made, real=io["x"])), numbers["r1_loss"])
    doubled = step(made, real=io["x"] / 2, augment=lambda images: images * 2)
    near(module.discriminator_loss(doubled), 4 * numbers["r1_loss"])
    assert module.every == 16


def test_r1_of_several_logits_an_image_is_that_of_their_mean():
    """As the discriminators of other packages have, with one for each place in the image."""
    images = torch.randn(3, 3, 4, 4, requires_grad=True)
    slopes = torch.randn(5, 48)
    penalties = losses.r1_penalties(images.flatten(1) @ slopes.t(), images)
    assert torch.allclose(penalties, slopes.mean(0).square().sum().expand(3))


def test_path_length_follows_half_a_batch():
    torch.manual_seed(0)
    made = build(Options(**TINY), size=32, classes=2).with_discriminator()
    module = pathlength.build(pathlength.options(weight=1.0), networks=made)
    counts = []
    made.generator.synthesis.register_forward_hook(lambda _, given, __: counts.append(len(given[0])))
    loss = module.generator_loss(step(made, z=torch.randn(7, 8), fake_labels=torch.arange(7) % 2))
    assert counts == [3]  # half the batch, once
    assert not made.generator.synthesis._forward_pre_hooks
    assert module.mean > 0
    # From a mean of 0, a hundredth of the way: the loss is nearly the mean square of the lengths themselves.
    assert loss > (99 * module.mean) ** 2 * 0.999
    loss.backward()
    assert made.generator.mapping.fc0.weight.grad.any()
    assert made.generator.synthesis.b32.conv1.weight.grad.any()
    assert module.every == 4


def test_path_length_is_of_the_lengths_of_all_processes(monkeypatch):
    torch.manual_seed(0)
    made = build(Options(**TINY), size=32, classes=0).with_discriminator()
    own, others = torch.tensor([1.0, 2.0], requires_grad=True), torch.tensor([4.0, 9.0])
    monkeypatch.setattr("fewgan_stylegan2.losses.path_lengths", lambda images, ws: own)
    monkeypatch.setattr("fewgan_stylegan2.regularizers.all_gather", lambda rows: torch.cat((rows, others)))
    module = pathlength.build(pathlength.options(weight=1.0), networks=made)
    loss = module.generator_loss(step(made, z=torch.randn(4, 8)))
    assert module.mean.item() == pytest.approx(0.01 * 4)
    assert loss.item() == pytest.approx(((torch.cat((own, others)) - 0.04) ** 2).mean().item())
    assert torch.autograd.grad(loss, own)[0].any()


def test_path_length_goes_through_the_mapper():
    torch.manual_seed(0)
    made = build(Options(**TINY), size=32, classes=0).with_discriminator()
    module = pathlength.build(pathlength.options(), networks=made)
    mapper = torch.nn.Linear(8, 8)
    module.generator_loss(step(made, mapper, z=torch.randn(4, 8))).backward()
    assert mapper.weight.grad.any()


def test_path_length_where_parts_are_frozen():
    made = build(Options(**TINY), size=32, classes=0).with_discriminator()
    module = pathlength.build(pathlength.options(), networks=made)
    made.generator.mapping.requires_grad_(False)
    given = step(made, z=torch.randn(4, 8), fake=torch.zeros(()))
    loss = module.generator_loss(given)
    loss.backward()
    assert made.generator.synthesis.b32.conv1.weight.grad.any()
    assert made.generator.mapping.fc0.weight.grad is None
    before = module.mean.clone()
    made.generator.requires_grad_(False)
    assert module.generator_loss(given).item() == 0
    assert torch.equal(module.mean, before)
