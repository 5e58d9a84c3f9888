"""Both plugins through the conformance kit, and what is special about them."""

from typing import ClassVar

import pytest
import torch
from fewgan_projected.architecture import Options, build, read, write
from fewgan_projected.backbone import identity
from fewgan_projected.visionaided import plugin as visionaided
from torch import nn

import fewgan
from fewgan import run, storage
from fewgan.plugin import UsageError
from fewgan.registry import choose
from fewgan.testing import ArchitectureTests, RegularizerTests
from fewgan.testing.base import QUIET, config, install_tiny, networks
from fewgan.training import batches, loop, session
from fewgan.training.steps import Clock, discriminator_step


@pytest.fixture(autouse=True)
def _tiny(tmp_path_factory, monkeypatch):
    monkeypatch.syspath_prepend(str(install_tiny(tmp_path_factory.getbasetemp() / "fewgan-tiny")))


class TestFastgan(ArchitectureTests):
    plugin = "fastgan"
    size = 64
    options: ClassVar = {"width": 4, "separable": True}


class TestBigFastgan(ArchitectureTests):
    plugin = "fastgan"
    size = 64
    options: ClassVar = {"width": 4, "lite": False, "separable": False}
    test_its_options_are_in_help = None  # shown by the class above
    test_it_trains_resumes_and_samples_from_its_files = None


class TestVisionAided(RegularizerTests):
    plugin = "visionaided"
    options: ClassVar = {"channels": 4}


class TestVisionAidedAlone(RegularizerTests):
    plugin = "visionaided"
    options: ClassVar = {"channels": 4, "alone": True}
    test_its_options_are_in_help = None  # shown by the class above


def test_the_frozen_features_are_in_no_checkpoint_and_the_run_says_what_it_learned_from(tmp_path):
    chosen = (choose("regularizers", "visionaided", visionaided.options(channels=4)),)
    folder = loop.train(config(tmp_path, regularizers=chosen, steps=1), QUIET).folder
    tensors, _ = storage.read_tensors(run.checkpoints(folder)[-1][1])
    names = [name for name in tensors if "backbone" in name]
    assert names == ["regularizer.visionaided.discriminator.backbone.identity"]
    assert run.read_config(folder)["learned_from"] == [identity(False)]


def test_sampling_builds_no_d_and_loads_no_features(tmp_path, monkeypatch):
    chosen = choose("architectures", "fastgan", Options(width=4))
    folder = loop.train(config(tmp_path, dataset_size=64, architecture=chosen, size=64, steps=1), QUIET).folder
    monkeypatch.setattr("fewgan_projected.backbone.pretrained", lambda **_: 1 / 0)
    assert fewgan.load(folder / run.GENERATOR).sample(2).shape == (2, 3, 64, 64)


def test_a_width_without_channels_at_its_size_is_told():
    with pytest.raises(UsageError, match="--fastgan-width 4 leaves no channels at 1024 px; choose 8 or more"):
        build(Options(width=4), size=1024, classes=0)


def test_alone_the_core_runs_no_d_of_its_own(monkeypatch):
    made = visionaided.build(visionaided.options(channels=4, alone=True), networks=networks())
    assert made.adversarial is False
    assert visionaided.build(visionaided.options(channels=4), networks=networks()).adversarial is True


class Penalty(nn.Module):
    """R1: the squared gradient of the mean logit of each photo."""

    def discriminator_loss(self, step):
        images = step.real.clone().requires_grad_()
        logits = step.discriminator(images, step.labels)
        self.count = logits.shape[1]
        (slope,) = torch.autograd.grad(logits.mean(1).sum(), images, create_graph=True)
        return slope.square().sum((1, 2, 3)).mean()


def test_alone_r1_penalises_the_discriminators_that_judge(tmp_path):
    """There is no D of the run to penalise. The gradient of the gradient goes through the frozen features."""
    chosen = (choose("regularizers", "visionaided", visionaided.options(channels=4, alone=True)),)
    work = session.begin(config(tmp_path, regularizers=chosen), QUIET)
    team, penalty = work.state.players, Penalty()
    team.regularizers["visionaided"].weight = 0.0
    team.regularizers["penalty"] = penalty
    discriminator_step(team, work.state.optimizers["discriminator"], [batches.batch(work)], Clock())
    assert penalty.count > 1
    judges = team.regularizers["visionaided"].discriminator.parameters()
    assert any(p.grad is not None and p.grad.any() for p in judges)
    assert all(p.grad is None or not p.grad.any() for p in team.discriminator.parameters())


def test_what_the_published_code_writes_is_read_as_a_source():
    torch.manual_seed(0)
    made = build(Options(width=4, side=224, separable=False), size=64, classes=0).with_discriminator()
    files = write(made)
    # The published code writes no more.
    found = read({"G_ema.pth": files["G_ema.pth"], "snapshot.pkl:D": files["D.pth"]})
    assert (found.size, found.options.width, found.options.separable, found.options.side) == (64, 4, False, 224)
    again = build(found.options, size=found.size, classes=found.classes).with_discriminator()
    again.generator.load_state_dict(found.generator)
    again.discriminator.load_state_dict(found.discriminator)
    z = torch.randn(2, 256)
    for module in (made.generator, again.generator, made.discriminator, again.discriminator):
        module.eval()
    images = made.generator(z, torch.zeros(2, 0))
    assert torch.allclose(again.generator(z, torch.zeros(2, 0)), images)
    assert torch.allclose(again.discriminator(images, None), made.discriminator(images, None), atol=1e-5)
    assert read({"other.pth": {"x": torch.zeros(1)}}) is None


@pytest.mark.parametrize("side", [None, 96, 224])
def test_what_is_exported_is_read_with_the_side_that_d_saw(tmp_path, side):
    made = build(Options(width=4, side=side), size=64, classes=0).with_discriminator()
    for name, content in write(made).items():
        torch.save(content, tmp_path / name)
    again = fewgan.load(tmp_path).discriminator.eval()
    images = torch.rand(2, 3, 64, 64) * 2 - 1
    assert again.side == (side or 64)
    assert torch.allclose(again(images, None), made.discriminator.eval()(images, None), atol=1e-5)
    torch.save({"discriminator_side": -1}, tmp_path / "arguments.pth")
    with pytest.raises(UsageError, match="discriminator_side is '-1': the file is damaged"):
        fewgan.load(tmp_path)
