"""The descent: distances in closed form, its schedules, and latents that are found again."""

import math

import pytest
import torch
from fewgan_project import projection
from fewgan_project.projection import noise_at, perceptual, project, rate_at, space_of, unit
from torch import nn

from fewgan.sampling import stored

SIZE = 8


class Linear(nn.Module):
    """An image that is linear in z and condition."""

    latent_dim, size = 5, SIZE

    def __init__(self, classes=0):
        super().__init__()
        torch.manual_seed(1)
        self.classes, self.condition_dim = classes, 2
        self.weight = nn.Parameter(0.1 * torch.randn(5 + 2, 3 * SIZE * SIZE))
        self.table = nn.Parameter(torch.randn(max(classes, 1), 2))

    def embed(self, labels):
        return self.table[labels] if self.classes else self.table.new_zeros(len(labels), 2)

    def forward(self, z, condition):
        return (torch.cat((z, condition), 1) @ self.weight).view(-1, 3, SIZE, SIZE)


class WithW(Linear):
    w_shape = (3, 4)

    def __init__(self):
        super().__init__()
        self.into = nn.Parameter(torch.randn(5, 4))
        self.out = nn.Parameter(0.1 * torch.randn(3, 4, 3 * SIZE * SIZE))

    def mapping(self, z, condition):
        return z @ self.into + 0.5

    def from_w(self, w):
        ws = w if w.dim() == 3 else w[:, None].expand(-1, 3, -1)
        return torch.einsum("nlw,lwp->np", ws, self.out).view(-1, 3, SIZE, SIZE)

    def forward(self, z, condition):
        return self.from_w(self.mapping(z, condition))


class Mapper(nn.Module):
    def __init__(self, generator):
        super().__init__()
        self.generator = generator

    def forward(self, z, labels):
        return 2 * z, self.generator.embed(labels)


class Model:
    def __init__(self, generator, mapped=False):
        self.generator = generator.eval().requires_grad_(False)
        self.mapper = Mapper(generator) if mapped else None
        self.device, self.name = torch.device("cpu"), "model"

    def conditions(self, z, labels):
        return self.mapper(z, labels) if self.mapper is not None else (z, self.generator.embed(labels))


def maps(images):
    """The image itself, centred, and its means over 2 x 2."""
    assert images.dtype == torch.float32
    x = images / 127.5 - 1
    x = torch.cat((x, torch.ones_like(x[:, :1])), 1)
    return [x, nn.functional.avg_pool2d(x, 2)]


def test_the_distance_in_closed_form():
    one, other = torch.zeros(2, 2, 3, 3), torch.zeros(1, 2, 3, 3)
    one[0, 0], one[1, 1], other[0, 0] = 7, 3, 2
    found = perceptual(unit([one]), unit([other]))  # equal directions: 0; at a right angle: 2
    assert torch.allclose(found, torch.tensor([0.0, 2.0]))
    one[1, :, 0, 0] = torch.tensor([-5.0, 0.0])  # opposite at one place of nine: 4
    assert perceptual(unit([one, one]), unit([other, other]))[1] == pytest.approx(2 * 8 / 9 + 4 / 9)
    assert torch.equal(unit([torch.zeros(1, 2, 1, 1)])[0], torch.zeros(1, 2, 1, 1))


def test_schedules_are_those_of_the_paper():
    assert [rate_at(x) for x in (0.0, 0.025, 0.05, 0.5, 0.75, 1.0)] == pytest.approx([0, 0.5, 1, 1, 1, 0])
    assert rate_at(0.875) == pytest.approx(0.5)
    assert [noise_at(x) for x in (0, 0.375, 0.75, 1)] == pytest.approx([0.05, 0.05 / 4, 0, 0])


def test_spaces():
    plain, mapped, w = Model(Linear()), Model(WithW(), mapped=True), Model(WithW())
    assert [space_of(model) for model in (plain, mapped, w)] == ["z", "z", "w"]
    assert (space_of(w, "z"), space_of(mapped, "w+"), space_of(w, "w")) == ("z", "w+", "w")
    for space in ("w", "w+"):
        with pytest.raises(ValueError, match="no w space"):
            space_of(plain, space)


CASES = {
    "z": (Linear(), False, "z", {"z": (2, 5), "condition": (2, 2)}),
    "z and condition": (Linear(3), False, "z", {"z": (2, 5), "condition": (2, 2)}),
    "mapper": (Linear(3), True, "z", {"z": (2, 5), "labels": (2,)}),
    "w": (WithW(), False, "w", {"w": (2, 4)}),
    "w+": (WithW(), False, "w+", {"w": (2, 3, 4)}),
}


@pytest.mark.parametrize("case", CASES)
def test_images_of_the_generator_are_found_again(case):
    generator, mapped, space, shapes = CASES[case]
    model = Model(generator, mapped)
    with torch.no_grad():
        z = 0.7 * torch.randn(2, 5, generator=torch.Generator().manual_seed(3))
        labels = torch.tensor([0, 2 if generator.classes else 0])
        images = generator(*model.conditions(z, labels))
    ticks = []
    given = labels.tolist() if mapped else None
    found = project(model, images, maps, space=space, steps=150, labels=given, advance=lambda: ticks.append(1))
    assert len(ticks) == 150
    assert {name: tuple(tensor.shape) for name, tensor in found.latents.items()} == shapes
    assert set(found.latents) in stored.FORMS
    assert (found.distances < 0.02 * found.starts).all(), (found.distances, found.starts)
    made = stored.draw(model, found.latents)
    assert (made - images).abs().mean() < 0.1 * images.abs().mean()
    if mapped:
        assert found.latents["labels"].tolist() == labels.tolist()
    if "z" in found.latents:
        assert (found.latents["z"].norm(dim=1) < math.sqrt(5) + 2).all()


def test_each_image_by_itself_and_the_same_again():
    model = Model(Linear(3))
    images = torch.rand(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0)) - 0.5
    both = project(model, images, maps, steps=20, seed=4)
    again = project(model, images, maps, steps=20, seed=4)
    assert all(torch.equal(both.latents[name], again.latents[name]) for name in both.latents)
    assert (both.distances <= both.starts).all()
    assert not torch.equal(both.distances, project(model, images, maps, steps=20, seed=5).distances)


def test_labels_that_are_given_stay_near():
    model = Model(Linear(3), mapped=True)
    images = torch.rand(3, 3, SIZE, SIZE)
    found = project(model, images, maps, steps=2, labels=[2, 0, 2])
    assert found.latents["labels"].tolist() == [2, 0, 2]


def test_w_starts_from_its_mean():
    model = Model(WithW())
    found = project(model, torch.rand(1, 3, SIZE, SIZE), maps, space="w", steps=1, rate=0.0)
    assert (found.latents["w"] - 0.5).abs().max() < 0.2
    mean, spread = projection._mean_w(model.generator, 0, model.device)
    expected = model.generator.into.square().sum().sqrt()
    assert spread == pytest.approx(float(expected), rel=0.1)
    assert torch.allclose(found.latents["w"][0], mean)
