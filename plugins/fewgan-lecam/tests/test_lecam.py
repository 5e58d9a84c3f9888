"""LeCam against hand-computed numbers."""

import dataclasses

import pytest
import torch
from fewgan_lecam import Options, build

from fewgan.plugin import Step, UsageError
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


@pytest.mark.parametrize("start", [0, 2])
def test_averages_follow_from_the_start_on_and_the_term_counts_after_it(start):
    """As in the official code: `itr < start` makes the last means, `itr > start` has the term on."""
    lecam = build(Options(weight=0.3, decay=0.9, start=start), networks=None)
    for index in range(max(start, 1)):
        real, fake = [([1.0, 3.0], [-1.0, 0.0]), ([4.0, 4.0], [-2.0, -2.0])][index - max(start, 1)]
        assert lecam.discriminator_loss(step(index, real, fake)) == 0
    assert (lecam.ema_real, lecam.ema_fake) == (4, -2)  # until then the last means
    if start:
        assert lecam.discriminator_loss(step(start, [4.0, 4.0], [-2.0, -2.0])) == 0
        assert (lecam.ema_real, lecam.ema_fake) == (4, -2)
    now = step(start + 1, [2.0, 0.0], [1.0, -3.0])
    loss = lecam.discriminator_loss(now)
    assert lecam.ema_real.item() == pytest.approx(0.9 * 4 + 0.1 * 1)
    assert lecam.ema_fake.item() == pytest.approx(0.9 * -2 + 0.1 * -1)
    real = ((2 + 1.9) ** 2 + 1.9**2) / 2
    fake = ((3.7 - 1) ** 2 + (3.7 + 3) ** 2) / 2
    assert loss.item() == pytest.approx(0.3 * (real + fake))
    loss.backward()
    assert now.logits_real.grad.tolist() == pytest.approx([0.3 * 3.9, 0.3 * 1.9])
    assert now.logits_fake.grad.tolist() == pytest.approx([-0.3 * 2.7, -0.3 * 6.7])


def test_logits_on_the_right_side_cost_nothing():
    lecam = build(Options(start=0, decay=1.0), networks=None)
    lecam.ema_real.fill_(-1.0)
    lecam.ema_fake.fill_(5.0)
    assert lecam.discriminator_loss(step(1, [1.0, 4.0], [0.0, 3.0])) == 0


def test_every_micro_batch_is_taken_in_before_its_term():
    lecam = build(Options(weight=1.0, decay=0.9, start=0), networks=None)
    lecam.ema_real.fill_(5.0)
    lecam.ema_fake.fill_(-5.0)
    real, fake = 5.0, -5.0
    for logits in (1.0, 3.0):
        real, fake = 0.9 * real + 0.1 * logits, 0.9 * fake - 0.1 * logits
        loss = lecam.discriminator_loss(step(1, [logits], [-logits]))
        assert loss.item() == pytest.approx((logits - fake) ** 2 + (real + logits) ** 2)


def test_a_loss_without_logits_is_refused():
    lecam = build(Options(), networks=None)
    given = dataclasses.replace(step(0, [1.0], [0.0]), logits_real=None, logits_fake=None)
    with pytest.raises(UsageError, match="--lecam: the loss that was chosen beside it gives no logits"):
        lecam.discriminator_loss(given)


def test_the_averages_are_in_the_state_and_in_the_metrics():
    lecam = build(Options(), networks=None)
    assert {name for name, buffer in lecam.named_buffers() if buffer.dim() == 0} == {"ema_real", "ema_fake"}
    assert set(lecam.state_dict()) == {"ema_real", "ema_fake"}


class TestConformance(RegularizerTests):
    plugin, options = "lecam", {"start": 3}
