"""Each operation at the numbers of the public code, from the same draws; then what the numbers do not cover."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from goldens import found
from safetensors.torch import load_file
from torch.autograd import gradcheck, gradgradcheck

from fewgan.augmentations.diffaugment import Options, operations, plugin
from fewgan.plugin import UsageError

OPERATIONS = {
    "brightness": operations.brightness,
    "saturation": operations.saturation,
    "contrast": operations.contrast,
    "translation": operations.translation,
    "cutout": operations.cutout,
}


def draws(name: str, count: int, side: int) -> list[torch.Tensor]:
    if name in ("translation", "cutout"):
        low, high = (-(side // 8), side // 8 + 1) if name == "translation" else (0, side + 1)
        return [torch.randint(low, high, (count,)) for _ in range(2)]
    return [torch.rand(count, 1, 1, 1)]


@pytest.mark.parametrize("file", found("diffaugment/ops.safetensors"), ids=str)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("name", OPERATIONS)
def test_golden_output_and_gradient(name: str, layout: torch.memory_format, file: Path) -> None:
    golden = load_file(file)
    images = golden["x"].contiguous(memory_format=layout).requires_grad_()
    given = [golden[key] for key in (f"{name}.draw0", f"{name}.draw1") if key in golden]
    output = OPERATIONS[name](images, *given)
    weights = torch.linspace(-1, 1, 5 * 3 * 32 * 32).view(5, 3, 32, 32)[: len(images)]
    (gradient,) = torch.autograd.grad((output * weights).sum(), images)
    torch.testing.assert_close(output, golden[f"{name}.output"], rtol=0, atol=1e-6)
    torch.testing.assert_close(gradient, golden[f"{name}.grad_x"], rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", OPERATIONS)
def test_differentiable_twice(name: str) -> None:
    torch.manual_seed(0)
    given = draws(name, 2, 8)
    images = torch.randn(2, 3, 8, 8, dtype=torch.float64, requires_grad=True)

    def squared(x: torch.Tensor) -> torch.Tensor:
        return OPERATIONS[name](x, *given) ** 2

    assert gradcheck(squared, (images,))
    assert gradgradcheck(squared, (images,))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_dtype_and_shape_are_kept(dtype: torch.dtype) -> None:
    augment = plugin.build(Options(), size=32)
    images = torch.randn(3, 3, 32, 32).to(dtype)
    augmented = augment(images)
    assert augmented.dtype == dtype
    assert augmented.shape == images.shape
    assert augmented.isfinite().all()


@pytest.mark.parametrize("side", [7, 16, 33])
def test_translation_and_cutout_at_other_sides(side: int) -> None:
    """Against one sample at a time, written out."""
    torch.manual_seed(side)
    images = torch.randn(6, 3, side, side)
    rows, columns = draws("translation", 6, side)
    moved = operations.translation(images, rows, columns)
    for image, out, row, column in zip(images, moved, rows.tolist(), columns.tolist(), strict=True):
        for i in range(side):
            for j in range(side):
                inside = 0 <= i + row < side and 0 <= j + column < side
                expected = image[:, i + row, j + column] if inside else torch.zeros(3)
                assert torch.equal(out[:, i, j], expected)

    rows, columns = draws("cutout", 6, side)
    half = int(0.5 * side + 0.5)
    cut = operations.cutout(images, rows, columns)
    for image, out, row, column in zip(images, cut, rows.tolist(), columns.tolist(), strict=True):
        expected = image.clone()
        top, left = row - half // 2, column - half // 2
        expected[:, max(top, 0) : top + half, max(left, 0) : left + half] = 0
        assert torch.equal(out, expected)


def test_draws_cover_the_published_range_and_differ_by_sample() -> None:
    torch.manual_seed(0)
    point = torch.zeros(4000, 3, 8, 8)
    point[:, :, 4, 4] = 1
    places = plugin.build(Options(policy="translation"), size=8)(point)[:, 0].flatten(1).argmax(1)
    assert sorted(places.unique().tolist()) == [8 * i + j for i in (3, 4, 5) for j in (3, 4, 5)]

    cut = plugin.build(Options(policy="cutout"), size=8)(torch.ones(4000, 3, 8, 8))[:, 0]
    zeroed = (8 - cut.amax(2).sum(1)) * (8 - cut.amax(1).sum(1))
    assert zeroed.max() == 0  # a 4x4 square never empties a whole row
    assert sorted((1 - cut).sum((1, 2)).unique().tolist()) == [4.0, 6.0, 8.0, 9.0, 12.0, 16.0]  # clipped at the edges

    grey = plugin.build(Options(policy="color"), size=8)(torch.zeros(4000, 3, 8, 8))
    assert grey.std((1, 2, 3)).max() < 1e-6  # brightness alone shows on a flat image
    means = grey.mean((1, 2, 3))
    assert -0.5 <= means.min() < -0.49
    assert 0.49 < means.max() <= 0.5


def test_policy_order_and_whitespace() -> None:
    assert plugin.build(Options(policy=" cutout, color"), size=8).parts == ("cutout", "color")


@pytest.mark.parametrize("policy", ["", "colour", "color,", "color translation", "COLOR"])
def test_unknown_part_names_the_valid_ones(policy: str) -> None:
    with pytest.raises(UsageError, match="color, translation, cutout") as raised:
        plugin.build(Options(policy=policy), size=8)
    assert "\n" not in str(raised.value)


def test_nothing_to_store() -> None:
    assert plugin.build(Options(), size=8).state_dict() == {}
