"""Leaks of augmentations into samples, on pictures made to show them."""

import dataclasses

import pytest
import torch
from drawn import draw, smooth
from small import team

from fewgan import distributed
from fewgan.photos.prepare import prepare
from fewgan.plugin import Plugin
from fewgan.registry import choose
from fewgan.testing.base import QUIET, config
from fewgan.training import session, ticks
from fewgan.training.overfitting import HeldOut, augment_aside, leak


def photos(count, first=0):
    import numpy as np

    made = [torch.from_numpy(np.array(smooth(32, 32, first + index))) for index in range(count)]
    return torch.stack(made).permute(0, 3, 1, 2).contiguous()


def augmented(images):
    plugin, options = choose("augmentations", "diffaugment").plugin()
    assert isinstance(plugin, Plugin)
    torch.manual_seed(0)
    floats = plugin.build(options, size=32)(images.float() / 127.5 - 1)
    return ((floats + 1) * 127.5).round().clamp(0, 255).byte()


def test_photos_do_not_leak_and_augmented_photos_do():
    real = photos(32)
    changed = augmented(real)
    assert leak(real, changed, photos(32, 100)) < 0.3
    assert leak(real, changed, augmented(photos(32, 100))) > 0.6


def test_half_of_the_samples_leak():
    real = photos(64)
    mixed = torch.cat((photos(32, 200), augmented(photos(32, 300))))
    assert 0.2 < leak(real, augmented(real), mixed) < 0.9


def test_an_augmentation_that_changes_nothing_cannot_leak():
    real = photos(32)
    assert leak(real, real, augmented(real)) == 0.0


def test_an_unconditional_d_is_shown_no_labels(tmp_path, monkeypatch, tiny_installed):
    draw(tmp_path / "photos", 24)
    prepare(tmp_path / "photos", tmp_path / "dataset", size=16, holdout=16, workers=1, screen=QUIET)
    work = session.begin(config(tmp_path), QUIET)
    shown = []
    team = work.state.players
    monkeypatch.setattr(type(team), "discriminate", lambda self, images, labels: shown.append(labels) or images)
    HeldOut(work).logit()
    assert shown == [None]


@pytest.mark.parametrize("rank", [0, 1])
def test_only_the_process_that_asks_it_holds_the_held_out_photos(tmp_path, monkeypatch, rank, tiny_installed):
    draw(tmp_path / "photos", 24)
    prepare(tmp_path / "photos", tmp_path / "dataset", size=16, holdout=16, workers=1, screen=QUIET)
    work = session.begin(config(tmp_path), QUIET)
    made = []
    monkeypatch.setattr(ticks, "HeldOut", lambda work: made.append(work) or HeldOut(work))
    monkeypatch.setattr(distributed, "rank", lambda: rank)
    ticks.Ticks(work, tmp_path, QUIET)
    assert len(made) == (rank == 0)


class Counts(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))

    def forward(self, images):
        self.calls += 1
        return images * 2


def test_what_an_augmentation_remembers_does_not_depend_on_how_often_is_looked(tiny_installed):
    counts, images = Counts(), torch.ones(2, 3, 16, 16)
    players = dataclasses.replace(team(), augmentation=counts)
    assert torch.equal(augment_aside(players, images), images * 2)
    assert counts.calls == 0
    players.augment(images)
    assert counts.calls == 1
    assert torch.equal(augment_aside(team(), images), images)
