"""Duplicates: copies are found, different photos of the same thing are not."""

import io
from pathlib import Path

import numpy as np
import pytest
from drawn import noise, smooth
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageEnhance

from fewgan.photos import duplicates
from fewgan.photos.duplicates import Seen, fingerprint

TARGETS = Path(__file__).parents[3] / "shared" / "photos" / "targets"


def resaved(image: Image.Image, quality: int) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file).convert("RGB")


def smaller(image: Image.Image) -> Image.Image:
    side = image.width
    return resaved(image.resize((side // 2, side // 2)).resize((side, side), Image.Resampling.BICUBIC), 75)


COPIES = {
    "resaved": lambda image: resaved(image, 40),
    "resized": smaller,
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.08),
    "darker": lambda image: ImageEnhance.Brightness(image).enhance(0.85),
    "contrast": lambda image: ImageEnhance.Contrast(image).enhance(1.15),
}


def printed(image: Image.Image):
    return fingerprint(np.asarray(image))


def seen_of(images) -> Seen:
    seen = Seen()
    for image in images:
        seen.add(printed(image))
    return seen


@pytest.mark.parametrize("copy", COPIES)
def test_copies_are_found(copy):
    images = [smooth(128, 128, seed) for seed in range(30)]
    seen = seen_of(images)
    for number, image in enumerate(images):
        assert seen.find(printed(image)) == ("exact duplicate", number)
        assert seen.find(printed(COPIES[copy](image))) == ("near duplicate", number)
    assert seen.find(printed(smooth(128, 128, 99))) is None


def test_shapes_of_other_colours_and_flat_pictures_are_no_duplicates():
    def disc(colour, ground) -> Image.Image:
        rows, columns = np.mgrid[:64, :64] - 32
        return Image.fromarray(np.where((rows**2 + columns**2 < 400)[..., None], colour, ground).astype(np.uint8))

    seen = seen_of([disc((200, 30, 30), (0, 0, 0)), Image.new("RGB", (64, 64), (10, 20, 30))])
    assert seen.find(printed(disc((30, 200, 30), (0, 0, 0)))) is None
    assert seen.find(printed(Image.new("RGB", (64, 64), (90, 20, 30)))) is None


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=50))
def test_bits_are_counted_with_and_without_numpy_2(values):
    expected = [value.bit_count() for value in values]
    array = np.array(values, np.uint64)
    assert duplicates._bits(array).tolist() == expected
    with pytest.MonkeyPatch.context() as patch:
        patch.delattr(np, "bitwise_count", raising=False)
        assert duplicates._bits(array).tolist() == expected


def test_more_photos_than_there_was_room_for():
    seen = Seen()
    for number in range(2500):
        print_ = fingerprint(noise((8, 8, 3), number))
        assert seen.find(print_) is None or number
        seen.add(print_)
    assert seen.find(fingerprint(noise((8, 8, 3), 2400))) == ("exact duplicate", 2400)


@pytest.mark.skipif(not TARGETS.is_dir(), reason="no photos here")
@pytest.mark.parametrize("name", ["obama", "sketches", "sunflowers"])
def test_real_photos_of_one_thing_are_all_kept_and_their_copies_found(name):
    seen = Seen()
    images = [Image.open(path).convert("RGB") for path in sorted((TARGETS / name).iterdir())[:190]]
    for image in images:
        assert seen.find(printed(image)) is None
        seen.add(printed(image))
    for copy in COPIES.values():
        found = [seen.find(printed(copy(image))) == ("near duplicate", i) for i, image in enumerate(images[:40])]
        assert np.mean(found) > 0.97
