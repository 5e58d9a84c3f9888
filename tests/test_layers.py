"""Spectral normalisation against closed forms."""

import pytest
import torch
from torch.nn import functional as F

from fewgan.architectures.biggan.resampling import DownsampleConv2d, UpsampleConv2d
from fewgan.layers import SpectralConv2d, SpectralEmbedding, SpectralLinear, advance


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


@pytest.mark.parametrize(("make", "shape"), KINDS)
def test_a_frozen_layer_keeps_its_kernel_until_something_changes(make, shape):
    layer, x = make().requires_grad_(False), torch.randn(shape)
    kept = layer.kernel()
    assert layer.kernel() is kept  # made once

    def expected():
        fresh = make()
        fresh.load_state_dict(layer.state_dict())
        return fresh.requires_grad_(False)(x)

    changes = {
        "an average's update": lambda: torch._foreach_lerp_([layer.weight], [torch.randn_like(layer.weight)], 0.5),
        "another u": lambda: layer.u0.copy_(torch.randn_like(layer.u0)),
        "a checkpoint": lambda: layer.load_state_dict(make().state_dict()),
        "another layout": lambda: layer.to(memory_format=torch.channels_last),
    }
    for name, change in changes.items():
        before = layer(x)
        with torch.no_grad():
            change()
        assert torch.allclose(layer(x), expected(), atol=1e-6), name
        if name != "another layout":
            assert not torch.allclose(layer(x), before, atol=1e-6), name
    layer.double()
    assert layer.kernel().dtype == torch.float64


@pytest.mark.parametrize(("make", "shape"), KINDS)
def test_a_layer_that_learns_keeps_nothing(make, shape):
    layer = make()
    frozen = layer.requires_grad_(False).kernel()
    layer.requires_grad_(True)
    assert layer.kernel() is not layer.kernel()
    assert layer.kernel().requires_grad
    assert torch.allclose(layer.kernel(), frozen, atol=1e-6)
    layer(torch.randn(shape)).sum().backward()
    assert layer.weight.grad is not None


def test_kernels_are_float32_whatever_the_precision_around_them():
    for make, _ in KINDS:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert make().kernel().dtype == torch.float32
