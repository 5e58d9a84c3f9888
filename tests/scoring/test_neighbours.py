"""Copies are found, new pictures are not; memory does not grow with the count."""

import pytest
import torch
from scored import QUIET, Tiny

from fewgan.scoring import distances
from fewgan.scoring import neighbours as memorising
from fewgan.scoring.extract import extract, identity, of_tensor
from fewgan.scoring.neighbours import Watch, Yardstick


def test_memory_does_not_grow_with_the_count():
    features, photos = Tiny(), torch.randn(20, 12)
    watch = Watch(Yardstick.of(photos), 3000)
    held = 0

    def see(first, pictures, rows):
        nonlocal held
        watch.see(first, pictures, rows)
        held = max(
            held, sum(len(pictures) for _, pictures, _ in watch._waiting) + len(watch.closest) + len(watch._even)
        )

    groups = (torch.randint(0, 256, (16, 3, 8, 8), dtype=torch.uint8) for _ in range(3000 // 16 + 1))
    extract(features, lambda *_: (g for g in groups), 3008, device=torch.device("cpu"), label="", screen=QUIET, see=see)
    assert features.largest == 16
    assert held <= memorising.KEPT + 3 * memorising.ROWS


def test_copies_are_found_and_new_pictures_are_not():
    torch.manual_seed(0)
    photos, new = torch.randn(200, 6), torch.randn(400, 6)
    images = torch.zeros(400, 3, 8, 8, dtype=torch.uint8)

    def result(samples):
        watch = Watch(Yardstick.of(photos, new[:50]), len(samples))
        for first in range(0, len(samples), 16):
            watch.see(first, images[first : first + 16], samples[first : first + 16])
        return watch.result(), watch

    copied, watch = result(photos + 1e-4)
    honest, _ = result(new)
    assert (copied.closer, copied.copies) == (1, 1)
    assert copied.samples < 1e-3
    assert all(sample.photos[0] == sample.index for sample in watch.closest)
    assert 0.4 < honest.closer < 0.65
    assert honest.copies < 0.05
    assert honest.held_out == pytest.approx(honest.samples, rel=0.2)
    assert "100 % of the samples are nearer" in str(copied)


def test_the_picture_shows_the_closest_and_an_even_choice():
    photos = torch.arange(40.0).unsqueeze(1).expand(40, 4).contiguous()
    samples = torch.linspace(0.3, 30.3, 100).unsqueeze(1).expand(100, 4) + torch.rand(100, 1) / 3
    images = torch.randint(0, 256, (100, 3, 16, 16), dtype=torch.uint8)
    watch = Watch(Yardstick.of(photos), 100)
    for first in range(0, 100, 16):
        watch.see(first, images[first : first + 16], samples[first : first + 16])
    page = memorising.draw(watch, of_tensor(torch.zeros(40, 3, 16, 16, dtype=torch.uint8), "train"), title="x" * 500)
    found = distances.nearest(samples, photos)[0][:, 0]
    closest = [sample.index for sample in watch.closest]
    assert closest == found.topk(6, largest=False).indices.tolist()
    even = [sample.index for sample in watch.even()]
    assert len(even) == 6
    assert not set(even) & set(closest)
    assert even == sorted(even)
    assert even[-1] - even[0] > 50
    assert all(torch.equal(sample.picture, images[sample.index]) for sample in watch.closest)
    assert page.height > 6 * 96  # small pictures are enlarged to look at


@pytest.mark.parametrize(("count", "photos"), [(2, 2), (3, 5), (8, 3)])
def test_few_samples_and_few_photos_are_drawn(count, photos):
    watch = Watch(Yardstick.of(torch.randn(photos, 4)), count)
    watch.see(0, torch.zeros(count, 3, 300, 300, dtype=torch.uint8), torch.randn(count, 4))
    page = memorising.draw(watch, of_tensor(torch.zeros(photos, 3, 300, 300, dtype=torch.uint8), "train"), title="few")
    assert page.width < 2000


def test_identity_follows_the_weights():
    assert identity(Tiny()) == identity(Tiny())
    assert identity(Tiny()) != identity(Tiny(seed=1))
