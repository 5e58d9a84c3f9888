"""Modulation in both forms and the filters agree with the literal implementation, as do the derivatives in use."""

import pytest
import torch
from fewgan_stylegan2.modulation import choose, modulated_conv2d, modulated_projection
from fewgan_stylegan2.resampling import downsample_conv2d, filter_channels, low_pass, upsample, upsample_conv2d
from hypothesis import given, settings
from hypothesis import strategies as st
from test_golden import near, plain
from torch.nn import functional as F

F64 = torch.float64
FILTER = low_pass().to(F64)


def random(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed + sum(shape))
    return torch.randn(*shape, dtype=F64, generator=generator, requires_grad=True)


def derivatives(output, inputs):
    """The output, its gradients, and the gradients of the squares of these."""
    first = torch.autograd.grad(
        output, inputs, torch.linspace(-1, 1, output.numel()).view_as(output), create_graph=True
    )
    second = torch.autograd.grad(sum(one.square().sum() for one in first), inputs)
    return [output, *first, *second]


def agree(actual, expected, inputs):
    for one, other in zip(derivatives(actual, inputs), derivatives(expected, inputs), strict=True):
        near(one, other, 1e-9)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("form", ["grouped", "scaled"])
@pytest.mark.parametrize("up", [None, FILTER], ids=["same", "up"])
@pytest.mark.parametrize("count", [1, 3])
def test_forms_of_modulation(form, up, count, layout):
    x, weight, style = random(count, 5, 6, 6), random(4, 5, 3, 3), random(count, 5)
    y, factor = modulated_conv2d(
        x.contiguous(memory_format=layout),
        weight.contiguous(memory_format=layout),
        style,
        up=up,
        form=form,
    )
    actual = y if factor is None else y * factor[:, :, None, None]
    agree(actual, plain.modulated(x, weight, style, up=up), (x, weight, style))


def test_projection():
    x, weight, style, bias = random(3, 5, 6, 4), random(3, 5, 1, 1), random(3, 5), random(3)
    expected = plain.modulated(x, weight, style, demodulate=False) + bias.view(1, -1, 1, 1)
    agree(modulated_projection(x, weight, style, bias), expected, (x, weight, style))


def test_downsampling():
    x, weight, bias = random(2, 5, 8, 8), random(4, 5, 3, 3), random(4)
    expected = torch.conv2d(plain.filtered(x, FILTER, pad=(2, 2)), weight, bias, stride=2)
    agree(downsample_conv2d(x, weight, bias, FILTER), expected, (x, weight))
    point = random(4, 5, 1, 1)
    expected = torch.conv2d(plain.filtered(x, FILTER, pad=(1, 1)), point, stride=2)
    agree(downsample_conv2d(x, point, None, FILTER), expected, (x, point))


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 3), st.integers(1, 4), st.integers(1, 6), st.integers(1, 6))
def test_filters_on_any_shape(count, channels, height, width):
    x = random(count, channels, height, width)
    near(upsample(x, FILTER), plain.filtered(x, FILTER, up=2, pad=(2, 1), gain=4), 1e-12)
    near(filter_channels(x, FILTER, padding=2), plain.filtered(x, FILTER, pad=(2, 2)), 1e-12)
    y, weight = random(count, channels, 2 * height, 2 * width), random(2, channels, 3, 3)
    up, down = 4 * composed(weight.transpose(0, 1)), composed(weight)
    near(upsample_conv2d(x, weight.transpose(0, 1), FILTER), F.conv_transpose2d(x, up, stride=2, padding=2), 1e-9)
    near(downsample_conv2d(y, weight, None, FILTER), F.conv2d(y, down, stride=2, padding=2), 1e-9)


def composed(weight):
    """Kernels [a, b, 3, 3] and the filter -> their full convolutions [a, b, 6, 6]."""
    return F.conv2d(weight.reshape(-1, 1, 3, 3), FILTER[None, None], padding=3).view(*weight.shape[:2], 6, 6)


def test_gradients_of_the_filter_are_right_to_second_order():
    x = random(1, 2, 4, 6)
    for padding, stride in ((2, 1), (1, 1), (1, 2)):
        assert torch.autograd.gradgradcheck(
            lambda x, p=padding, s=stride: filter_channels(x, FILTER, padding=p, stride=s).pow(3), (x,)
        )
    assert torch.autograd.gradcheck(lambda x: upsample(x, FILTER), (x,))


def test_the_form_with_less_work_is_chosen():
    wide, narrow = torch.empty(512, 512, 3, 3, device="meta"), torch.empty(32, 32, 3, 3, device="meta")
    assert choose(torch.empty(1, 512, 8, 8, device="meta"), wide) == "scaled"
    assert choose(torch.empty(1, 32, 128, 128, device="meta"), narrow) == "grouped"
    assert choose(torch.empty(2, 32, 128, 128, device="meta"), narrow) == "scaled"
