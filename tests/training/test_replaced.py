"""A regularizer that brings the adversarial losses of both sides, and what the rest of the run then sees."""

import pytest
import torch
from small import batch, plain, step_d, team
from torch import nn

from fewgan.regularizers.cr.consistency import Consistency
from fewgan.testing import tiny
from fewgan.training.players import Players, optimizers
from fewgan.training.steps import Clock, discriminator_step, generator_step

pytestmark = pytest.mark.usefixtures("tiny_installed")


class Alone(nn.Module):
    """Brings both losses, and logits for the metrics."""

    adversarial = False
    needs_real = True

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def logits(self, step):
        self.seen.append("logits")
        return step.discriminator(step.real, None) + 1, step.discriminator(step.fake, None) - 1

    def discriminator_loss(self, step):
        self.seen.append("D")
        return (step.logits_fake - step.logits_real).mean()

    def generator_loss(self, step):
        self.seen.append("G")
        assert step.logits_fake is None
        return (step.discriminator(step.real, None).mean() - step.discriminator(step.fake, None).mean()).square()


def test_a_regularizer_may_bring_both_losses_and_the_core_runs_no_d_of_its_own(device, monkeypatch):
    alone = Alone()
    players = team(device, alone=alone)
    both = optimizers(players, plain())
    monkeypatch.setattr(Players, "discriminate", lambda *_: pytest.fail("the core's own forward of D"))
    stats = discriminator_step(players, both["discriminator"], [batch(device)], Clock())
    assert stats["loss_d"].item() == pytest.approx((stats["logit_fake"] - stats["logit_real"]).item(), abs=1e-5)
    stats = generator_step(players, both["generator"], [4], Clock(), [batch(device)])
    assert stats["loss_g"] > 0
    assert alone.seen == ["logits", "D", "G"]


class Silent(nn.Module):
    """Brings both losses and no logits."""

    adversarial = False

    def discriminator_loss(self, step):
        return step.discriminator(step.fake, None).mean() - step.discriminator(step.real, None).mean()


def test_consistency_judges_by_itself_where_there_are_no_logits():
    players = team(silent=Silent(), cr=Consistency(10.0, 1.0))
    assert step_d(players)["loss_d"].isfinite()


class Quiet(Alone):
    every = 2


def test_a_step_without_any_loss_changes_nothing(device):
    players = team(device, quiet=Quiet())
    before = players.discriminator.linear.weight.clone()
    stats = step_d(players, Clock(index=1))
    assert stats["skipped_d"] == 0
    assert torch.equal(players.discriminator.linear.weight, before)


class Judge(nn.Module):
    """Plays with a head of its own on D's features (ContraD)."""

    adversarial = False

    def __init__(self, network) -> None:
        super().__init__()
        self.network = (network,)
        self.head = nn.Linear(2 * tiny.WIDTH, 1)

    def discriminator(self, images, labels):
        (network,) = self.network
        return self.head(network.features(images)).squeeze(1)

    def logits(self, step):
        return step.discriminator(step.real, None), step.discriminator(step.fake, None)

    def discriminator_loss(self, step):
        return (step.logits_fake - step.logits_real).mean()

    def generator_loss(self, step):
        return -step.discriminator(step.fake, None).mean()


class Penalty(nn.Module):
    """R1, and what it saw."""

    def discriminator_loss(self, step):
        images = step.real.clone().requires_grad_()
        self.logits = step.discriminator(images, step.labels)
        self.features = step.discriminator.features(images)
        (slope,) = torch.autograd.grad(self.logits.sum(), images, create_graph=True)
        return 10 * slope.square().sum((1, 2, 3)).mean()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_other_plugins_see_the_discriminator_that_plays(device, precision):
    players, penalty = team(device), Penalty()
    judge = Judge(players.discriminator).to(device)
    players.precision = precision
    players.regularizers.update(penalty=penalty, judge=judge)
    photos = batch(device)
    both = optimizers(players, plain())
    discriminator_step(players, both["discriminator"], [photos], Clock())
    assert judge.head.weight.grad.any()
    assert players.discriminator.first.weight.grad.any()
    assert players.discriminator.linear.weight.grad is None  # D's own head does not play, and is not penalised
    assert penalty.logits.dtype == penalty.features.dtype == torch.float32
    assert penalty.features.shape == (4, 2 * tiny.WIDTH)
    assert generator_step(players, both["generator"], [4], Clock())["skipped_g"] == 0


def test_the_penalty_is_that_of_its_head():
    players, penalty = team(), Penalty()
    judge = Judge(players.discriminator)
    players.regularizers.update(penalty=penalty, judge=judge)
    optimizer = torch.optim.SGD([*players.discriminator.parameters(), *judge.parameters()], lr=0.0)
    photos, labels = batch()
    discriminator_step(players, optimizer, [(photos, labels)], Clock())
    assert torch.allclose(penalty.logits, judge.discriminator(photos, None), atol=1e-6)
    assert not torch.allclose(penalty.logits, players.discriminator(photos, None), atol=1e-3)


def test_without_such_a_plugin_it_is_d():
    players, penalty = team(), Penalty()
    beside = Judge(players.discriminator)
    beside.adversarial = True
    players.regularizers.update(penalty=penalty, beside=beside)
    photos, labels = batch()
    optimizer = torch.optim.SGD(players.discriminator.parameters(), lr=0.0)
    discriminator_step(players, optimizer, [(photos, labels)], Clock())
    assert torch.allclose(penalty.logits, players.discriminator(photos, None), atol=1e-6)
