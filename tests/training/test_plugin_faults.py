"""What a plugin does wrong in a training is told in one line that names it."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from packages import install
from small import batch, plain, step_d, team
from torch import nn

from fewgan.cli.failures import report
from fewgan.networks import Networks
from fewgan.plugin import FewganError, Group, UsageError
from fewgan.registry import choose
from fewgan.testing.base import config, networks
from fewgan.training import checked
from fewgan.training.players import apply_schedules, assemble, optimizers

pytestmark = pytest.mark.usefixtures("tiny_installed")


class Returns(nn.Module):
    """A regularizer with a loss of the wrong kind."""

    def __init__(self, value) -> None:
        super().__init__()
        self.value = value

    def discriminator_loss(self, step):
        return self.value


@pytest.mark.parametrize(("value", "what"), [(torch.zeros(4), r"a tensor of shape \[4\]"), (None, "NoneType")])
def test_a_loss_that_is_no_scalar_names_the_plugin(value, what):
    with pytest.raises(
        FewganError, match=f"the regularizer odd: its discriminator_loss returned {what} and not a scalar"
    ):
        step_d(team(odd=Returns(value)))


BROKEN = """
    from dataclasses import dataclass
    import torch
    from fewgan.plugin import Plugin

    @dataclass(frozen=True, kw_only=True)
    class Options: ...

    def fails(options, *, networks):
        return networks.nothing

    nothing = Plugin(api=1, summary="N", options=Options, build=lambda options, networks: None)
    def leaves(options, *, networks):
        raise SystemExit(0)

    exits = Plugin(api=1, summary="X", options=Options, build=leaves)
    raises = Plugin(api=1, summary="R", options=Options, build=fails)

    class Calm(torch.nn.Module):
        def forward(self, images, strength):
            return images

    empty = Plugin(api=1, summary="E", options=Options, build=lambda options, size, classes: None)
    calm = Plugin(api=1, summary="C", options=Options, build=lambda options, size: Calm())
"""


def explained(error, capsys):
    assert report(error, ["train"]) == 1
    return capsys.readouterr().err


def test_what_a_plugin_does_wrong_while_it_is_built_names_it(tmp_path, monkeypatch, tiny_installed, capsys):
    points = {"regularizers": [f"{name} = broken_plugin:{name}" for name in ("nothing", "raises")]}
    monkeypatch.syspath_prepend(install(tmp_path / "site", "fewgan-odd", points, {"broken_plugin": BROKEN}))
    with pytest.raises(FewganError, match="regularizer nothing: its build returned NoneType and not a module"):
        assemble(config(tmp_path, regularizers=(choose("regularizers", "nothing"),)), networks())
    with pytest.raises(AttributeError) as caught:
        assemble(config(tmp_path, regularizers=(choose("regularizers", "raises"),)), networks())
    assert "internal error in the package fewgan-odd (report it to its author): Attr" in explained(caught.value, capsys)
    monkeypatch.setattr(Networks, "with_discriminator", lambda networks: networks.nothing)
    with pytest.raises(AttributeError) as caught:
        assemble(config(tmp_path), networks())
    assert "internal error (please report it): Attr" in explained(caught.value, capsys)


def test_an_architecture_that_builds_no_networks_is_named(tmp_path, monkeypatch):
    points = {"architectures": ["empty = broken_plugin:empty"]}
    monkeypatch.syspath_prepend(install(tmp_path / "site", "fewgan-odd", points, {"broken_plugin": BROKEN}))
    with pytest.raises(
        FewganError, match="architecture empty: its build returned NoneType and not Networks; report it"
    ):
        choose("architectures", "empty").networks(size=16, classes=0)


def test_an_exit_is_no_end_of_a_training(tmp_path, monkeypatch, tiny_installed, capsys):
    points = {"regularizers": ["exits = broken_plugin:exits"]}
    monkeypatch.syspath_prepend(install(tmp_path / "site", "fewgan-odd", points, {"broken_plugin": BROKEN}))
    with pytest.raises(SystemExit) as caught:
        choose("regularizers", "exits").build(networks=None)
    shown = "internal error in the regularizer exits of the package fewgan-odd (report it to its author): SystemExit: 0"
    assert shown in explained(caught.value, capsys)
    with pytest.raises(SystemExit):
        report(SystemExit(143), ["train"])
    assert capsys.readouterr().err == "Error: stopped by SIGTERM\n"


def test_a_forward_with_other_arguments_names_its_package(tmp_path, monkeypatch, tiny_installed, capsys):
    """torch calls it, and no line of it runs."""
    points = {"augmentations": ["calm = broken_plugin:calm"]}
    monkeypatch.syspath_prepend(install(tmp_path / "site", "fewgan-odd", points, {"broken_plugin": BROKEN}))
    plugin, options = choose("augmentations", "calm").plugin()
    with pytest.raises(TypeError) as caught:
        dataclasses.replace(team(), augmentation=plugin.build(options, size=16)).augment(batch()[0])
    assert "internal error in the augmentation calm of the package fewgan-odd" in explained(caught.value, capsys)


class Gives(nn.Module):
    """A regularizer that replaces the images or the losses with what it is told to."""

    def __init__(self, images=None, logits=None) -> None:
        super().__init__()
        if images is not None:
            self.images = images
        if logits is not None:
            self.logits, self.adversarial = logits, False
        self.discriminator_loss = self.generator_loss = lambda step: 0.0


@pytest.mark.parametrize(
    ("images", "what"),
    [
        (lambda a, b, c, d: (a.double(), b, c, d), r"float64 \[4, 3, 16, 16\] for real, and not images"),
        (lambda a, b, c, d: (a, b[:, :1], c, d), r"float32 \[4, 1, 16, 16\] for fake"),
        (lambda a, b, c, d: (None, b, c, d), "NoneType for real"),
        (lambda a, b, c, d: (a, b, c[:2], d), "2 labels for 4 images"),
        (lambda *four: four[:3], "3 values and not real, fake, labels, fake_labels"),
    ],
)
def test_images_of_a_regularizer_are_of_the_kind_it_was_given(images, what):
    with pytest.raises(FewganError, match=f"the regularizer odd: its images returned {what}"):
        step_d(team(odd=Gives(images=images)))


@pytest.mark.parametrize(
    "logits",
    [
        lambda step: (step.real.mean(), step.fake.mean()),
        lambda step: step.real.mean((1, 2, 3)),
        lambda step: (1.0, 2.0),
        lambda step: None,
    ],
)
def test_logits_of_a_regularizer_are_of_every_image(logits):
    with pytest.raises(FewganError, match="the regularizer odd: its logits are not two tensors"):
        step_d(team(odd=Gives(logits=logits)))


def test_what_works_in_a_step_stays_allowed():
    step_d(team(odd=Gives(images=lambda a, b, c, d: (a, b.bfloat16(), None, None))))
    step_d(team(odd=Gives(logits=lambda step: (None, None))))
    step_d(team(odd=Gives(logits=lambda step: (step.real.mean((2, 3)).reshape(-1), step.fake.mean((1, 2, 3))))))
    module = Gives()
    module.start = 100  # a setting of this name is no hook
    assert checked.plugin("regularizers", "odd", module) is module


def test_who_replaces_the_loss_of_one_side_brings_that_of_the_other():
    module = Gives(logits=lambda step: None)
    del module.generator_loss
    with pytest.raises(FewganError, match="brings the losses of D and G, and has no generator_loss"):
        checked.plugin("regularizers", "odd", module)


class Augments(nn.Module):
    """An augmentation that returns what it is told to."""

    def __init__(self, forward) -> None:
        super().__init__()
        self.forward = forward


@pytest.mark.parametrize(
    ("forward", "what"),
    [
        (lambda x: x.detach().clone(), "images without a gradient, from which G cannot learn"),
        (lambda x: x[:, :, ::2, ::2], "float32 [4, 3, 8, 8] for float32 [4, 3, 16, 16]"),
        (lambda x: x[:2], "float32 [2, 3, 16, 16] for"),
        (lambda x: x.half(), "float16 [4, 3, 16, 16] for float32"),
        (lambda x: x.detach().numpy(), "ndarray"),
        (lambda x: None, "NoneType"),
    ],
)
def test_an_augmentation_gives_images_of_the_same_kind_with_their_gradient(forward, what):
    players = dataclasses.replace(team(), augmentation=Augments(forward), names={"augmentation": "odd"})
    images = batch()[0].requires_grad_()
    with pytest.raises(FewganError) as caught:
        players.augment(images)
    assert f"the augmentation odd: its forward returned {what}" in str(caught.value)
    players.augmentation = Augments(lambda x: x * 2)
    assert torch.equal(players.augment(images), images * 2)


def test_a_group_for_no_network_is_refused():
    players = team()
    players.names = {"transfer": "odd"}
    players.transfer.groups = lambda: [Group(list(players.generator.parameters()), 1e-3, network="G")]
    with pytest.raises(FewganError, match="transfer method odd: a group of its parameters is for the network 'G'"):
        optimizers(players, plain())


def test_a_group_may_be_given_an_iterator():
    players = team()
    players.transfer.groups = lambda: [Group(players.generator.parameters(), 1e-3)]
    (default, own) = optimizers(players, plain())["generator"].param_groups
    assert len(own["params"]) == len(list(players.generator.parameters()))
    assert not set(map(id, own["params"])) & set(map(id, default["params"]))


@pytest.mark.parametrize("made", [[nn.Linear(2, 2)], [torch.zeros(2)], ["weight"]])
def test_what_learns_is_given_as_parameters(made):
    transfer = SimpleNamespace(trainable=lambda index, steps: made)
    players = SimpleNamespace(transfer=transfer, names={"transfer": "odd"}, regularizers={}, steps=10)
    with pytest.raises(FewganError, match=r"transfer method odd: its trainable gave a .* and not a parameter"):
        checked.trainable(players, 0)


def module(**attributes):
    made = nn.Module()
    for name, value in attributes.items():
        setattr(made, name, value)
    return made


@pytest.mark.parametrize(
    ("kind", "made", "what"),
    [
        ("transfers", module(conditional=True), "it has no attribute 'mapper'"),
        ("transfers", module(mapper=None), "it has no attribute 'conditional'"),
        ("transfers", module(conditional=True, mapper=3), "its mapper is of type int and not a module"),
        ("transfers", module(conditional=True, mapper=nn.Linear(2, 2)), "its mapper is called with 2 arguments: too"),
        ("regularizers", module(every=0), "its `every` is 0 and not"),
        ("regularizers", module(every=1.5), "its `every` is 1.5 and not"),
        ("regularizers", module(observe=lambda: None), "its observe is called with 1 arguments: too many"),
        ("regularizers", module(schedule=lambda seen: 1.0), "its schedule is called with 2 arguments"),
        ("regularizers", module(schedule=None), "its schedule is called with 2 arguments: None is not a callable"),
        ("regularizers", module(adversarial=False, logits=lambda: 1), "its logits is called with 1 arguments"),
        ("augmentations", module(observe=lambda logits, seen, more: None), "its observe is called with 2 arguments"),
    ],
)
def test_hooks_that_cannot_be_called_are_told_before_the_first_step(kind, made, what):
    with pytest.raises(FewganError, match=f"odd: {what}.*; report it to its author"):
        checked.plugin(kind, "odd", made)


def test_hooks_may_have_more_arguments_with_defaults():
    takes = module(observe=lambda step, more=None: None, schedule=lambda *times: 1.0, images=nn.Identity())
    assert checked.plugin("regularizers", "odd", takes) is takes
    checked.plugin("regularizers", "odd", module(every=np.int64(4), logits=3, discriminator=None))  # its own affair
    checked.plugin("augmentations", "odd", module(every=0.5))


@pytest.mark.parametrize("made", [None, -1.0, float("nan"), "fast", float("inf")])
def test_a_schedule_gives_a_factor(made):
    players = team(odd=module(schedule=lambda seen, planned: made))
    with pytest.raises(FewganError, match=r"the regularizer odd: its schedule gave .* and not a factor of 0 or more"):
        apply_schedules(players, optimizers(players, plain()), 0, 10)


@pytest.mark.parametrize("made", [None, (1, 2), "four"])
def test_images_are_given_back_as_four(made):
    with pytest.raises(FewganError, match=r"the regularizer odd: its images returned .* and not real, fake, labels"):
        step_d(team(odd=module(images=lambda *four: made)))


def test_two_losses_exclude_each_other_and_who_needs_logits_a_loss_without():
    loss, watching = module(adversarial=False), module(observe=lambda *seen: None)
    for others, augmentation, what in (
        ({"other": module(adversarial=False)}, None, "alone and other both replace the loss of D"),
        ({"calm": watching}, None, "calm watches the logits of D, and alone gives none"),
        ({}, watching, "ada watches the logits of D, and alone gives none"),
    ):
        with pytest.raises(UsageError, match=what):
            checked.together({"alone": loss, **others}, augmentation, "ada")
    own = module(adversarial=False, observe=lambda step: None)
    checked.together({"alone": own}, None, "")  # it knows what it gives
    with_logits = module(adversarial=False, logits=lambda step: None)
    checked.together({"alone": with_logits, "calm": watching}, watching, "ada")
