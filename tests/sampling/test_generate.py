"""Pictures as tensors: latents, truncation, classes, grids, animations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from stand_in import Generator, Mapper, Model, OwnTruncation, all_of
from torch import Tensor, nn

from fewgan.plugin import FewganError, UsageError
from fewgan.sampling import generate, imagefile, latent
from fewgan.sampling.generate import pictures
from fewgan.sampling.imagefile import grid, to_uint8
from fewgan.sampling.latent import latents
from fewgan.screen import Screen


def test_to_uint8_truncates_and_clamps() -> None:
    values = torch.tensor([-2.0, -1.0, 0.0, 0.999, 1.0, 2.0])
    assert to_uint8(values).tolist() == [0, 0, 128, 255, 255, 255]
    assert to_uint8(torch.tensor([(7.99 - 128) / 127.5])).tolist() == [7]


@pytest.mark.parametrize("truncation", [None, 0.5])
def test_a_picture_does_not_depend_on_the_count(truncation: float | None) -> None:
    many = all_of(Model(), 70, truncation=truncation, seed=5)
    assert many.shape == (70, 3, 16, 16)
    assert many.dtype == torch.uint8
    for count in (1, 15, 16, 17, 40):
        assert torch.equal(all_of(Model(), count, truncation=truncation, seed=5), many[:count])


def test_groups_have_a_fixed_size() -> None:
    model: Any = Model()
    assert [len(group) for group in pictures(model, 35)] == [16, 16, 3]
    assert model.largest == 16


def test_truncation_acts_before_the_mapper_and_not_before_a_truncation_of_its_own() -> None:
    mapper = Mapper()
    all_of(Model(mapper=mapper), 16, truncation=0.3)
    assert torch.equal(mapper.seen, latents(0, 0, 16, 6, 0.3))
    own = OwnTruncation()
    all_of(Model(own), 16, truncation=0.3)
    assert own.seen > 1


def test_classes_are_taken_in_turn() -> None:
    model = Model(classes=("a", "b", "c"))
    chosen = all_of(model, 20, chosen=[2, 0])
    assert torch.equal(chosen[::2], all_of(model, 20, chosen=torch.tensor([2]))[::2])
    assert torch.equal(chosen[1::2], all_of(model, 20, chosen=[0])[1::2])


def test_values_that_are_not_finite() -> None:
    generator = Generator()
    generator.linear.bias.data[5] = torch.nan
    with pytest.raises(FewganError, match="NaN or infinity"):
        all_of(Model(generator), 1)


@pytest.mark.parametrize("count", [0, -1])
def test_wrong_count(count: int) -> None:
    with pytest.raises(UsageError, match="--count"):
        all_of(Model(), count)


@pytest.mark.parametrize("mapper", [None, Mapper()])
def test_animation_meets_the_pictures_and_moves_smoothly(mapper: Any) -> None:
    model: Any = Model(mapper=mapper, classes=("a", "b", "c"))
    frames = torch.cat(list(generate.animation(model, 4, truncation=0.5, seed=2))).short()
    assert frames.shape == (96, 3, 16, 16)
    assert (frames[::24] - all_of(model, 4, truncation=0.5, seed=2).short()).abs().max() <= 1
    between = (frames - frames.roll(1, 0)).float().abs().mean((1, 2, 3))
    assert between.max() < 0.2 * (frames[0] - frames[24]).float().abs().mean().clamp(min=10)


@pytest.mark.parametrize("mapper", [None, Mapper()])
def test_noise_stays_the_same_over_an_animation(mapper: Any) -> None:
    class Noisy(Generator):
        def forward(self, z: Tensor, condition: Tensor) -> Tensor:
            return super().forward(0 * z, 0 * condition) + 0.3 * torch.randn(len(z), 3, 16, 16)

    model: Any = Model(Noisy(), mapper)
    frames = torch.cat(list(generate.animation(model, 2, seed=2)))
    assert len(frames) == 48
    assert (frames == frames[:1]).all()
    assert frames[0].float().std() > 10


def test_animations_of_latents_that_cannot_be_truncated() -> None:
    model: Any = Model()
    model.generator.latents = lambda count, random: torch.ones(count, 6)
    assert len(torch.cat(list(generate.animation(model, 1)))) == 24
    with pytest.raises(UsageError, match=r"--truncation: .* law of their own"):
        list(generate.animation(model, 1, truncation=0.5))


def test_latents_of_a_law_of_their_own_stay_within_it(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def uniform(count: int, random: torch.Generator) -> Tensor:
        return torch.rand(count, 6, generator=random)

    def conditions(z: Tensor, labels: Tensor) -> Any:
        seen.append(z)
        return (z, labels)

    model: Any = Model()
    model.generator.latents = uniform
    pictures = all_of(model, 5, seed=3)
    frames = torch.cat(list(generate.animation(model, 5, seed=3)))
    assert torch.equal(frames[::24], pictures)
    z, left, _ = latent.between(uniform(4, torch.Generator().manual_seed(0)), 24)
    assert 0 <= z.min() < z.max() <= 1
    assert torch.equal(left, torch.arange(96) // 24)
    assert torch.allclose(z[12], (z[0] + z[24]) / 2)
    monkeypatch.setattr(model, "conditions", conditions)
    monkeypatch.setattr(model.generator, "standing_statistics", list, raising=False)
    generate.standing_statistics(model, 2, screen=Screen(quiet=True))
    drawn = torch.cat(seen)
    assert drawn.shape == (128, 6)
    assert 0 <= drawn.min() < 0.1
    assert 0.9 < drawn.max() <= 1


def test_standing_statistics_are_those_of_the_truncated_latents() -> None:
    model: Any = Model(classes=("a", "b", "c"))
    before = all_of(model, 8, truncation=0.1)
    generate.standing_statistics(model, 16, truncation=0.1, screen=Screen(quiet=True))
    assert not model.generator.training
    z = latents(9, 0, 4000, 6, 0.1)
    inputs = torch.cat((z, model.generator.embed(torch.arange(4000) % 3)), 1)
    expected = model.generator.linear(inputs).mean(0)
    torch.testing.assert_close(model.generator.norm.running_mean, expected, rtol=0, atol=0.06)
    assert not torch.equal(before, all_of(model, 8, truncation=0.1))


def test_standing_statistics_need_a_generator_that_has_some() -> None:
    model: Any = Model(nn.Identity())
    with pytest.raises(UsageError, match="--standing-stats"):
        generate.standing_statistics(model, 4, screen=Screen(quiet=True))


@pytest.mark.parametrize(
    ("count", "columns", "size"), [(6, None, (3, 2)), (7, 2, (2, 4)), (1, None, (1, 1)), (2, 8, (2, 1))]
)
def test_grid(count: int, columns: int | None, size: tuple[int, int]) -> None:
    images = torch.arange(count, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, 16, 16)
    made = grid(images, columns)
    assert made.mode == "RGB"
    assert made.size == tuple(18 * side + 2 for side in size)
    values = np.asarray(made)
    for index in range(count):
        row, column = divmod(index, size[0])
        assert (values[18 * row + 2 : 18 * row + 18, 18 * column + 2 : 18 * column + 18] == index).all()
    assert (values[:2] == 255).all()
    assert (values[:, -2:] == 255).all()


def test_a_grid_too_large_for_any_viewer() -> None:
    with pytest.raises(UsageError, match="--count"):
        imagefile.check_grid(5000, 256)
    imagefile.check_grid(3600, 256)


def test_a_large_picture_of_others_is_looked_at_without_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("RGB", (12, 12)).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert imagefile.facts_of(tmp_path / "a.png") is None
