"""Distances between sets of features, against the reference tools' numbers and against the plain formulas."""

import numpy as np
import pytest
import torch
from goldens import found
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch.utils._python_dispatch import TorchDispatchMode

from fewgan.plugin import UsageError
from fewgan.scoring import distances, manifold


@pytest.fixture(scope="module", params=found("fid/io.safetensors"), ids=str)
def golden(request):
    return load_file(request.param)


def near(value, expected, relative=1e-6):
    return abs(value - float(expected)) <= relative * abs(float(expected))


def test_frechet_distances_of_the_reference(golden):
    names = [name.split("_")[1] for name in golden if name.endswith("eigvals")]  # more in the shared numbers
    assert {"full", "fewfew"} <= set(names)
    for name in names:
        value = distances.frechet(golden[f"feat_{name}_1"], golden[f"feat_{name}_2"])
        assert near(value, golden[f"frechet_{name}_eigvals"]), name


def test_kid_of_the_reference(golden):
    a, b = golden["feat_full_1"][:350], golden["feat_full_2"]
    kid = distances.kid(a, b)
    assert near(kid.full, golden["kid_unbiased_full_first350"])
    assert near(kid.mean, kid.full)  # every subset is everything here
    assert kid.deviation < 1e-9


# The plain formulas ---------------------------------------------------------------------------------------------------


@st.composite
def two_sets(draw, fewest=2):
    n, m, d = draw(st.integers(fewest, 14)), draw(st.integers(fewest, 14)), draw(st.integers(1, 9))
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    shift = draw(st.sampled_from([0.0, 3.0, 1e3]))
    return generator.normal(size=(n, d)) + shift, generator.normal(size=(m, d)) * 2 + shift


def kernel(x, y):
    return (x @ y.T / x.shape[1] + 1) ** 3


def unbiased(a, b):
    def within(x):
        return (kernel(x, x).sum() - np.trace(kernel(x, x))) / (len(x) * (len(x) - 1))

    return within(a) + within(b) - 2 * kernel(a, b).mean()


@settings(max_examples=60, deadline=None)
@given(two_sets(), st.sampled_from([3, 512]))
def test_frechet_is_the_textbook_formula(pair, tile):
    a, b = pair
    first, second = (np.atleast_2d(np.cov(x, rowvar=False)) for x in pair)
    roots = np.sqrt(np.linalg.eigvals(first @ second).astype(complex)).real.sum()
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(first) + np.trace(second) - 2 * roots
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(distances, "TILE", tile)
        value = distances.frechet(a, b)
    # Eigenvalues lose half the digits where the product is singular, which the nuclear norm does not.
    assert abs(value - expected) <= 1e-5 * (np.trace(first) + np.trace(second)) + 1e-9
    assert value == pytest.approx(distances.frechet(b, a), rel=1e-9, abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(two_sets(), st.sampled_from([3, 512]))
def test_kid_is_the_textbook_formula(pair, tile):
    a, b = pair
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(distances, "TILE", tile)
        kid = distances.kid(a, b, subsets=7, size=5, seed=3)
    scale = kernel(a, a).mean() + kernel(b, b).mean()
    assert abs(kid.full - unbiased(a, b)) <= 1e-9 * scale
    random, size, values = np.random.default_rng(3), min(5, len(a), len(b)), []
    for _ in range(7):
        some = [x[random.choice(len(x), size, replace=False)] for x in pair]
        values.append(unbiased(*some))
    assert abs(kid.mean - np.mean(values)) <= 1e-9 * scale
    assert abs(kid.deviation - np.std(values)) <= 1e-9 * scale


@settings(max_examples=40, deadline=None)
@given(two_sets(fewest=3), st.integers(1, 5), st.sampled_from([3, 512]))
def test_nearest_is_a_sorted_list_of_all_distances(pair, k, tile):
    a, b = pair
    every = np.linalg.norm(a[:, None] - b[None], axis=2)
    wanted = min(k, len(b))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(distances, "TILE", tile)
        found, indices = distances.nearest(a, b, k)
    assert found.shape == indices.shape == (len(a), wanted)
    assert np.allclose(found, np.sort(every, axis=1)[:, :wanted], atol=1e-9)
    assert np.allclose(np.take_along_axis(every, indices.numpy(), 1), found, atol=1e-9)


def test_where_every_subset_is_everything_kid_does_not_vary():
    a, b = torch.randn(12, 7) * 30, torch.randn(12, 7) * 30
    found = distances.kid(a, b)
    assert (found.deviation, found.mean) == (0.0, found.full)
    assert distances.kid(a, torch.cat((b, b + 1))).deviation > 0


# What a user meets ----------------------------------------------------------------------------------------------------


def test_a_set_is_at_no_distance_from_itself():
    a = torch.randn(30, 5) + 100
    assert distances.frechet(a, a) == pytest.approx(0, abs=1e-9)
    assert distances.nearest(a, a)[0].max() == 0
    assert torch.equal(distances.nearest(a, a)[1][:, 0], torch.arange(30))


def test_identical_pictures_on_one_side_are_no_error():
    a, b = torch.randn(20, 5), torch.ones(10, 5)
    assert np.isfinite(distances.frechet(a, b))
    assert np.isfinite(distances.kid(a, b).mean)


@pytest.mark.parametrize(
    "measure", [distances.frechet, distances.kid, manifold.coverage, manifold.authentic, manifold.vendi_ratio]
)
def test_one_picture_is_too_few(measure):
    with pytest.raises(UsageError, match="at least 2 pictures on each side; there are 1 and 5"):
        measure(torch.randn(1, 4), torch.randn(5, 4))


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_features_are_left_as_they_were(kind):
    a, b = torch.randn(9, 4, dtype=kind), torch.randn(30, 4, dtype=kind)
    kept = a.clone(), b.clone()
    distances.frechet(a, b), distances.kid(a, b), distances.nearest(a, b, 2)
    manifold.coverage(a, b), manifold.authentic(a, b), manifold.vendi_ratio(a, b)
    assert torch.equal(a, kept[0])
    assert torch.equal(b, kept[1])


def test_kid_subsets_come_from_the_seed():
    a, b = torch.randn(40, 4), torch.randn(50, 4)
    assert distances.kid(a, b, size=10) == distances.kid(a, b, size=10)
    assert distances.kid(a, b, size=10, seed=1) != distances.kid(a, b, size=10)


# Memory ---------------------------------------------------------------------------------------------------------------


class Largest(TorchDispatchMode):
    """Notes the largest tensor of float64 that is made."""

    elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        for tensor in made if isinstance(made, tuple | list) else [made]:
            if isinstance(tensor, torch.Tensor) and tensor.dtype == torch.float64:
                self.elements = max(self.elements, tensor.untyped_storage().nbytes() // 8)
        return made


@pytest.mark.parametrize("measure", [distances.frechet, distances.kid, manifold.coverage])
def test_memory_does_not_grow_with_the_counts(measure):
    """No float64 tensor is larger than a tile or a few times [dim, dim], so none is [few, many]."""
    few, many = torch.randn(60, 64), torch.randn(20_000, 64)
    with Largest() as found:
        measure(few, many)
    assert found.elements <= distances.TILE**2
    assert found.elements < 60 * 20_000 / 4
