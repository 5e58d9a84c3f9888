"""Fidelity, diversity and authenticity, against the reference's numbers, closed forms and plain loops."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from fewgan.scoring import distances, manifold

GOLDEN = Path(__file__).parents[1] / "golden" / "fid" / "io.safetensors"


def test_precision_and_recall_of_the_reference():
    golden = load_file(GOLDEN)
    found = manifold.coverage(golden["feat_full_1"], golden["feat_full_2"])
    assert found.precision == pytest.approx(float(golden["precision_k3_full"]), rel=1e-6)
    assert found.recall == pytest.approx(float(golden["recall_k3_full"]), rel=1e-6)


@st.composite
def two_sets(draw, fewest=2):
    n, m, d = draw(st.integers(fewest, 14)), draw(st.integers(fewest, 14)), draw(st.integers(1, 9))
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    shift = draw(st.sampled_from([0.0, 3.0, 1e3]))
    return generator.normal(size=(n, d)) + shift, generator.normal(size=(m, d)) * 2 + shift


def between(a, b):
    return np.linalg.norm(a[:, None] - b[None], axis=2)


@settings(max_examples=60, deadline=None)
@given(two_sets(), st.integers(1, 4), st.integers(1, 6), st.sampled_from([3, 512]))
def test_coverage_counts_balls(pair, k, dense_k, tile):
    real, fake = pair

    def radii(x, k):
        return np.sort(between(x, x), axis=1)[:, min(k, len(x) - 1)]

    held = between(fake, real) <= radii(real, k)[None]
    recalled = between(real, fake) <= radii(fake, k)[None]
    dense = between(fake, real) < radii(real, dense_k)[None]  # without the border
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(distances, "TILE", tile)
        found = manifold.coverage(real, fake, k=k, dense_k=dense_k)
    assert found.precision == pytest.approx(held.any(1).mean())
    assert found.recall == pytest.approx(recalled.any(1).mean())
    assert found.density == pytest.approx(dense.sum(1).mean() / min(dense_k, len(real) - 1))
    assert found.coverage == pytest.approx(dense.any(0).mean())


@settings(max_examples=40, deadline=None)
@given(two_sets(), st.sampled_from([3, 512]))
def test_a_fake_is_authentic_beyond_the_nearest_neighbour_of_its_nearest_photo(pair, tile):
    real, fake = pair
    count = 0
    for row in fake:
        to_real = np.linalg.norm(real - row, axis=1)
        nearest = to_real.argmin()
        others = np.delete(np.linalg.norm(real - real[nearest], axis=1), nearest)
        count += others.min() < to_real[nearest]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(distances, "TILE", tile)
        assert manifold.authentic(real, fake) == pytest.approx(count / len(fake))


@settings(max_examples=40, deadline=None)
@given(two_sets())
def test_vendi_is_the_entropy_of_the_eigenvalues(pair):
    x = pair[1]
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    values = np.linalg.eigvalsh(unit @ unit.T / len(x))
    values = values[values > 1e-12]
    assert manifold.vendi(x) == pytest.approx(np.exp(-(values * np.log(values)).sum()), rel=1e-6)


def test_closed_forms():
    # Pictures at right angles count each, copies count once.
    assert manifold.vendi(torch.eye(7)) == pytest.approx(7)
    assert manifold.vendi(torch.eye(7).repeat(5, 1)) == pytest.approx(7)
    assert manifold.vendi(torch.ones(9, 4)) == pytest.approx(1)
    # On a line with photos at 0, 1, …, 9, each ball of k = 1 reaches to the neighbours, which precision alone includes.
    photos = torch.arange(10.0).unsqueeze(1)
    assert manifold.coverage(photos, photos, k=1, dense_k=1) == manifold.Coverage(1.0, 1.0, 1.0, 1.0)
    assert manifold.authentic(photos, photos) == 0
    assert manifold.authentic(photos, torch.tensor([[0.1], [4.4], [-0.9], [-1.1], [12.0]])) == pytest.approx(2 / 5)
    # Fakes in the balls of two photos: precise, and they cover two of ten.
    one = manifold.coverage(photos, torch.tensor([[4.5], [4.5]]), k=1, dense_k=1)
    assert (one.precision, one.density, one.coverage) == (1.0, 2.0, pytest.approx(0.2))
    # Of three photos none has five neighbours: k is 2, the balls of 0 and 2 hold two photos, that of 1 its own.
    assert manifold.coverage(photos[:3], photos[:3]).density == pytest.approx(5 / 6)


def test_a_collapsed_generator_is_precise_and_dense_and_covers_little():
    photos = torch.randn(100, 8, generator=torch.Generator().manual_seed(0))
    collapsed = photos[:1] + 1e-3 * torch.randn(500, 8, generator=torch.Generator().manual_seed(1))
    found = manifold.coverage(photos, collapsed)
    assert found.precision == 1
    assert found.coverage < 0.3
    assert manifold.vendi_ratio(photos, collapsed) < 0.5
    assert manifold.authentic(photos, collapsed) == 0


def test_two_sets_of_one_law_have_density_and_vendi_ratio_1():
    generator = torch.Generator().manual_seed(0)
    photos, fakes = torch.randn(100, 64, generator=generator), torch.randn(3000, 64, generator=generator)
    assert manifold.coverage(photos, fakes).density == pytest.approx(1, abs=0.15)
    assert manifold.vendi(fakes) > 1.15 * manifold.vendi(photos)  # there are 30 times as many
    assert manifold.vendi_ratio(photos, fakes) == pytest.approx(1, abs=0.03)
    assert manifold.vendi_ratio(fakes, photos) == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize(("count", "dim"), [(20, 2048), (100, 640), (200, 64)])
def test_exact_copies_lie_on_the_border_of_a_ball_whatever_is_rounded(count, dim):
    """A ball holds its own photo and four others; the fifth is on its border, which precision alone includes."""
    photos = 10 + torch.randn(count, dim, generator=torch.Generator().manual_seed(0))
    order = torch.randperm(count, generator=torch.Generator().manual_seed(1))
    found = manifold.coverage(photos, photos[order])
    assert (found.density, found.coverage, found.precision) == (1.0, 1.0, 1.0)
