"""Spectral normalisation against closed forms."""

import copy

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional as F

from fewgan import storage
from fewgan.architectures.biggan.resampling import DownsampleConv2d, UpsampleConv2d
from fewgan.errors import UsageError
from fewgan.layers import Frozen, SpectralConv2d, SpectralEmbedding, SpectralLinear, advance, constant, full_precision
from fewgan.networks import Networks
from fewgan.sources.empty import build_empty


def test_sigma_converges_to_the_largest_singular_value():
    layer = SpectralLinear(7, 5).double()
    with torch.no_grad():
        layer.weight.copy_(torch.randn(5, 7, dtype=torch.float64))
    for _ in range(500):
        layer.advance()
    largest = torch.linalg.svdvals(layer.weight)[0]
    assert torch.isclose(layer.sigma(), largest, rtol=1e-10)
    assert torch.isclose(layer.sv0[0], largest, rtol=1e-10)
    assert torch.isclose(torch.linalg.svdvals(layer.normalized())[0], torch.ones((), dtype=torch.float64), rtol=1e-10)


def test_training_uses_the_sigma_of_the_last_advance_whatever_is_forwarded():
    layer = SpectralLinear(6, 4)
    layer.advance()
    before = layer.sigma(), layer.u0.clone()
    for _ in range(3):
        layer(torch.randn(2, 6))
    assert torch.equal(layer.sigma(), before[0])
    assert torch.equal(layer.u0, before[1])


def test_one_iteration_without_advance_is_the_one_of_advance():
    layer = SpectralConv2d(3, 8, 3)
    lone = layer.sigma()
    layer.advance()
    assert torch.allclose(layer.sigma(), lone, rtol=1e-6)


def test_a_frozen_layer_does_not_advance():
    layer = SpectralEmbedding(5, 3)
    layer.advance()
    layer.weight.requires_grad_(False)
    before = layer.u0.clone()
    advance(layer)
    assert torch.equal(layer.u0, before)


def test_sigma_carries_gradient_through_the_weight_alone():
    layer = SpectralLinear(4, 3).double()
    layer.advance()
    x = torch.randn(2, 4, dtype=torch.float64)
    u, v = layer.u0.clone(), layer._v.clone()
    (own,) = torch.autograd.grad(layer(x).square().sum(), layer.weight)
    weight = layer.weight.detach().clone().requires_grad_()
    normalized = weight / (u @ weight @ v.t())
    (reference,) = torch.autograd.grad(F.linear(x, normalized, layer.bias).square().sum(), weight)
    assert torch.allclose(own, reference, rtol=1e-10)


def test_loading_weights_forgets_the_old_vectors():
    layer = SpectralLinear(4, 3)
    layer.advance()
    layer.load_state_dict(SpectralLinear(4, 3).state_dict())
    assert layer._v is None


@pytest.mark.parametrize("training", [True, False])
def test_upsampling_convolution_is_the_plain_one_in_float64(training):
    layer = UpsampleConv2d(5, 7).double().train(training)
    layer.advance()
    x = torch.randn(2, 5, 6, 4, dtype=torch.float64)
    plain = F.conv2d(F.interpolate(x, scale_factor=2), layer.normalized(), layer.bias, padding=1)
    assert (layer(x) - plain).abs().max() < 1e-9


@pytest.mark.parametrize("training", [True, False])
def test_downsampling_convolution_is_the_plain_one_in_float64(training):
    layer = DownsampleConv2d(5, 7).double().train(training)
    layer.advance()
    x = torch.randn(2, 5, 8, 4, dtype=torch.float64)
    plain = F.avg_pool2d(F.conv2d(x, layer.normalized(), layer.bias, padding=1), 2)
    assert (layer(x) - plain).abs().max() < 1e-9


KINDS = [
    (lambda: SpectralLinear(6, 4), (2, 6)),
    (lambda: SpectralConv2d(3, 4, 3), (2, 3, 8, 8)),
    (lambda: UpsampleConv2d(3, 4), (2, 3, 4, 4)),
    (lambda: DownsampleConv2d(3, 4), (2, 3, 8, 8)),
]


class Part(nn.Module):
    def __init__(self, value: float) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 2, bias=False)
        nn.init.constant_(self.linear.weight, value)
        self.drop = nn.Dropout(0.5)

    def forward(self, x):
        return self.drop(self.linear(x))


class Holder(nn.Module):
    def __init__(self, identity: str = "a") -> None:
        super().__init__()
        self.frozen = Frozen(lambda: Part(2.0), identity)
        self.own = nn.Linear(2, 1)


def test_a_frozen_part_is_in_no_state_dict_and_never_learns():
    holder = Holder().train()
    assert list(holder.state_dict()) == ["frozen.identity", "own.weight", "own.bias"]
    assert [name for name, _ in holder.named_parameters()] == ["own.weight", "own.bias"]
    assert not holder.frozen.part.training
    x = torch.ones(1, 2, requires_grad=True)
    holder.frozen(x).sum().backward()  # its weights have no gradient, what goes in has
    assert torch.equal(x.grad, torch.full((1, 2), 4.0))
    assert holder.frozen.part.linear.weight.grad is None


def test_a_frozen_part_moves_with_its_holder_and_copies_share_it():
    holder = Holder()
    twin = copy.deepcopy(holder)
    assert twin.frozen.part is holder.frozen.part
    holder.double()
    assert holder.frozen.part.linear.weight.dtype == torch.float64
    twin.load_state_dict(holder.state_dict())


def test_other_pretrained_weights_are_refused_at_load():
    with pytest.raises(RuntimeError, match="other pretrained weights"):
        Holder("b").load_state_dict(Holder("a").state_dict())
    with pytest.raises(UsageError, match=r"file.safetensors: .*other pretrained weights"):
        storage.load_state(Holder("b"), Holder("a").state_dict(), "file.safetensors")


def test_a_frozen_part_has_its_weights_where_initialisation_is_skipped():
    built = build_empty(lambda: Networks(Holder(), Holder, None))
    for holder in (built.generator, built.with_discriminator().discriminator):
        assert (holder.frozen.part.linear.weight == 2).all()


class Counting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def advance(self) -> None:
        self.count += 1


def test_advance_reaches_every_module_once_and_stops_at_one_that_has_its_own():
    shared, own, inner = Counting(), Counting(), Counting()
    own.inner = inner
    advance(nn.ModuleList([nn.Sequential(shared, own), nn.ModuleList([SpectralLinear(2, 2)])]))
    assert (shared.count, own.count, inner.count) == (1, 1, 0)


def test_rows_of_a_spectral_embedding_are_exact_whatever_their_number():
    rows = torch.randn(1, 5).expand(8, 5) * 0.3
    layer = SpectralEmbedding(8, 5).eval()
    layer.set_rows(rows)
    assert torch.allclose(layer(torch.arange(8)), rows, atol=1e-6)
    state = layer.state_dict()
    del state["gain"]  # a file of before there was one
    fresh = SpectralEmbedding(8, 5)
    fresh.load_state_dict(state)
    assert fresh.gain == 1


def test_kernels_are_float32_whatever_the_precision_around_them():
    for make, _ in KINDS:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert make().kernel().dtype == torch.float32


def test_full_precision_turns_autocast_off_and_on_again():
    x = torch.randn(4, 4)
    with torch.autocast("cpu", torch.bfloat16):
        assert (x @ x).dtype == torch.bfloat16
        with full_precision(x.device):
            assert (x @ x).dtype == torch.float32
            with full_precision(x.device):
                assert (x @ x).dtype == torch.float32
        assert (x @ x).dtype == torch.bfloat16


@pytest.mark.parametrize("name", ["cpu", "meta"])
def test_full_precision_enters_no_context_where_autocast_is_off(name, monkeypatch):
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: pytest.fail("a device may have no autocast at all"))
    with full_precision(torch.device(name)):
        assert torch.ones(1, device=name).dtype == torch.float32


def test_a_constant_is_made_once_for_each_type_and_kept_by_value():
    like = torch.zeros(1, dtype=torch.float64)
    first = constant(((1, 2.5),), like)
    assert first.tolist() == [[1.0, 2.5]]
    assert first.dtype == torch.float64
    assert constant(((1, 2.5),), torch.ones(3, dtype=torch.float64)) is first
    assert constant(((1, 2.5),), torch.zeros(1)).dtype == torch.float32
    assert constant((1, 2.5), like).shape == (2,)
    with FakeTensorMode():
        assert constant((7.0, 8.0), torch.zeros(1)).shape == (2,)
    assert constant((7.0, 8.0), torch.zeros(1)).tolist() == [7, 8]  # no stand-in of an export stays
