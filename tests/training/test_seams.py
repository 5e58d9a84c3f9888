"""What plugins may do, and what the core does for them, with networks of 16 px."""

import dataclasses

import pytest
import torch
from drawn import draw
from small import batch, plain, step_d, team
from torch import Tensor, nn

from fewgan import run, storage
from fewgan.photos.prepare import prepare
from fewgan.plugin import SpectralLinear
from fewgan.sources.load import load
from fewgan.testing import tiny
from fewgan.testing.base import QUIET, config
from fewgan.training import checkpoint, loop, session
from fewgan.training.average import Average
from fewgan.training.players import optimizers
from fewgan.training.steps import Clock, add_orthogonal_gradient, discriminator_step, generator_step

pytestmark = pytest.mark.usefixtures("tiny_installed")


class Pairs(tiny.Discriminator):
    """Its logits depend on the batch: how many images it is shown together."""

    separate = True

    def __init__(self) -> None:
        super().__init__(0)
        self.shown: list[Tensor] = []

    def forward(self, images, labels):
        self.shown.append(images)
        return super().forward(images, labels)


def test_fakes_and_photos_are_judged_apart_where_d_asks_for_it(device):
    d = Pairs()
    players = team(device, discriminator=d)
    step_d(players)
    assert [len(images) for images in d.shown] == [4, 4]
    together = Pairs()
    together.separate = False
    step_d(team(device, discriminator=together))
    assert [len(images) for images in together.shown] == [8]


class Heads(nn.Module):
    """A regularizer with a spectrally normalised layer of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.head = SpectralLinear(2 * tiny.WIDTH, 1)

    def discriminator_loss(self, step):
        return self.head(step.discriminator.features(step.real)).square().mean()


def test_spectral_layers_of_regularizers_advance(device):
    heads = Heads()
    players = team(device, heads=heads)
    before = heads.head.u0.clone()
    step_d(players)
    assert not torch.equal(heads.head.u0, before)


def test_spectral_layers_of_augmentations_and_transfers_advance():
    players = team()
    players.augmentation = nn.Identity()
    layers = [SpectralLinear(4, 3), SpectralLinear(4, 3)]
    players.augmentation.layer, players.transfer.layer = layers
    before = [layer.u0.clone() for layer in layers]
    step_d(players)
    assert not any(torch.equal(layer.u0, u) for layer, u in zip(layers, before, strict=True))


class Swap(nn.Module):
    """Shows fakes as photos, with their labels (APA)."""

    def images(self, real, fake, labels, fake_labels):
        return fake, fake, fake_labels, fake_labels

    def discriminator_loss(self, step):
        self.step = step
        return step.real.new_zeros(())


def test_images_are_replaced_with_their_labels():
    swap = Swap()
    players = team(classes=3, swap=swap)
    step_d(players)
    assert torch.equal(swap.step.labels, swap.step.fake_labels)
    assert torch.equal(swap.step.real, swap.step.fake)


class Assigns(nn.Module):
    """Replaces a buffer, as many do, and spoils the second step."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(()))

    def observe(self, step):
        self.mean = step.logits_real.mean() / (0 if step.index == 1 else 1)

    def discriminator_loss(self, step):
        return self.mean * 0 + step.logits_real.mean()


def test_a_skipped_step_changes_no_buffer_not_even_one_that_was_assigned(device):
    assigns = Assigns()
    players = team(device, assigns=assigns)
    assert step_d(players)["skipped_d"] == 0
    kept = assigns.mean.clone()
    assert step_d(players, Clock(index=1))["skipped_d"] == 1
    assert torch.equal(assigns.mean, kept)


def test_every_skipped_update_of_d_is_counted_and_none_enters_the_means(tmp_path, monkeypatch):
    calls = iter(range(1000))
    real_step = loop.discriminator_step

    def every_other(players, optimizer, photos, clock):
        if next(calls) % 2 == 0:
            photos = [(images * float("nan"), labels) for images, labels in photos]
        return real_step(players, optimizer, photos, clock)

    monkeypatch.setattr(loop, "discriminator_step", every_other)
    folder = loop.train(config(tmp_path, d_steps=2, steps=20), QUIET).folder
    lines = run.read_metrics(folder)
    assert [line["skipped_d"] for line in lines] == [10, 10]
    assert all(line["skipped_g"] == 0 for line in lines)
    assert all(0 < line["loss_d"] < 10 for line in lines)


def test_orthogonal_regularisation_is_of_g_alone():
    players = team()
    players.orthogonal = 0.1
    other = team()
    for one, two in zip(players.modules.values(), other.modules.values(), strict=True):
        two.load_state_dict(one.state_dict())
    for p in (players, other):
        torch.manual_seed(1)
        step_d(p)
    state = other.discriminator.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in players.discriminator.state_dict().items())


def test_orthogonal_regularisation_leaves_tables_of_classes_alone():
    players = team()
    players.orthogonal, players.generator.table = 0.1, nn.Linear(3, 8)
    players.generator.table.set_rows = print  # as StyleGAN2's embedding of one-hot labels has it
    own = [*players.generator.parameters()]
    for parameter in own:
        parameter.grad = torch.zeros_like(parameter)
    add_orthogonal_gradient(players, own)
    assert any(parameter.grad.any() for parameter in own)
    assert not players.generator.table.weight.grad.any()


def test_orthogonal_regularisation_leaves_a_mapper_alone():
    """Which learns in G's step, beside G."""
    players, mapper = team(), nn.Linear(8, 8)
    players.orthogonal = 0.1
    own = [*players.generator.parameters()]
    for parameter in (*own, mapper.weight):
        parameter.grad = torch.zeros_like(parameter)
    add_orthogonal_gradient(players, [*own, mapper.weight])
    assert any(parameter.grad.any() for parameter in own)
    assert not mapper.weight.grad.any()


@pytest.mark.parametrize(("how", "buffers"), [("average", False), ("copy", True)])
def test_buffers_of_the_average_are_averaged_or_copied(how, buffers):
    defaults = tiny.build(tiny.Options(), size=16, classes=0).defaults
    players = team(defaults=dataclasses.replace(defaults, ema_buffers=how, ema_ramp=None))
    average = Average(players)
    players.generator.norm.mean.fill_(1)
    average.update(players, seen_before=10, new_images=4, batch=32)
    assert (average.generator.norm.mean == 1).all() == buffers
    expected = 1 - 0.5 ** (4 / 10_000)  # no ramp: the half-life is the whole one
    if not buffers:
        assert average.generator.norm.mean[0].item() == pytest.approx(expected, rel=1e-4)


def test_fakes_have_classes_as_often_as_photos():
    players = team(classes=2)
    players.frequencies = torch.tensor([1.0, 9.0])
    _, labels = players.draw(4000)
    assert 0.88 < labels.float().mean() < 0.92


def test_a_run_and_its_generator_know_how_often_photos_have_each_class(tmp_path):
    for name, count in (("cats", 2), ("dogs", 7)):
        draw(tmp_path / "photos" / name, count, seed=10 * count)
    prepare(tmp_path / "photos", tmp_path / "dataset", size=16, classes=True, workers=1, screen=QUIET)
    asked = config(tmp_path, steps=1)
    assert session.begin(asked, QUIET).state.players.frequencies.tolist() == [2, 7]
    assert load(loop.train(asked, QUIET).folder).class_counts == (2, 7)


def test_no_autocast_context_is_entered_in_float32(monkeypatch):
    players = team()
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: pytest.fail("a device may have no autocast at all"))
    step_d(players)


def test_optimizers_resume_through_their_own_load_state_dict(device, tmp_path, monkeypatch):
    """Which puts the count of steps where a fused kernel looks for it: on the parameter's device."""
    players = team(device)
    state = checkpoint.State(players, Average(players), optimizers(players, plain()))
    for _ in range(2):
        discriminator_step(players, state.optimizers["discriminator"], [batch(device)], Clock())
        generator_step(players, state.optimizers["generator"], [4], Clock())
    checkpoint.save(tmp_path, state, {"fewgan": "0"}, keep_generator=False)
    again = team(device)
    twin = checkpoint.State(again, Average(again), optimizers(again, plain()))
    calls = []
    original = torch.optim.Optimizer._process_value_according_to_param_policy
    monkeypatch.setattr(
        torch.optim.Optimizer,
        "_process_value_according_to_param_policy",
        staticmethod(lambda *args, **kwargs: calls.append(args) or original(*args, **kwargs)),
    )
    checkpoint.restore(tmp_path / "checkpoints" / "000000.safetensors", twin)
    assert calls
    for side, optimizer in state.optimizers.items():
        theirs = twin.optimizers[side]
        pairs = zip(optimizer.param_groups[0]["params"], theirs.param_groups[0]["params"], strict=True)
        for one, two in pairs:
            other = theirs.state[two]
            for name, value in optimizer.state[one].items():
                assert torch.equal(value, other[name])
                assert value.device == other[name].device
                assert value.stride() == other[name].stride()


@pytest.mark.parametrize("buffers", ["copy", "average"])
def test_tied_weights_are_averaged_once(buffers):
    players = team()
    players.networks = dataclasses.replace(
        players.networks, defaults=dataclasses.replace(players.networks.defaults, ema_buffers=buffers, ema_images=100)
    )
    live = players.generator
    live.first, live.second = nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False)
    live.second.weight = live.first.weight
    nn.init.zeros_(live.first.weight)
    average = Average(players)
    nn.init.ones_(live.first.weight)
    average.update(players, 1_000_000, 100, 32)  # a half-life
    assert average.generator.second.weight is average.generator.first.weight
    torch.testing.assert_close(average.generator.first.weight, torch.full((2, 2), 0.5))


def test_tied_weights_are_saved(tmp_path):
    weight = torch.randn(3, 3)
    storage.write_tensors(tmp_path / "x.safetensors", {"a": weight, "b": weight, "c": weight[:2]}, {})
    found, _ = storage.read_tensors(tmp_path / "x.safetensors")
    assert torch.equal(found["a"], found["b"])
    assert torch.equal(found["c"], weight[:2])
