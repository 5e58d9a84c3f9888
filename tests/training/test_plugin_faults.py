"""What a plugin does wrong in a training is told in one line that names it."""

import dataclasses

import pytest
import torch
from packages import install
from small import batch, plain, step_d, team
from torch import nn

from fewgan.cli.failures import report
from fewgan.networks import Networks
from fewgan.plugin import FewganError, Group
from fewgan.registry import choose
from fewgan.testing.base import config, networks
from fewgan.training.players import assemble, optimizers

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
    with pytest.raises(FewganError, match=f"plugin odd: its discriminator_loss returned {what} and not a scalar"):
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
    raises = Plugin(api=1, summary="R", options=Options, build=fails)

    class Calm(torch.nn.Module):
        def forward(self, images, strength):
            return images

    calm = Plugin(api=1, summary="C", options=Options, build=lambda options: Calm())
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


def test_a_forward_with_other_arguments_names_its_package(tmp_path, monkeypatch, tiny_installed, capsys):
    """torch calls it, and no line of it runs."""
    points = {"augmentations": ["calm = broken_plugin:calm"]}
    monkeypatch.syspath_prepend(install(tmp_path / "site", "fewgan-odd", points, {"broken_plugin": BROKEN}))
    plugin, options = choose("augmentations", "calm").plugin()
    with pytest.raises(TypeError) as caught:
        dataclasses.replace(team(), augmentation=plugin.build(options)).augment(batch()[0])
    assert "internal error in the augmentation calm of the package fewgan-odd" in explained(caught.value, capsys)


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
    assert f"the augmentation odd returned {what}" in str(caught.value)
    players.augmentation = Augments(lambda x: x * 2)
    assert torch.equal(players.augment(images), images * 2)


def test_a_group_for_no_network_is_refused():
    players = team()
    players.names = {"transfer": "odd"}
    players.transfer.groups = lambda: [Group(list(players.generator.parameters()), 1e-3, network="G")]
    with pytest.raises(FewganError, match="transfer method odd: a group of its parameters is for the network 'G'"):
        optimizers(players, plain())
