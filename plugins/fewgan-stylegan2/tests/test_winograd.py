"""Winograd's convolution is the convolution, to second order, in pieces of any size."""

import importlib.util
import threading

import pytest
import torch
from fewgan_stylegan2 import losses, winograd
from fewgan_stylegan2.layers import Conv2d
from fewgan_stylegan2.modulation import modulated_conv2d
from fewgan_stylegan2.resampling import downsample_conv2d, low_pass, upsample
from hypothesis import given, settings
from hypothesis import strategies as st
from test_golden import near
from test_modulation import agree, random
from torch.nn import functional as F


@settings(max_examples=25, deadline=None)
@given(
    count=st.integers(1, 5),
    channels=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    halves=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    tiles=st.sampled_from([1, 3, 8, 256]),
    layout=st.sampled_from([torch.contiguous_format, torch.channels_last]),
)
def test_it_is_the_convolution(count, channels, halves, tiles, layout):
    (ins, outs), (height, width) = channels, (2 * half for half in halves)
    x, weight, bias = random(count, ins, height, width), random(outs, ins, 3, 3), random(outs)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(winograd, "TILES", tiles)
        patch.setattr(winograd, "NUMBERS", 1)
        given = (x.contiguous(memory_format=layout), weight.contiguous(memory_format=layout))
        squares = winograd.conv2d(*given, bias).square()
        agree(squares, F.conv2d(x, weight, bias, padding=1).square(), (x, weight, bias))


def test_several_threads_share_the_pieces(monkeypatch):
    """Each computes with one thread, and what the caller computes afterwards still takes all."""
    monkeypatch.setattr(winograd, "TILES", 2)
    monkeypatch.setattr(winograd, "NUMBERS", 1)
    x, weight = random(3, 5, 6, 8), random(4, 5, 3, 3)
    seen, before = set(), torch.get_num_threads()
    multiply = winograd._multiply

    def spy(*given, **options):
        seen.add((threading.get_ident(), torch.get_num_threads()))
        multiply(*given, **options)

    monkeypatch.setattr(winograd, "_multiply", spy)
    try:
        torch.set_num_threads(2)
        agree(winograd.conv2d(x, weight).square(), F.conv2d(x, weight, padding=1).square(), (x, weight))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert {count for _, count in seen} == {1}
    assert threading.get_ident() not in {thread for thread, _ in seen}


@pytest.mark.parametrize("onednn", [True, False])
def test_float32_is_as_exact_as_the_ordinary_one(monkeypatch, onednn):
    if onednn:
        assert winograd._onednn() is not None
    else:
        monkeypatch.setattr(winograd, "_onednn", lambda: None)
    x, weight = random(2, 128, 16, 16), random(128, 128, 3, 3)
    exact = (F.conv2d(x, weight, padding=1), *gradients(F.conv2d, x, weight, padding=1))
    single = x.detach().float().requires_grad_(), weight.detach().float().requires_grad_()
    theirs = (F.conv2d(*single, padding=1), *gradients(F.conv2d, *single, padding=1))
    ours = (winograd.conv2d(*single), *gradients(winograd.conv2d, *single))
    for one, other, true in zip(ours, theirs, exact, strict=True):
        assert (one - true).norm() < 2 * (other - true).norm()


def test_it_may_be_imported_and_first_used_while_networks_are_made_without_data():
    """As reading a source does, on the device meta."""
    spec = importlib.util.find_spec("fewgan_stylegan2.winograd")
    fresh = importlib.util.module_from_spec(spec)
    with torch.device("meta"):
        spec.loader.exec_module(fresh)
        fresh._onednn()
    x, weight = random(2, 3, 6, 6).detach().float(), random(4, 3, 3, 3).detach().float()
    near(fresh.conv2d(x, weight), F.conv2d(x, weight, padding=1), 1e-5)


def gradients(convolve, x, weight, **options):
    return torch.autograd.grad(convolve(x, weight, **options).sin().sum(), (x, weight))


def wide(channels=192, count=4, side=16):
    return torch.randn(count, channels, side, side), torch.randn(192, channels, 3, 3)


def test_it_serves_wide_layers_in_float32_alone():
    x, weight = wide()
    assert winograd.serves(x, weight)
    assert winograd.serves(x.double(), weight.double())
    for other, kernel in (
        wide(channels=128),
        wide(count=3),
        (x, weight[:, :, :1, :1]),
        (x[:, :, 1:], weight),
        (x.bfloat16(), weight.bfloat16()),
        (x.to("meta"), weight.to("meta")),
    ):
        assert not winograd.serves(other, kernel)
    with torch.autocast("cpu", torch.bfloat16):
        assert not winograd.serves(x, weight)


@pytest.mark.parametrize("layer", ["discriminator", "generator"])
def test_the_layers_take_it(monkeypatch, layer):
    x, weight = wide()
    seen = []
    monkeypatch.setattr(winograd, "conv2d", lambda *given: seen.append(1) or F.conv2d(*given, padding=1))
    if layer == "discriminator":
        Conv2d(192, 192, 3)(x)
    else:
        modulated_conv2d(x, weight, torch.ones(4, 192))
    assert seen == [1]


def test_a_gradient_of_inputs_alone_makes_none_of_weights(monkeypatch):
    made = []
    kernels = winograd._KernelGradient.apply
    monkeypatch.setattr(winograd._KernelGradient, "apply", lambda *given: made.append(1) or kernels(*given))
    images, weight = random(2, 3, 6, 6), random(4, 3, 3, 3)

    def penalty(convolve):
        return losses.r1(convolve(images, weight).square().sum(dim=(1, 2, 3)), images, 1.0)

    actual = penalty(winograd.conv2d)
    assert not made
    expected = penalty(lambda x, kernel: F.conv2d(x, kernel, padding=1))
    for one, other in zip(
        torch.autograd.grad(actual, (images, weight)), torch.autograd.grad(expected, (images, weight)), strict=True
    ):
        near(one, other, 1e-9)
    assert made


def test_filters_in_bfloat16_are_those_of_float32():
    x = torch.randn(2, 6, 8, 8).bfloat16().requires_grad_()
    y = upsample(x, low_pass())
    assert y.dtype == torch.bfloat16
    near(y.float(), upsample(x.float(), low_pass()), 1e-2)
    weight = torch.randn(4, 6, 1, 1).bfloat16()
    (gradient,) = torch.autograd.grad(downsample_conv2d(x, weight, None, low_pass()).sum(), x)
    (exact,) = torch.autograd.grad(downsample_conv2d(x.float(), weight.float(), None, low_pass()).sum(), x)
    near(gradient.float(), exact.float(), 2e-2)
