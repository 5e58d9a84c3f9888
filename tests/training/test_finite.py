"""What is not finite reaches neither weights nor state."""

import pytest
import torch
from torch import nn

from fewgan.training import finite

BAD = [float("nan"), float("inf"), -float("inf")]


def test_not_finite_sees_every_value():
    fine = [torch.ones(3), torch.full((2, 2), -3e17)]
    assert finite.not_finite(fine).item() == 0
    for value in BAD:
        assert finite.not_finite([torch.tensor(value), *fine]).item() == 1
        spoilt = torch.ones(4)
        spoilt[2] = value
        assert finite.not_finite([*fine, spoilt]).item() == 1


@pytest.mark.parametrize("fused", [True, False])
def test_a_skipped_step_leaves_weights_and_moments_as_they_were(fused):
    torch.manual_seed(0)
    left, right = nn.Linear(3, 2), nn.Linear(3, 2)
    right.load_state_dict(left.state_dict())
    both = [torch.optim.Adam(layer.parameters(), lr=0.1, fused=fused) for layer in (left, right)]
    for number in range(5):
        gradient = torch.randn(2, 3)
        skipped = number in (0, 2)
        for layer, optimizer in zip((left, right), both, strict=True):
            if skipped and layer is right:
                continue  # the other one never hears of this step
            spoilt = gradient / 0 if skipped else gradient
            layer.weight.grad, layer.bias.grad = spoilt.clone(), spoilt[:, 0].clone()
            finite.step(optimizer, finite.not_finite([layer.weight.grad, layer.bias.grad]))
    for ours, theirs in zip(left.parameters(), right.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    for ours, theirs in zip(both[0].state.values(), both[1].state.values(), strict=True):
        assert ours.keys() == theirs.keys()
        for name in ours:
            assert torch.equal(ours[name], theirs[name]), name
    assert not hasattr(both[0], "found_inf")


def test_restore_undoes_all_buffers_or_none():
    module = nn.BatchNorm2d(3)  # float statistics and an int64 counter
    module.register_buffer("probability", torch.tensor(0.25))
    before = {name: value.clone() for name, value in module.state_dict().items()}
    for undo in (0.0, 1.0):
        kept = finite.snapshot_buffers([module])
        module(torch.full((2, 3, 4, 4), float("nan" if undo else 7)))
        module.probability.fill_(float("nan") if undo else 0.5)
        changed = {name: value.clone() for name, value in module.state_dict().items()}
        finite.restore_buffers(kept, torch.tensor(undo))
        expected = before if undo else changed
        for name, value in module.state_dict().items():
            assert torch.equal(value, expected[name]), name
        before = expected
