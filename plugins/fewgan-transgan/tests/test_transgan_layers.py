"""Attention against its literal form, and the layers against those of PyTorch."""

import pytest
import torch
from fewgan_transgan import attention, layers
from fewgan_transgan.attention import attend
from fewgan_transgan.files import relative_position_index
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def literal(q, k, v, table=None):
    scores = q @ k.transpose(2, 3) * q.shape[-1] ** -0.5
    if table is not None:
        side = round(q.shape[2] ** 0.5)
        scores = scores + table[relative_position_index(side)].permute(2, 0, 1)
    return scores.softmax(-1) @ v


def given_tensors(side=4, keys=None, images=3, width=3):
    shapes = [(images, 2, side * side, width)] + [(images, 2, keys or side * side, width)] * 2
    shapes += [] if keys else [((2 * side - 1) ** 2, 2)]
    return [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]


def derivatives(function, inputs):
    """The result, its gradients, and those of a function of the gradients and the result."""
    out = function(*inputs)
    first = torch.autograd.grad(out.sin().sum(), inputs, create_graph=True)
    second = torch.autograd.grad(sum(x.cos().sum() for x in first), inputs)
    return [out, *first, *second]


@settings(deadline=None, max_examples=12)
@given(side=st.integers(1, 5), images=st.integers(1, 4), piece=st.integers(1, 3000), keys=st.sampled_from([None, 5]))
def test_attention_in_pieces_is_attention(side, images, piece, keys):
    inputs = given_tensors(side, keys, images)
    expected = derivatives(literal, inputs)
    for kept in (0, 1 << 20):
        found = derivatives(lambda *x, kept=kept: attend(*x, kept=kept, piece=piece), inputs)
        for ours, theirs in zip(found, expected, strict=True):
            assert torch.allclose(ours, theirs, rtol=0, atol=1e-10)


def test_derivatives_by_differences():
    inputs = given_tensors(2, images=1, width=1)

    def function(*x):
        return attend(*x, kept=0, piece=8)

    assert torch.autograd.gradcheck(function, inputs)
    assert torch.autograd.gradgradcheck(function, inputs)


def test_no_matrix_of_all_scores_is_kept_or_made(monkeypatch):
    """Of 1,024 tokens with pieces of 2 rows of 32: nothing that is made has more scores than a piece."""
    largest = []
    softmax = attention._weights

    def watched(*args):
        made = softmax(*args)
        largest.append(made.numel())
        return made

    monkeypatch.setattr(attention, "_weights", watched)
    inputs = [x.float().detach().requires_grad_() for x in given_tensors(32, images=1)]
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x.numel()) or x, lambda x: x):
        out = attend(*inputs, kept=0, piece=1 << 17)
        first = torch.autograd.grad(out.square().sum(), inputs, create_graph=True)
    torch.autograd.grad(sum(x.square().sum() for x in first), inputs)
    assert max(largest) <= 1 << 17
    assert max(kept) < 1 << 14


@pytest.mark.parametrize("kept", [0, 1 << 30])
def test_attention_in_bfloat16(kept):
    inputs = [x.float().detach().requires_grad_() for x in given_tensors(4)]
    expected = derivatives(literal, inputs)
    narrow = [*(x.detach().bfloat16().requires_grad_() for x in inputs[:3]), inputs[3]]
    with torch.autocast("cpu", torch.bfloat16):
        found = derivatives(lambda *x: attend(*x, kept=kept, piece=600), narrow)
    assert found[0].dtype == torch.bfloat16
    for ours, theirs in zip(found, expected, strict=True):
        assert (ours.float() - theirs).norm() < 0.05 * theirs.norm()


def test_smoothing_is_bicubic_and_mean():
    x = torch.randn(2, 81, 3, dtype=torch.float64)
    expected = F.avg_pool2d(F.interpolate(layers.to_map(x), scale_factor=4, mode="bicubic"), 4)
    assert torch.allclose(layers.smoothed(x), layers.to_tokens(expected), atol=1e-12)


def test_shuffling_and_pooling_are_those_of_torch():
    x = torch.randn(2, 16, 8)
    assert torch.equal(layers.shuffled(x), layers.to_tokens(F.pixel_shuffle(layers.to_map(x), 2)))
    assert torch.allclose(layers.pooled(x), layers.to_tokens(F.avg_pool2d(layers.to_map(x), 2)), atol=1e-6)


def test_windows_are_squares_of_the_map_image_by_image():
    x = torch.arange(2 * 36).view(2, 36, 1)
    windows = layers.to_windows(x, 6, 3)
    assert windows.shape == (8, 9, 1)
    assert windows[5].flatten().tolist() == [36 + 6 * row + column for row in range(3) for column in range(3, 6)]
    assert torch.equal(layers.from_windows(windows, 6, 3), x)


def test_a_block_with_windows_attends_within_them():
    block = layers.Block(8, heads=2, norm="ln", noise=False, window=2, side=4)
    x = torch.randn(1, 16, 8)
    changed = x.clone()
    changed[0, 0] += 1
    apart = (block(x) != block(changed)).any(2)[0].view(4, 4)
    assert apart[:2, :2].all()
    assert apart.sum() == 4


def test_the_first_token_alone_is_the_same():
    block = layers.Block(8, heads=2, norm="pn", noise=True, window=None)
    torch.nn.init.ones_(block.attn.noise_strength_1)
    x = torch.randn(3, 5, 8)
    torch.manual_seed(1)
    expected = block(x)[:, 0]
    torch.manual_seed(1)
    assert torch.allclose(block.first(x), expected, atol=1e-6)


def test_pixel_norm():
    x = torch.randn(2, 3, 8)
    assert torch.allclose(layers.Norm("pn", 8)(x).square().mean(2), torch.ones(2, 3), atol=1e-4)


def test_cross_attention_goes_to_every_token_of_the_latent():
    cross = layers.CrossAttention(8, 6, heads=2)
    x, context = torch.randn(1, 9, 8), torch.randn(1, 4, 6, requires_grad=True)
    (gradient,) = torch.autograd.grad(cross(x, context)[0, 3].sum(), context)
    assert gradient.abs().amax(2).min() > 0
