"""LeCam against hand-computed numbers."""

import pytest
import torch
from fewgan_lecam import Options, build

from fewgan.plugin import Step
from fewgan.testing import RegularizerTests


def step(index, real, fake):
    logits_real, logits_fake = torch.tensor(real, requires_grad=True), torch.tensor(fake, requires_grad=True)
    unused = dict.fromkeys(("real", "real_augmented", "fake", "fake_augmented", "labels", "fake_labels", "z"))
    doors = dict.fromkeys(("generator", "discriminator", "generate", "augment"))
    return Step(
        index=index,
        images_seen=0,
        planned_images=1,
        logits_real=logits_real,
        logits_fake=logits_fake,
        **unused,
        **doors,
    )


def test_averages_follow_and_the_term_counts_from_its_start_on():
    lecam = build(Options(weight=0.3, decay=0.9, start=2), networks=None)
    for index, (real, fake) in enumerate([([1.0, 3.0], [-1.0, 0.0]), ([4.0, 4.0], [-2.0, -2.0])]):
        now = step(index, real, fake)
        lecam.observe(now)
        assert lecam.discriminator_loss(now) == 0
    assert (lecam.ema_real, lecam.ema_fake) == (4, -2)  # until then the last means
    now = step(2, [2.0, 0.0], [1.0, -3.0])
    lecam.observe(now)
    assert lecam.ema_real.item() == pytest.approx(0.9 * 4 + 0.1 * 1)
    assert lecam.ema_fake.item() == pytest.approx(0.9 * -2 + 0.1 * -1)
    real = ((2 + 1.9) ** 2 + 1.9**2) / 2
    fake = ((3.7 - 1) ** 2 + (3.7 + 3) ** 2) / 2
    loss = lecam.discriminator_loss(now)
    assert loss.item() == pytest.approx(0.3 * (real + fake))
    loss.backward()
    assert now.logits_real.grad.tolist() == pytest.approx([0.3 * 3.9, 0.3 * 1.9])
    assert now.logits_fake.grad.tolist() == pytest.approx([-0.3 * 2.7, -0.3 * 6.7])


def test_logits_on_the_right_side_cost_nothing():
    lecam = build(Options(start=0, decay=0.5), networks=None)
    lecam.ema_real.fill_(-1.0)
    lecam.ema_fake.fill_(5.0)
    assert lecam.discriminator_loss(step(0, [1.0, 4.0], [0.0, 3.0])) == 0


def test_the_averages_are_in_the_state_and_in_the_metrics():
    lecam = build(Options(), networks=None)
    assert {name for name, buffer in lecam.named_buffers() if buffer.dim() == 0} == {"ema_real", "ema_fake"}
    assert set(lecam.state_dict()) == {"ema_real", "ema_fake"}


class TestConformance(RegularizerTests):
    plugin, options = "lecam", {"start": 3}
