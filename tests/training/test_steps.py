"""The two steps: losses against closed forms, gradients where they belong, hooks called when documented."""

import math

import pytest
import torch
from torch import Tensor, nn

from fewgan.architectures.biggan import Options, build
from fewgan.plugin import Networks
from fewgan.registry import choose
from fewgan.training.average import Average
from fewgan.training.config import Config
from fewgan.training.players import Players, assemble, freeze, optimizers
from fewgan.training.steps import (
    Clock,
    add_orthogonal_gradient,
    discriminator_loss,
    discriminator_step,
    generator_loss,
    generator_step,
)


def config(**changes) -> Config:
    settled = {
        "architecture": choose("architectures", "biggan", Options(width=2)),
        "transfer": choose("transfers", "none"),
        "precision": "fp32",
        "size": 32,
        "loss": "hinge",
        "lr_g": 1e-3,
        "lr_d": 2e-3,
        "d_steps": 1,
    }
    return Config(**{**settled, **changes})


def players(classes: int = 0, **changes) -> Players:
    torch.manual_seed(0)
    settled = config(**changes)
    networks: Networks = build(Options(width=2), size=32, classes=classes)
    return assemble(settled, networks)


def batch(count: int = 4, classes: int = 0) -> tuple[Tensor, Tensor]:
    return torch.rand(count, 3, 32, 32) * 2 - 1, torch.arange(count) % max(classes, 1)


def test_losses_in_closed_form():
    real, fake = torch.tensor([2.0, 0.0]), torch.tensor([-3.0, 1.0])
    assert discriminator_loss("hinge", real, fake).item() == pytest.approx(0.5 + 1.0)
    assert generator_loss("hinge", fake).item() == pytest.approx(1.0)
    softplus = [math.log1p(math.exp(x)) for x in (-2, 0, -3, 1)]
    assert discriminator_loss("nonsaturating", real, fake).item() == pytest.approx(sum(softplus) / 2, rel=1e-6)
    expected = (math.log1p(math.exp(3)) + math.log1p(math.exp(-1))) / 2
    assert generator_loss("nonsaturating", fake).item() == pytest.approx(expected, rel=1e-6)
    assert discriminator_loss("wasserstein", real, fake).item() == pytest.approx(-1 - 1)


def test_a_discriminator_step_changes_d_alone_and_leaves_no_gradient_in_g():
    team = players(3)
    optimizer = optimizers(team, config())["discriminator"]
    before = {name: p.clone() for name, p in team.generator.named_parameters()}
    old = team.discriminator.linear.weight.clone()
    stats = discriminator_step(team, optimizer, [batch(classes=3)], Clock())
    assert not torch.equal(team.discriminator.linear.weight, old)
    assert all(torch.equal(p, before[name]) for name, p in team.generator.named_parameters())
    assert all(p.grad is None for p in team.generator.parameters())
    assert {name: value.shape for name, value in stats.items()} == dict.fromkeys(
        ("loss_d", "logit_real", "logit_fake", "skipped_d"), torch.Size()
    )


def test_a_generator_step_changes_g_alone():
    team = players(3)
    optimizer = optimizers(team, config())["generator"]
    before = {name: p.clone() for name, p in team.discriminator.named_parameters()}
    old = team.generator.linear.weight.clone()
    generator_step(team, optimizer, [4], Clock(0, 0))
    assert not torch.equal(team.generator.linear.weight, old)
    assert all(torch.equal(p, before[name]) and p.grad is None for name, p in team.discriminator.named_parameters())


class Recorder(nn.Module):
    """A regularizer that writes down what it sees."""

    every = 2
    adversarial = True

    def __init__(self) -> None:
        super().__init__()
        self.own = nn.Parameter(torch.ones(()))
        self.seen: list[tuple[str, object]] = []

    def observe(self, step):
        self.seen.append(("observe", (len(step.logits_real), len(step.logits_fake))))

    def discriminator_loss(self, step):
        self.seen.append(("D", step))
        return self.own * 3

    def generator_loss(self, step):
        self.seen.append(("G", step))
        return self.own.detach() * 5 + 0 * step.fake.sum()


def test_regularizer_hooks():
    team = players()
    recorder = Recorder()
    team.regularizers["recorder"] = recorder
    both = optimizers(team, config())
    plain = players()
    torch.manual_seed(1)
    with_it = discriminator_step(team, both["discriminator"], [batch(), batch()], Clock(2, 7))
    torch.manual_seed(1)
    without = discriminator_step(plain, optimizers(plain, config())["discriminator"], [batch(), batch()], Clock(2, 7))
    assert (with_it["loss_d"] - without["loss_d"]).item() == pytest.approx(2 * 3, rel=1e-5)
    assert [name for name, _ in recorder.seen] == ["D", "observe", "D"]
    assert recorder.seen[1][1] == (8, 8)  # both micro-batches
    step = recorder.seen[0][1]
    assert (step.index, step.images_seen, step.augment) == (2, 7, None)
    assert step.real_augmented.shape == step.real.shape == (4, 3, 32, 32)
    assert not step.fake.requires_grad
    assert recorder.own.item() != 1  # it learns with D

    recorder.seen.clear()
    generator_step(team, both["generator"], [4], Clock(2, 7))
    ((_, step),) = recorder.seen
    assert step.real is None
    assert step.logits_real is None
    assert step.fake.requires_grad
    assert step.generate(step.z, None).shape == (4, 3, 32, 32)

    recorder.seen.clear()
    discriminator_step(team, both["discriminator"], [batch()], Clock(3, 7))
    assert [name for name, _ in recorder.seen] == ["observe"]  # `every` does not divide 3


@pytest.mark.parametrize("side", ["discriminator", "generator"])
def test_accumulated_gradients_are_those_of_the_whole_batch(side, monkeypatch):
    """D has no batch statistics: two micro-batches of 2 must give the gradient of one batch of 4."""
    team = players()
    team.generator.eval()
    z = torch.randn(4, team.generator.latent_dim)
    images, labels = batch()
    gradients = []
    for parts in ([slice(0, 4)], [slice(0, 2), slice(2, 4)]):
        queue = [z[part] for part in parts]
        monkeypatch.setattr(Players, "draw", lambda self, count, queue=queue: (queue.pop(0), torch.zeros(count).long()))
        optimizer = optimizers(team, config())[side]
        monkeypatch.setattr(optimizer, "step", lambda: None)
        monkeypatch.setattr("fewgan.training.steps.advance", lambda module: None)
        if side == "discriminator":
            discriminator_step(team, optimizer, [(images[part], labels[part]) for part in parts], Clock(0, 0))
            gradients.append(team.discriminator.linear.weight.grad.clone())
        else:
            generator_step(team, optimizer, [part.stop - part.start for part in parts], Clock(0, 0))
            gradients.append(team.generator.linear.weight.grad.clone())
    assert torch.allclose(*gradients, rtol=1e-4, atol=1e-6)


def test_d_is_told_labels_only_where_there_are_some_and_the_transfer_allows_it():
    assert players(3).conditional
    assert not players(0).conditional
    minegan = choose("transfers", "minegan")
    assert not players(1, transfer=minegan).conditional


def test_a_frozen_generator_stands_still_but_for_batch_statistics():
    team = players(1, transfer=choose("transfers", "minegan"))
    learning = [p for module in team.modules.values() for p in module.parameters() if p.requires_grad]
    freeze(list(team.transfer.trainable(0, 2000)), learning)
    both = optimizers_of_all(team, learning)
    before = {name: tensor.clone() for name, tensor in team.generator.state_dict().items()}
    miner = team.transfer.mapper.linear.weight.clone()
    discriminator_step(team, both["discriminator"], [batch()], Clock(0, 0))
    generator_step(team, both["generator"], [4], Clock(0, 0))
    changed = {name for name, tensor in team.generator.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed
    assert all(name.endswith(("stored_mean", "stored_var")) for name in changed)
    assert not torch.equal(team.transfer.mapper.linear.weight, miner)
    freeze(None, learning)
    generator_step(team, both["generator"], [4], Clock(1, 0))
    assert not torch.equal(team.generator.linear.weight, before["linear.weight"])


def optimizers_of_all(team: Players, learning: list[nn.Parameter]) -> dict[str, torch.optim.Optimizer]:
    for parameter in learning:
        parameter.requires_grad_(True)
    found = optimizers(team, config())
    freeze(list(team.transfer.trainable(0, 2000)), learning)
    return found


def test_a_parameter_built_without_gradient_never_learns():
    team = players()
    team.generator.linear.weight.requires_grad_(False)
    learning = [p for module in team.modules.values() for p in module.parameters() if p.requires_grad]
    freeze(None, learning)
    assert not team.generator.linear.weight.requires_grad


def test_orthogonal_gradient_in_closed_form():
    team = players(3)
    team.orthogonal = 0.1
    layer, table = team.generator.blocks()[1][0].conv2, team.generator.shared
    for parameter in (layer.weight, table.weight, layer.bias):
        parameter.grad = torch.zeros_like(parameter)
    with torch.no_grad():
        layer.weight.copy_(torch.randn_like(layer.weight))
    add_orthogonal_gradient(team, [layer.weight, table.weight, layer.bias])
    matrix = layer.weight.detach().flatten(1).requires_grad_()
    gram = matrix @ matrix.t()
    penalty = 0.5 * 0.1 * (gram * (1 - torch.eye(len(gram)))).square().sum()
    (expected,) = torch.autograd.grad(penalty, matrix)
    assert torch.allclose(layer.weight.grad.flatten(1), expected, rtol=1e-4, atol=1e-5)
    assert not table.weight.grad.any()
    assert not layer.bias.grad.any()


@pytest.mark.parametrize(("seen", "expected"), [(640, 0.05 * 640), (10_000_000, 10_000 * 16 / 32)])
def test_average_has_the_documented_half_life(seen, expected):
    team = players()
    average = Average(team)
    old, name = average.generator.linear.weight.clone(), "blocks.0.0.bn1.stored_mean"
    with torch.no_grad():
        team.generator.linear.weight.add_(1)
        team.generator.state_dict()[name].add_(1)
    new_images = 32
    average.update(team, seen, new_images, batch=16)
    moved = 1 - 0.5 ** (new_images / expected)
    assert torch.allclose(average.generator.linear.weight - old, torch.full_like(old, moved), atol=1e-5)
    assert torch.allclose(average.generator.state_dict()[name], torch.tensor(moved), atol=1e-5)


def test_bf16_losses_are_near_fp32_and_statistics_stay_in_fp32():
    found = []
    for precision in ("fp32", "bf16"):
        team = players(precision=precision)
        torch.manual_seed(3)
        images, both = batch(), optimizers(team, config())
        loss_d = discriminator_step(team, both["discriminator"], [images], Clock(0, 0))["loss_d"]
        team = players(precision=precision)  # identical weights again
        loss_g = generator_step(team, both["generator"], [4], Clock(0, 0))["loss_g"]
        state = team.generator.state_dict()
        assert {state[name].dtype for name in state} == {torch.float32}
        found.append((loss_d, loss_g, state["output_layer.0.stored_var"]))
    for fp32, bf16 in zip(*found, strict=True):
        assert bf16.dtype == torch.float32
        assert torch.allclose(bf16, fp32, rtol=0.02)
