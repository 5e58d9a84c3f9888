"""Losses of plugins as the loop takes them, and which of them is not finite."""

import pytest
import torch
from small import step_d, team
from torch import nn

from fewgan.plugin import FewganError
from fewgan.testing.base import QUIET, config
from fewgan.training import checked
from fewgan.training.loop import train

pytestmark = pytest.mark.usefixtures("tiny_installed")


class Odd(nn.Module):
    """A regularizer whose loss is of shape [1], and NaN; with `images`, the core's own loss is NaN, too."""

    def __init__(self, factor: float, *, images: bool = False) -> None:
        super().__init__()
        self.factor = factor
        if images:
            self.images = lambda real, fake, labels, fake_labels: (real * torch.nan, fake, labels, fake_labels)

    def discriminator_loss(self, step):
        return step.logits_real.mean().view(1) * self.factor


def test_a_loss_of_one_element_is_a_scalar():
    assert step_d(team(odd=Odd(0.5)))["loss_d"].shape == ()


def test_the_plugin_whose_loss_is_not_finite_is_found():
    players = team(calm=Odd(1.0), odd=Odd(torch.nan))
    step_d(players)
    assert checked.not_finite(players, "discriminator_loss") == ("regularizers", "odd")
    assert checked.not_finite(players, "generator_loss") is None  # no step of G has been made
    players = team(odd=Odd(torch.nan, images=True))
    step_d(players)
    assert checked.not_finite(players, "discriminator_loss") is None


def test_it_is_named_where_it_ends_a_training(tmp_path, monkeypatch):
    monkeypatch.setattr("fewgan.training.session.assemble", lambda *_: team(odd=Odd(torch.nan)))
    with pytest.raises(FewganError, match="the regularizer odd: its discriminator_loss has been NaN or infinite since"):
        train(config(tmp_path), QUIET)
