"""Copies are found, new pictures are not; memory does not grow with the count."""

import pytest
import torch
from scored import QUIET, Tiny, scored

from fewgan import run, storage
from fewgan.scoring import distances, manifold, neighbours, page
from fewgan.scoring.extract import extract, of_tensor
from fewgan.scoring.neighbours import NearestNeighbours, ReferenceSet
from fewgan.scoring.scorer import cache_key


def test_memory_does_not_grow_with_the_count():
    features, photos = Tiny(), torch.randn(20, 12)
    seen = NearestNeighbours(ReferenceSet.of(photos), 3000)
    held = 0

    def see(first, pictures, rows):
        nonlocal held
        seen.see(first, pictures, rows)
        held = max(held, sum(len(pictures) for _, pictures, _ in seen._waiting) + len(seen.closest) + len(seen._even))

    groups = (torch.randint(0, 256, (16, 3, 8, 8), dtype=torch.uint8) for _ in range(3000 // 16 + 1))
    extract(features, lambda *_: (g for g in groups), 3008, device=torch.device("cpu"), label="", screen=QUIET, see=see)
    assert features.largest == 16
    assert held <= neighbours.KEPT + 3 * neighbours.ROWS


def test_copies_are_seenand_new_pictures_are_not():
    torch.manual_seed(0)
    photos, new = torch.randn(200, 6), torch.randn(400, 6)
    images = torch.zeros(400, 3, 8, 8, dtype=torch.uint8)

    def result(samples):
        seen = NearestNeighbours(ReferenceSet.of(photos, new[:50]), len(samples))
        for first in range(0, len(samples), 16):
            seen.see(first, images[first : first + 16], samples[first : first + 16])
        return seen.result(), seen

    copied, seen = result(photos + 1e-4)
    honest, _ = result(new)
    assert (copied.closer, copied.copies) == (1, 1)
    assert copied.samples < 1e-3
    assert all(sample.neighbours[0].photo == sample.index for sample in seen.closest)
    assert 0.4 < honest.closer < 0.65
    assert honest.copies < 0.05
    assert honest.held_out == pytest.approx(honest.samples, rel=0.2)
    assert "100 % of the samples are closer" in copied.text("training photo")


def test_the_picture_shows_the_closest_and_an_even_choice():
    photos = torch.arange(40.0).unsqueeze(1).expand(40, 4).contiguous()
    samples = torch.linspace(0.3, 30.3, 100).unsqueeze(1).expand(100, 4) + torch.rand(100, 1) / 3
    images = torch.randint(0, 256, (100, 3, 16, 16), dtype=torch.uint8)
    seen = NearestNeighbours(ReferenceSet.of(photos), 100)
    for first in range(0, 100, 16):
        seen.see(first, images[first : first + 16], samples[first : first + 16])
    drawn = page.draw(seen, of_tensor(torch.zeros(40, 3, 16, 16, dtype=torch.uint8), "train"), title="x" * 500)
    found = distances.nearest(samples, photos)[0][:, 0]
    closest = [sample.index for sample in seen.closest]
    assert closest == found.topk(6, largest=False).indices.tolist()
    even = [sample.index for sample in seen.even()]
    assert len(even) == 6
    assert not set(even) & set(closest)
    assert even == sorted(even)
    assert even[-1] - even[0] > 50
    assert all(torch.equal(sample.picture, images[sample.index]) for sample in seen.closest)
    assert drawn.height > 6 * 96  # small pictures are enlarged to look at


@pytest.mark.parametrize(("count", "photos"), [(2, 2), (3, 5), (8, 3)])
def test_few_samples_and_few_photos_are_drawn(count, photos):
    seen = NearestNeighbours(ReferenceSet.of(torch.randn(photos, 4)), count)
    seen.see(0, torch.zeros(count, 3, 300, 300, dtype=torch.uint8), torch.randn(count, 4))
    drawn = page.draw(seen, of_tensor(torch.zeros(photos, 3, 300, 300, dtype=torch.uint8), "train"), title="few")
    assert drawn.width < 2000


def test_a_median_of_an_even_number_is_between_the_two_in_the_middle():
    photos = torch.tensor([[0.0], [1.0], [10.0], [13.0]])  # 1, 1, 3 and 3 from the nearest other one
    reference = ReferenceSet.of(photos, held_out=torch.tensor([[3.0], [17.0]]))
    assert (reference.typical, reference.held_out) == (2.0, 3.0)


def test_the_cache_key_follows_the_weights():
    assert cache_key(Tiny()) == cache_key(Tiny())
    assert cache_key(Tiny()) != cache_key(Tiny(seed=1))


def test_copies_of_mirrored_photos_are_found():
    """Training shows mirrored photos, so their copies are copies. Tiny sees left and right apart."""
    generator = torch.Generator().manual_seed(0)
    photos = torch.randint(0, 256, (30, 3, 8, 8), generator=generator, dtype=torch.uint8)
    features, flipped = Tiny()(photos), Tiny()(photos.flip(3))
    found = {}
    for name, mirrored in (("plain", None), ("mirrored", flipped)):
        seen = NearestNeighbours(ReferenceSet.of(features, None, mirrored), 30)
        seen.see(0, photos.flip(3), flipped)
        found[name] = seen.result()
    assert found["plain"].copies < 0.3
    assert found["mirrored"].copies == 1
    assert found["mirrored"].mirrored
    for sample in seen.closest:
        nearest = sample.neighbours[0]
        assert (nearest.photo, nearest.mirrored) == (sample.index, True)
        assert len({neighbour.photo for neighbour in sample.neighbours}) == 3  # each photo once
    page.draw(seen, of_tensor(photos, "train"), title="mirrored")
    assert manifold.authentic(features, flipped) > 0.5
    assert manifold.authentic(features, flipped, flipped) == 0


@pytest.mark.parametrize("flip", [True, False])
def test_mirrored_photos_are_searched_where_the_training_of_a_run_showed_them(here, flip):
    path = here / "runs" / "00001-dataset-biggan" / run.GENERATOR
    tensors, facts = storage.read_tensors(path)
    storage.write_tensors(path, tensors, {"config": facts["config"] | {"flip": flip}})
    assert scored().memorising.mirrored == flip


def test_a_photo_and_its_mirror_image_are_one_photo():
    """Nearly symmetric photos are near their own mirror images, which says nothing about other photos."""
    photos = 10.0 * torch.arange(6.0).unsqueeze(1).expand(6, 4)
    reference = ReferenceSet.of(photos, None, photos + 0.01)
    assert reference.typical == pytest.approx(19.98, abs=0.03)
    assert reference.smallest == pytest.approx(19.98, abs=0.03)
    assert ReferenceSet.of(photos[:2], None, photos[:2]).smallest == pytest.approx(20)
