"""Decoding colours: grey, alpha, 16 bits, palettes and profiles, each against a closed form."""

import numpy as np
import pytest
from drawn import any_image, cmyk_profile, curve, noise, profile, rgb_profile, smooth, written
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from fewgan.photos.decode import decode
from fewgan.photos.kinds import Refused


def pixels(image: Image.Image, form: str = "PNG", size: int | None = None, crop: str = "center", **options):
    return decode(written(image, form, **options), size or min(image.size), crop).pixels


@pytest.mark.parametrize(("form", "mode"), [("PNG", "L"), ("JPEG", "L"), ("PNG", "LA"), ("PNG", "I;16"), ("PNG", "1")])
def test_grey_stays_grey(form, mode):
    got = pixels(any_image(mode, 50, 40, 3), form, size=32)
    assert (got == got[..., :1]).all()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([("PNG", "RGBA"), ("PNG", "LA"), ("TIFF", "RGBA"), ("WEBP", "RGBA")]))
def test_alpha_is_laid_over_white(seed, kind):
    form, mode = kind
    image = any_image(mode, 16, 16, seed)
    got = pixels(image, form, **({"lossless": True, "exact": True} if form == "WEBP" else {}))
    layers = np.asarray(image.convert("RGBA")).astype(float)
    alpha = layers[..., 3:] / 255
    assert np.abs(got - (layers[..., :3] * alpha + 255 * (1 - alpha))).max() <= 0.51


def test_hidden_colours_of_transparent_pixels_do_not_show():
    values = np.zeros((64, 64, 4), np.uint8)
    values[:, :32] = (255, 0, 0, 0)  # transparent red beside opaque black
    values[:, 32:, 3] = 255
    got = pixels(Image.fromarray(values), size=16).astype(int)
    assert np.abs(got - got[..., :1]).max() <= 1


@pytest.mark.parametrize("form", ["PNG", "TIFF", "PPM"])
def test_sixteen_bits_are_divided_by_257(form):
    values = np.linspace(0, 65535, 64 * 64).round().astype(np.uint16).reshape(64, 64)
    got = pixels(Image.fromarray(values), form)
    assert np.array_equal(got[..., 0], np.rint(values / 257).astype(np.uint8))


def test_sixteen_bit_transparency_is_white():
    values = np.full((16, 16), 40000, np.uint16)
    values[:8] = 1234
    file = written(Image.fromarray(values), "PNG", transparency=1234)
    got = decode(file, 16).pixels
    assert (got[:8] == 255).all()
    assert (got[8:] == round(40000 / 257)).all()


def test_palette_one_bit_and_transparent_palette():
    palette = Image.new("P", (16, 16), 1)
    palette.putpalette([10, 20, 30, 200, 100, 50])
    palette.paste(0, (0, 0, 8, 16))
    got = pixels(palette)
    assert got[0, 0].tolist() == [10, 20, 30]
    assert got[0, 15].tolist() == [200, 100, 50]
    assert pixels(palette, transparency=0)[0, 0].tolist() == [255, 255, 255]
    assert set(np.unique(pixels(any_image("1", 16, 16, 0)))) == {0, 255}


def test_float_tiff_is_0_to_1_or_refused():
    values = np.linspace(0, 1, 256, dtype=np.float32).reshape(16, 16)
    assert np.array_equal(pixels(Image.fromarray(values), "TIFF")[..., 0].ravel(), np.arange(256))
    with pytest.raises(Refused, match="floating-point"):
        pixels(Image.fromarray(values * 300), "TIFF")


def srgb(linear: np.ndarray) -> np.ndarray:
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def test_rgb_profile_is_brought_to_srgb():
    values = noise((16, 16, 3))
    got = pixels(Image.fromarray(values), icc_profile=rgb_profile("bgr"))
    assert np.abs(got - srgb(values[..., ::-1] / 255)).max() <= 1.5


@pytest.mark.parametrize("form", ["PNG", "JPEG", "TIFF", "WEBP"])
def test_srgb_profile_changes_nothing(form):
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image = smooth(32, 32)
    assert np.abs(pixels(image, form, icc_profile=icc).astype(int) - pixels(image, form)).max() <= 1


def test_grey_profile_is_brought_to_srgb():
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    icc = profile(b"GRAY", {b"kTRC": curve(1.0)})
    got = pixels(Image.fromarray(values), icc_profile=icc)
    assert np.abs(got - srgb(values / 255)[..., None]).max() <= 2
    layers = Image.merge("LA", [Image.fromarray(values), Image.new("L", (16, 16), 255)])
    assert np.array_equal(pixels(layers, icc_profile=icc), got)


@pytest.mark.parametrize("icc", [b"nonsense", rgb_profile()[:200], profile(b"GRAY", {b"kTRC": curve(1.0)})])
def test_damaged_and_foreign_profiles_are_as_good_as_none(icc):
    values = noise((16, 16, 3))
    assert np.array_equal(pixels(Image.fromarray(values), icc_profile=icc), values)


@pytest.mark.parametrize("form", ["JPEG", "TIFF"])
def test_cmyk_with_and_without_profile(form):
    cyan = Image.new("CMYK", (16, 16), (255, 0, 0, 0))
    white = Image.new("CMYK", (16, 16), (0, 0, 0, 0))
    assert np.abs(pixels(cyan, form)[0, 0].astype(int) - (0, 255, 255)).max() <= 3
    assert np.abs(pixels(white, form)[0, 0].astype(int) - 255).max() <= 1
    red, green, _ = pixels(cyan, form, icc_profile=cmyk_profile())[0, 0].astype(int)
    assert red > green + 100
    assert np.abs(pixels(white, form, icc_profile=cmyk_profile())[0, 0].astype(int) - 255).max() <= 2


def test_lab_is_brought_to_srgb():
    image = Image.new("LAB", (16, 16), (128, 128, 128))
    got = pixels(image, "TIFF")
    assert np.abs(got.astype(int) - 119).max() <= 3  # L* 50, a = b = 0 is grey 119
