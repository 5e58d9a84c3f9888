"""Random features: reproducible, and able to tell worse pictures from better ones."""

import hashlib

import numpy as np
import pytest
import torch
from drawn import smooth

from fewgan.features.random import Options, build
from fewgan.plugin import Features
from fewgan.scoring import distances, manifold
from fewgan.testing import FeaturesTests


@pytest.fixture(scope="module")
def network():
    return build(Options())


def pictures(count, seed=0):
    return torch.stack([torch.from_numpy(np.array(smooth(64, 64, seed + i))).permute(2, 0, 1) for i in range(count)])


@torch.no_grad()
def features(network, images):
    return torch.cat([network(part) for part in images.split(16)])


def test_the_weights_come_from_the_seed_alone(network):
    """The stream of NumPy's RandomState never changes, so neither do scores."""
    torch.manual_seed(1)
    again, other = build(Options()), build(Options(seed=1))
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), again.parameters(), strict=True))
    first = network.network[0].weight
    expected = np.random.RandomState(0).standard_normal(27)[:27].reshape(3, 3, 3) * np.sqrt(2 / 27)
    assert torch.equal(first[0], torch.from_numpy(expected).float())
    assert not torch.equal(first, other.network[0].weight)
    assert len({network.identity, other.identity}) == len({network.score_name, other.score_name}) == 2
    digest = hashlib.sha256(b"".join(p.detach().contiguous().numpy().tobytes() for p in network.parameters()))
    assert digest.hexdigest()[:16] == "2d4acb653c64a561"


def test_it_is_a_features_plugin(network):
    assert isinstance(network, Features)
    assert network(pictures(2)).shape == (2, 64)
    assert sum(isinstance(layer, torch.nn.Conv2d) for layer in network.network) == 13  # of VGG16
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_worse_pictures_score_worse(network):
    photos, new = features(network, pictures(60)), pictures(60, seed=1000)
    noise = torch.randn(new.shape, generator=torch.Generator().manual_seed(0))
    noisy = [(new + s * 255 * noise).clamp(0, 255).to(torch.uint8) for s in (0.05, 0.1, 0.2)]
    scores = [distances.kid(photos, features(network, images)).full for images in (new, *noisy)]
    assert scores == sorted(scores)
    assert scores[1] > scores[0] + 0.1
    collapsed = features(network, new[:5].repeat(12, 1, 1, 1))
    assert (
        manifold.coverage(photos, collapsed).coverage < manifold.coverage(photos, features(network, new)).coverage - 0.3
    )


class TestConformance(FeaturesTests):
    plugin = "random"


def test_maps_are_those_that_the_features_come_from(network):
    images = pictures(2)
    floats = images.float().requires_grad_()
    found = network.maps(floats)
    assert [tuple(one.shape[1:]) for one in found] == [
        (64, 64, 64),
        (128, 32, 32),
        (256, 16, 16),
        (512, 8, 8),
        (512, 4, 4),
    ]
    with torch.no_grad():
        rest = network.network[[isinstance(layer, torch.nn.Flatten) for layer in network.network].index(True) :]
        pooled = torch.nn.functional.max_pool2d(found[-1], 2)
        assert torch.allclose(rest(pooled), network(images), rtol=1e-4, atol=1e-5)
    (gradient,) = torch.autograd.grad(sum(one.mean() for one in found), floats)
    assert gradient.isfinite().all()
    assert gradient.abs().amax(dim=(1, 2, 3)).min() > 0
