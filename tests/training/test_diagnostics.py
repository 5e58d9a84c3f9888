"""Signs of a training that goes wrong, from made-up metrics."""

import pytest

from fewgan.training.diagnostics import signs


def lines(count, **values):
    """Metrics every 10 steps from step 10 on; values may be functions of the step."""
    steps = range(10, 10 * count + 1, 10)
    return [{"step": step} | {k: v(step) if callable(v) else v for k, v in values.items()} for step in steps]


HEALTHY = {"loss_d": 1.2, "logit_gap": 0.8, "sample_spread": 0.7}


def test_a_healthy_training_shows_none():
    assert signs(lines(100, **HEALTHY), "hinge") == {}
    assert signs([], "hinge") == {}


@pytest.mark.parametrize(("loss", "undecided"), [("hinge", 2.0), ("nonsaturating", 1.386)])
def test_a_lost_discriminator_is_told_after_200_steps(loss, undecided):
    values = HEALTHY | {"loss_d": undecided, "logit_gap": 0.01}
    assert signs(lines(21, **values), None) == {}
    assert signs(lines(20, **values), loss) == {}
    advice = signs(lines(21, **values), loss)["discriminator-lost"]
    assert "200 steps" in advice
    assert "--lr-g" in advice


def test_a_gap_that_comes_and_goes_is_no_sign():
    values = HEALTHY | {"loss_d": 2.0, "logit_gap": lambda step: 0.2 if step % 20 else -0.2}
    assert signs(lines(60, **values), "hinge") == {}


def test_a_discriminator_that_tells_all():
    values = HEALTHY | {"loss_d": 0.01, "logit_gap": 5.0}
    assert list(signs(lines(21, **values), "hinge")) == ["discriminator-too-strong"]
    assert signs(lines(21, **values), "wasserstein") == {}  # its loss has no such floor
    assert signs(lines(21, **values), None) == {}  # what is known of a plugin's loss
    once_more = HEALTHY | {"loss_d": lambda step: 0.3 if step == 150 else 0.01, "logit_gap": 5.0}
    assert signs(lines(21, **once_more), "hinge") == {}


def test_samples_that_are_alike():
    values = HEALTHY | {"sample_spread": lambda step: (0.5 if step < 300 else 0.02) if step % 100 == 0 else None}
    assert signs(lines(49, **values), "hinge") == {}
    assert "since step 300" in signs(lines(50, **values), "hinge")["samples-alike"]


def test_a_sign_is_told_once_a_run():
    values = HEALTHY | {"loss_d": 2.0, "logit_gap": 0.0}
    history = lines(21, **values)
    history[5] = history[5] | {"signs": ["discriminator-lost"]}
    assert signs(history, "hinge") == {}


def test_lines_of_failed_ticks_have_no_values():
    values = HEALTHY | {"loss_d": lambda step: None if step == 100 else 2.0, "logit_gap": lambda step: None}
    assert signs(lines(30, **values), "hinge") == {}


def test_updates_that_are_skipped_again_and_again():
    values = HEALTHY | {"skipped_d": lambda step: 10.0 if step > 100 else 0.0, "skipped_g": 0.0}
    assert "updates of the last 200 steps were skipped" in signs(lines(40, **values), "hinge")["updates-skipped"]
    assert signs(lines(40, **(values | {"skipped_d": 0.5})), "hinge") == {}


def test_a_discriminator_that_knows_the_photos_by_heart():
    values = HEALTHY | {"logit_real": 0.5, "logit_fake": -0.5, "logit_held_out": -0.45}
    assert signs(lines(20, **values), "hinge") == {}
    assert "held-out photos like samples" in signs(lines(21, **values), "hinge")["discriminator-overfits"]
    assert signs(lines(21, **values | {"logit_held_out": 0.2}), "hinge") == {}
    assert signs(lines(21, **values | {"logit_real": -0.48}), "hinge") == {}  # D separates nothing


def test_an_augmentation_that_shows_in_samples():
    values = HEALTHY | {"leak": lambda step: 0.7 if step % 200 == 0 else None}
    assert signs(lines(20, **values), "hinge") == {}
    assert "what the augmentation does" in signs(lines(40, **values), "hinge")["augmentation-leaks"]
    once = HEALTHY | {"leak": {200: 0.1, 400: 0.7}.get}
    assert signs(lines(40, **once), "hinge") == {}
    falling = HEALTHY | {"leak": {200: 0.9, 400: 0.7}.get}
    assert signs(lines(40, **falling), "hinge") == {}
