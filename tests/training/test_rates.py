"""Learning rates: groups of their own, schedules, and what else the optimizers do to gradients."""

import dataclasses
import functools

import pytest
import torch
from small import plain, step_d, team
from torch import nn

from fewgan import run
from fewgan.networks import Adam, Defaults
from fewgan.plugin import Group
from fewgan.registry import choose
from fewgan.testing import tiny
from fewgan.testing.base import QUIET, config
from fewgan.training import loop
from fewgan.training.players import apply_schedules, optimizers

pytestmark = pytest.mark.usefixtures("tiny_installed")
RATE = 1e-3


class Own(nn.Module):
    """A transfer whose one group has a rate of its own, another one in the second half of the run."""

    conditional, mapper = True, None

    def __init__(self, parameters=(), network="discriminator") -> None:
        super().__init__()
        self.named, self.network, self.asked = list(parameters), network, []

    def stages(self, index, steps):
        self.asked.append((index, steps))
        return 1.0 if index < steps / 2 else 0.1

    def groups(self):
        return [Group(self.named, 0.5, self.network, self.stages)]


class Warmup(nn.Module):
    def schedule(self, images_seen, planned_images):
        return min(1.0, images_seen / (0.5 * planned_images))


def rates(both):
    return {side: [group["lr"] for group in optimizer.param_groups] for side, optimizer in both.items()}


def test_groups_have_their_own_rates_and_no_parameter_is_in_two():
    players = team(classes=1)
    own = Own(players.discriminator.linear.parameters())
    players = dataclasses.replace(players, transfer=own)
    both = optimizers(players, dataclasses.replace(plain(), lr_g=RATE, lr_d=RATE))
    assert rates(both) == {"generator": [RATE], "discriminator": [RATE, 0.5]}
    first, second = (group["params"] for group in both["discriminator"].param_groups)
    assert {id(p) for p in second} == {id(p) for p in own.named}
    together = [id(p) for p in (*first, *second)]
    assert len(together) == len(set(together)) == len(list(players.discriminator.parameters()))


def test_the_mapper_of_minegan_has_a_group_of_its_own():
    transfer, options = choose("transfers", "minegan").plugin()
    players = team()
    players = dataclasses.replace(players, transfer=transfer.build(options, networks=players.networks))
    groups = optimizers(players, dataclasses.replace(plain(), lr_g=RATE))["generator"].param_groups
    assert {id(p) for p in groups[1]["params"]} == {id(p) for p in players.transfer.mapper.parameters()}
    assert (groups[0]["lr"], groups[1]["lr"]) == (RATE, 5e-4)


def test_schedules_of_network_plugins_and_groups_are_multiplied():
    adam = Adam(learning_rate=1e-2, schedule=lambda seen, planned: 1 - seen / planned)
    defaults = dataclasses.replace(tiny.build(tiny.Options(), size=16, classes=0).defaults, discriminator=adam)
    players = team(defaults=defaults, warmup=Warmup())
    own = Own(players.discriminator.linear.parameters())
    players = dataclasses.replace(players, transfer=own, steps=40)
    both = optimizers(players, plain())
    for index, network, warmup, stage in ((0, 1, 0, 1), (10, 0.75, 0.5, 1), (20, 0.5, 1, 0.1), (39, 0.025, 1, 0.1)):
        apply_schedules(players, both, 16 * index, 16 * 40)
        assert own.asked[-1] == (index, 40)
        found = rates(both)
        assert found["generator"] == pytest.approx([2e-4 * warmup])
        assert found["discriminator"] == pytest.approx([1e-2 * network * warmup, 0.5 * network * warmup * stage])


def test_a_transfer_may_have_a_schedule_too():
    players = team()
    warm = Warmup()
    warm.conditional, warm.mapper = True, None
    players = dataclasses.replace(players, transfer=warm)
    both = optimizers(players, dataclasses.replace(plain(), lr_g=RATE, lr_d=RATE))
    apply_schedules(players, both, 100, 400)
    assert rates(both) == {"generator": [RATE / 2], "discriminator": [RATE / 2]}


def test_a_group_is_asked_at_the_steps_of_the_run(tmp_path, monkeypatch):
    own = Own()
    own.network = "generator"
    asked = []
    real = loop.apply_schedules

    def with_a_group(players, both, images_seen, planned_images):
        if not own.named:
            own.named = [players.generator.linear.weight]
            both["generator"].add_param_group({"params": [nn.Parameter(torch.zeros(1))], "lr": 1.0, "initial_lr": 1.0})
            players.groups.extend(own.groups())
        real(players, both, images_seen, planned_images)
        asked.append(both["generator"].param_groups[1]["lr"])

    monkeypatch.setattr(loop, "apply_schedules", with_a_group)
    loop.train(config(tmp_path, steps=4, d_steps=3, grad_accumulation=2, save_every=4, sample_every=4), QUIET)
    assert own.asked == [(index, 4) for index in range(4)]
    assert asked == [1, 1, 0.1, 0.1]


def test_a_line_that_was_still_missing_has_the_rates_of_the_last_step(tmp_path, monkeypatch):
    """A run that is killed between its last checkpoint and its last line makes no step when it is resumed."""
    falling = Adam(learning_rate=1e-4, schedule=lambda seen, planned: 1 - 0.5 * seen / planned)
    monkeypatch.setattr(tiny, "Defaults", functools.partial(Defaults, generator=falling))
    folder = loop.train(config(tmp_path, steps=2, save_every=1), QUIET).folder
    expected = run.read_metrics(folder)[-1]["learning_rates"]
    (folder / "metrics.jsonl").unlink()
    loop.resume(str(folder), QUIET)
    assert run.read_metrics(folder)[-1]["learning_rates"] == expected


def test_a_gradient_clip_is_that_of_the_network():
    adam = Adam(learning_rate=1e-2, gradient_clip=1e-9)
    defaults = dataclasses.replace(tiny.build(tiny.Options(), size=16, classes=0).defaults, discriminator=adam)
    players = team(defaults=defaults)
    step_d(players)
    norm = torch.stack([p.grad.norm() for p in players.discriminator.parameters() if p.grad is not None]).norm()
    assert norm <= 1.01e-9
