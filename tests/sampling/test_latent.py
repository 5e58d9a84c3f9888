from __future__ import annotations

import math
import tracemalloc
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from fewgan.plugin import UsageError
from fewgan.sampling.latent import (
    LABEL,
    LATENT,
    STATISTICS_LATENT,
    _cardinal,
    check_labels,
    check_seed,
    labels,
    latents,
    loop,
    path_through,
)

seeds = st.integers(0, 2**63 - 1)
truncations = st.floats(0, exclude_min=True, allow_infinity=False, allow_nan=False)


@given(seeds, st.integers(0, 2**40), truncations)
def test_truncated_values_are_finite_and_inside(seed: int, first: int, truncation: float) -> None:
    z = latents(seed, first, 2, 7, truncation)
    assert z.dtype == torch.float32
    assert z.shape == (2, 7)
    assert z.isfinite().all()
    assert z.double().abs().max() <= truncation  # compared in float64: not even by a rounding


@given(seeds, st.integers(0, 1000), st.integers(1, 8), st.integers(0, 7), st.none() | st.floats(1e-6, 10))
def test_a_picture_depends_on_seed_and_number_alone(
    seed: int, first: int, count: int, offset: int, truncation: float | None
) -> None:
    many = latents(seed, first, count, 5, truncation)
    index = min(offset, count - 1)
    assert torch.equal(many[index], latents(seed, first + index, 1, 5, truncation)[0])


@given(st.integers(0, 2**63 - 2), st.integers(0, 1000))
def test_pictures_and_seeds_and_streams_differ(seed: int, index: int) -> None:
    here = latents(seed, index, 1, 6)
    assert not torch.equal(here, latents(seed, index + 1, 1, 6))
    assert not torch.equal(here, latents(seed + 1, index, 1, 6))
    assert not torch.equal(here, latents(seed, index, 1, 6, stream=STATISTICS_LATENT))


@pytest.mark.parametrize("truncation", [None, 1e-8, 0.05, 0.5, 1.0, 2.0, 7.0])
def test_distribution(truncation: float | None) -> None:
    values = latents(1, 0, 200, 100, truncation).double().flatten().numpy()
    expected = stats.norm() if truncation is None else stats.truncnorm(-truncation, truncation)
    assert stats.kstest(values, expected.cdf).pvalue > 0.01


def test_a_tiny_truncation_is_exact() -> None:
    """Near 0 the normal is flat, so truncation at t is t times a uniform number, to the last digit."""
    uniform = latents(0, 0, 4, 50, 1e-12).double() / 1e-12
    again = latents(0, 0, 4, 50, 1e-30).double() / 1e-30
    torch.testing.assert_close(uniform, again, rtol=1e-6, atol=0)
    assert uniform.abs().max() > 0.9


def test_no_truncation_is_the_limit_of_a_wide_one() -> None:
    torch.testing.assert_close(latents(0, 0, 8, 50, 12.0), latents(0, 0, 8, 50, None), rtol=1e-6, atol=0)


def test_latents_are_the_same_in_every_version() -> None:
    """These numbers are part of what a seed means: a change breaks every published seed."""
    expected = torch.tensor([-2.2719, -0.7013, -1.2190])
    torch.testing.assert_close(latents(0, 0, 1, 3)[0], expected, rtol=0, atol=1e-4)
    expected = torch.tensor([0.7454, 0.8450, -0.4650])
    torch.testing.assert_close(latents(0, 16, 1, 3)[0], expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("truncation", [0.0, -1.0, math.inf, math.nan])
def test_wrong_truncation(truncation: float) -> None:
    with pytest.raises(UsageError, match="--truncation"):
        latents(0, 0, 1, 3, truncation)


@pytest.mark.parametrize("seed", [-1, 2**63])
def test_wrong_seed(seed: int) -> None:
    with pytest.raises(UsageError, match="--seed"):
        latents(seed, 0, 1, 3)


def test_labels() -> None:
    drawn = labels(0, 0, 3000, 3)
    assert drawn.dtype == torch.int64
    assert all(900 < (drawn == number).sum() < 1100 for number in range(3))
    assert torch.equal(drawn[100:110], labels(0, 100, 10, 3))
    assert labels(0, 2, 5, 3, [2, 0, 1]).tolist() == [1, 2, 0, 1, 2]
    assert labels(0, 0, 5, 3, torch.tensor([2, 0])).tolist() == [2, 0, 2, 0, 2]
    assert labels(0, 0, 4, 0).tolist() == labels(0, 0, 4, 1).tolist() == [0, 0, 0, 0]
    assert LABEL != LATENT


@pytest.mark.parametrize("wrong", [["rose"], "1", {1}, [], [1.5], [3], [-1], [None]])
def test_labels_that_are_none(wrong: Any) -> None:
    with pytest.raises(UsageError, match="labels: give whole numbers from 0 to 2, at least one"):
        check_labels(wrong, 3)


@pytest.mark.parametrize("wrong", [1.5, "1", -1, 2**63, None])
def test_seeds_that_are_none(wrong: Any) -> None:
    with pytest.raises(UsageError, match=f"--seed {wrong}: give a whole number"):
        check_seed(wrong)


@pytest.mark.parametrize("keyframes", [2, 3, 4, 7, 8])
@pytest.mark.parametrize("truncation", [None, 0.5])
def test_loop_meets_its_keyframes_and_closes(keyframes: int, truncation: float | None) -> None:
    z, left, share = loop(3, keyframes, 24, 40, truncation)
    assert z.shape == (keyframes * 24, 40)
    torch.testing.assert_close(z[::24], latents(3, 0, keyframes, 40, truncation), rtol=0, atol=1e-6)
    assert left.tolist() == [frame // 24 for frame in range(keyframes * 24)]
    assert share[::24].tolist() == [0.0] * keyframes
    assert share.max() < 1
    if truncation is not None:
        assert z.abs().max() <= truncation


@pytest.mark.parametrize("period", [1, 2, 3, 8, 51])
def test_the_weight_of_a_keyframe_is_the_sum_of_harmonics(period: int) -> None:
    distance = np.arange(24 * period) / 24
    angle = 2 * np.pi * distance / period
    total = 1 + 2 * sum((np.cos(k * angle) for k in range(1, (period - 1) // 2 + 1)), np.zeros_like(angle))
    total += np.cos(period / 2 * angle) if period % 2 == 0 else 0
    np.testing.assert_allclose(_cardinal(distance, period), total / period, rtol=0, atol=1e-12)
    assert np.array_equal(_cardinal(distance, period)[::24], [1] + [0] * (period - 1))


def test_memory_of_a_long_path_grows_with_its_length_alone() -> None:
    tracemalloc.start()
    path, _, _ = path_through(np.zeros((1000, 4)), 24, rescaled=True)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert path.shape == (24_000, 4)
    assert peak < 60e6  # all weights at once would be 192 MB


@pytest.mark.parametrize("keyframes", [3, 4, 8])
def test_loop_is_smooth_across_keyframes_and_the_seam(keyframes: int) -> None:
    z, _, _ = loop(0, keyframes, 24, 100)
    speed = z.roll(-1, 0) - z
    bend = (speed - speed.roll(1, 0)).norm(dim=1)
    assert bend.max() < 0.25 * speed.norm(dim=1).mean()  # a corner would bend by as much as the speed itself


def test_every_frame_of_a_loop_is_a_draw_from_the_distribution() -> None:
    z, _, _ = loop(0, 6, 8, 4000, 0.7)
    for frame in z[1::5]:
        assert stats.kstest(frame.double().numpy(), stats.truncnorm(-0.7, 0.7).cdf).pvalue > 1e-3
