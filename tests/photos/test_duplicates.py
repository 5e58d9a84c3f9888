"""Duplicates: what a person would call the same photo is found, what a person would tell apart is not."""

import io

import numpy as np
import pytest
from drawn import avatars, noise, smooth
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageEnhance

from fewgan.photos import duplicates
from fewgan.photos.comparison import same_photo
from fewgan.photos.duplicates import Seen, fingerprint


def resaved(image: Image.Image, quality: int) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file).convert("RGB")


def halved(image: Image.Image) -> Image.Image:
    return resaved(image.resize((image.width // 2, image.height // 2)), 75)


def cropped(image: Image.Image, left: float, top: float, right: float, bottom: float) -> Image.Image:
    """The shares of the sides are cut off."""
    width, height = image.size
    return image.crop(
        (round(left * width), round(top * height), width - round(right * width), height - round(bottom * height))
    )


COPIES = {
    "resaved": lambda image: resaved(image, 40),
    "resaved badly": lambda image: resaved(image, 20),
    "resized": halved,
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.08),
    "darker": lambda image: ImageEnhance.Brightness(image).enhance(0.85),
    "contrast": lambda image: ImageEnhance.Contrast(image).enhance(1.1),
    "cropped all around": lambda image: resaved(cropped(image, 0.03, 0.03, 0.03, 0.03), 85),
    "cropped on the left": lambda image: cropped(image, 0.04, 0, 0, 0),
    "cropped at a corner": lambda image: resaved(cropped(image, 0, 0, 0.03, 0.04), 85),
}


def square(image: Image.Image, side: int) -> np.ndarray:
    """As prepare crops and reduces."""
    edge = min(image.size)
    left, top = (image.width - edge) // 2, (image.height - edge) // 2
    return np.asarray(image.resize((side, side), Image.Resampling.LANCZOS, box=(left, top, left + edge, top + edge)))


def found(image: Image.Image, seen: Seen, kept: list[np.ndarray], side: int) -> int | None:
    """The kept photo that a near duplicate repeats."""
    pixels = square(image, side)
    near = seen.near(fingerprint(pixels))
    return next((number for number, scale in near if same_photo(pixels, kept[number], scale)), None)


def seen_of(kept) -> Seen:
    seen = Seen()
    for pixels in kept:
        seen.add(fingerprint(pixels))
    return seen


@pytest.mark.parametrize("side", [64, 128])
@pytest.mark.parametrize("copy", COPIES)
def test_copies_are_found(copy, side):
    images = [smooth(128, 128, seed) for seed in range(10)]
    kept = [square(image, side) for image in images]
    seen = seen_of(kept)
    assert [found(COPIES[copy](image), seen, kept, side) for image in images] == list(range(10))
    assert found(smooth(128, 128, 99), seen, kept, side) is None


@pytest.mark.parametrize("copy", COPIES)
def test_the_original_of_a_copy_is_found(copy):
    images = [smooth(160, 160, seed) for seed in range(10)]
    kept = [square(COPIES[copy](image), 96) for image in images]
    seen = seen_of(kept)
    assert [found(image, seen, kept, 96) for image in images] == list(range(10))


@pytest.mark.parametrize("side", [32, 64, 128])
def test_avatars_that_differ_in_one_thing_are_different_photos(side):
    kept = [square(image, side) for image in avatars()]
    assert not any(same_photo(one, other) for i, one in enumerate(kept) for j, other in enumerate(kept) if i != j)


@pytest.mark.parametrize("copy", ["resaved", "resaved badly", "darker", "contrast", "cropped all around"])
def test_copies_of_avatars_are_found_among_their_likes(copy):
    images = avatars()
    kept = [square(image, 64) for image in images]
    seen = seen_of(kept)
    assert [found(COPIES[copy](image), seen, kept, 64) for image in images] == list(range(36))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(20, 100), st.integers(20, 100), st.sampled_from(["red", "black", "white"]))
def test_one_thing_more_makes_another_photo(seed, x, y, colour):
    image = smooth(128, 128, seed)
    changed = image.copy()
    ImageDraw.Draw(changed).ellipse((x - 12, y - 12, x + 12, y + 12), fill=colour)
    assert not same_photo(np.asarray(changed), np.asarray(image))
    assert same_photo(np.asarray(resaved(image, 60)), np.asarray(image))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.floats(0, 0.04), st.floats(0, 0.04), st.floats(0, 0.04), st.floats(0, 0.04))
def test_any_slight_crop_is_the_same_photo(seed, left, top, right, bottom):
    image = smooth(200, 200, seed)
    kept = [square(image, 96)]
    assert found(cropped(image, left, top, right, bottom), seen_of(kept), kept, 96) == 0


def test_bright_things_before_one_dark_ground_are_different_photos():
    rows, columns = np.mgrid[0:64, 0:64]
    disc = (np.hypot(rows - 32, columns - 32) < 22)[..., None]
    kept = []
    for seed in range(20):
        grain = np.random.default_rng(seed).uniform(150, 250, (32, 32, 1)).repeat(2, 0).repeat(2, 1)
        kept.append((disc * np.broadcast_to(grain, (64, 64, 3))).astype(np.uint8))
    assert not any(same_photo(one, other) for i, one in enumerate(kept) for other in kept[:i])


def test_another_colour_of_the_same_shape_is_another_photo():
    rows, columns = np.mgrid[:64, :64] - 32
    inside = (rows**2 + columns**2 < 400)[..., None]
    red, green, dim = (
        np.where(inside, colour, 0).astype(np.uint8) for colour in ((200, 30, 30), (30, 200, 30), (230, 34, 34))
    )
    assert not same_photo(red, green)
    assert same_photo(red, dim)


@pytest.mark.parametrize("side", [16, 24])
def test_brighter_copies_are_found_below_32_px_too(side):
    for seed in range(4):
        picture = smooth(96, 96, seed)
        one, other = (
            np.asarray(image.resize((side, side))) for image in (picture, ImageEnhance.Brightness(picture).enhance(1.1))
        )
        assert same_photo(one, other)


def sky(top: tuple[int, int, int], bottom: tuple[int, int, int]) -> np.ndarray:
    down = np.linspace(0, 1, 128)[:, None, None]
    picture = np.array(top) * (1 - down) + np.array(bottom) * down
    grain = np.random.default_rng(sum(top)).normal(0, 1, (128, 128, 3))
    return (picture.repeat(128, axis=1) + grain).clip(0, 255).round().astype(np.uint8)


def test_skies_and_one_texture_in_other_colours_are_other_photos():
    colours = [((60, 110, 200), (140, 180, 235)), ((150, 70, 60), (230, 150, 110)), ((100, 100, 100), (180, 180, 180)),
               ((90, 140, 220), (170, 200, 245))]  # fmt: skip
    skies = [sky(*ends) for ends in colours]
    leather = np.random.default_rng(0).normal(0, 12, (32, 32, 1)).repeat(4, 0).repeat(4, 1)
    swatches = [
        (leather + np.array(colour)).clip(0, 255).astype(np.uint8)
        for colour in ((120, 75, 40), (50, 90, 60), (40, 50, 110))
    ]
    for kind in (skies, swatches):
        assert not any(same_photo(one, other) for i, one in enumerate(kind) for other in kind[:i])
    for picture in (*skies, *swatches):  # copies of them are found
        file = io.BytesIO()
        Image.fromarray(picture).save(file, "JPEG", quality=60)
        assert same_photo(np.asarray(Image.open(file)), picture)


def test_same_pixels_are_an_exact_duplicate():
    kept = [square(smooth(64, 64, seed), 64) for seed in range(5)]
    seen = seen_of([*kept, kept[2]])
    assert [seen.exact(fingerprint(pixels)) for pixels in kept] == [0, 1, 2, 3, 4]
    assert seen.exact(fingerprint(255 - kept[0])) is None


@settings(max_examples=60, deadline=None)
@given(st.integers(8, 40), st.integers(0, 255), st.integers(0, 2**32 - 1), st.floats(0.8, 1.25))
def test_any_two_pictures_can_be_compared(side, level, seed, scale):
    """Flat, tiny and noisy ones too, without a warning."""
    pictures = [np.full((side, side, 3), level, np.uint8), noise((side, side, 3), seed)]
    with np.errstate(all="raise", under="ignore"):
        for one in pictures:
            for other in pictures:
                assert isinstance(same_photo(one, other, scale), bool)
            seen = seen_of(pictures)
            assert len(seen.near(fingerprint(one))) <= duplicates.CANDIDATES


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=50))
def test_bits_are_counted_with_and_without_numpy_2(values):
    expected = [value.bit_count() for value in values]
    array = np.array(values, np.uint64)
    assert duplicates._bits(array).tolist() == expected
    with pytest.MonkeyPatch.context() as patch:
        patch.delattr(np, "bitwise_count", raising=False)
        assert duplicates._bits(array).tolist() == expected


def test_more_photos_than_there_was_room_for():
    kept = [noise((8, 8, 3), number) for number in range(2500)]
    seen = seen_of(kept)
    assert seen.exact(fingerprint(kept[2400])) == 2400
    assert seen.near(fingerprint(kept[2400]))[0] == (2400, 1.0)


def grain(seed: int) -> Image.Image:
    """One soft light over everything, and grain that is another in every picture; none of it is seen at 32 px."""
    y, x = np.mgrid[:128, :128] / 128 - 0.5
    values = 80 + 60 * (1 - 2 * (x * x + y * y)) + np.random.default_rng(seed).normal(0, 4, (128, 128))
    return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8)).convert("RGB")


def stars(seed: int) -> Image.Image:
    image = Image.new("RGB", (128, 128), (12, 12, 20))
    for place in np.random.default_rng(seed).integers(2, 126, (40, 2)).tolist():
        image.putpixel(tuple(place), (255, 255, 255))
    return image


@pytest.mark.parametrize("kind", [grain, stars])
def test_pictures_that_differ_in_fine_detail_alone_are_told_apart(kind):
    pictures = [np.asarray(kind(seed)) for seed in range(4)]
    assert not any(same_photo(one, other) for one in pictures for other in pictures if one is not other)


@pytest.mark.parametrize("copy", ["resaved", "brighter", "contrast"])
def test_copies_of_fine_detail_are_found(copy):
    for seed in range(3):
        assert same_photo(np.asarray(grain(seed)), np.asarray(COPIES[copy](grain(seed))))
