"""What ContraD changes for the rest of a training: the learning rates, and the discriminator that others see."""

import pytest
import torch
from contrad_steps import Whole
from fewgan_contrad import Options, build

from fewgan import registry
from fewgan.testing.base import QUIET, config, game, install_tiny, networks
from fewgan.training.plan import plan
from fewgan.training.steps import Clock, discriminator_step

SMALL = {"hidden": 16, "projection": 8}


def test_rates_rise_over_the_published_share_of_the_run():
    contrad = build(Options(**SMALL), networks=networks())
    # The published recipe at 128 px: 100,000 steps of 64 photos, of which 3,000 are the warm-up.
    factors = [contrad.schedule(64 * step, 64 * 100_000) for step in (0, 1, 1500, 2999, 3000, 99_999)]
    assert factors == [pytest.approx(factor) for factor in (0, 1 / 3000, 0.5, 2999 / 3000, 1, 1)]
    assert build(Options(**SMALL, warmup=0), networks=networks()).schedule(0, 1) == 1


def test_other_regularizers_see_its_head_and_not_that_of_d():
    """R1, written out here, penalises what G learns from: ContraD's head and D's features, and nothing of D's head."""

    class R1(torch.nn.Module):
        def discriminator_loss(self, step):
            images = step.real.clone().requires_grad_()
            self.logits = step.discriminator(images, step.labels)
            (slope,) = torch.autograd.grad(self.logits.sum(), images, create_graph=True)
            self.slopes = torch.autograd.grad(self.logits.sum(), learning, allow_unused=True, retain_graph=True)
            return slope.square().sum()

    torch.manual_seed(0)
    among, r1 = networks(), R1()
    contrad = build(Options(**SMALL), networks=among)
    team = game(Whole(), among, regularizers={"r1": r1, "contrad": contrad})
    learning = [*among.discriminator.parameters(), *contrad.parameters()]
    images = torch.rand(4, 3, among.generator.size, among.generator.size) * 2 - 1
    batch = (images, torch.zeros(4, dtype=torch.int64))
    discriminator_step(team, torch.optim.SGD(learning, lr=0.0), [batch], Clock())
    expected = contrad.heads.linear(among.discriminator.features(images), None)
    assert torch.allclose(r1.logits, expected, atol=1e-6)
    reached = {id(parameter) for parameter, slope in zip(learning, r1.slopes, strict=True) if slope is not None}
    assert {id(parameter) for parameter in contrad.heads.linear.parameters()} <= reached
    assert id(among.discriminator.first.weight) in reached
    assert id(among.discriminator.linear.weight) not in reached


def test_the_plan_names_no_loss_that_is_not_used_and_counts_its_heads(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(install_tiny(tmp_path / "tiny")))
    contrad = registry.choose("regularizers", "contrad", Options(**SMALL))
    plans = [plan(config(tmp_path, regularizers=chosen), QUIET) for chosen in ((), (contrad,))]
    assert [found["method"]["loss"] for found in plans] == ["hinge", "of contrad"]
    heads = build(Options(**SMALL), networks=networks()).heads
    without, with_heads = (found["networks"]["discriminator_parameters"] for found in plans)
    assert with_heads - without == sum(parameter.numel() for parameter in heads.parameters())
