"""Decoding: what any photo file becomes. Files are written by Pillow, expectations are closed forms."""

import io
import struct
import zlib
from contextlib import suppress
from functools import cache

import numpy as np
import pytest
from drawn import any_image, exif, noise, smooth, written
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps, features

from fewgan.photos import decode as module
from fewgan.photos.decode import PIXELS, decode
from fewgan.photos.kinds import Refused


def pixels(image: Image.Image, form: str = "PNG", size: int | None = None, crop: str = "center", **options):
    return decode(written(image, form, **options), size or min(image.size), crop).pixels


# Any file → uint8 [S, S, 3] -------------------------------------------------------------------------------------------

FORMS = {
    "PNG": ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"],
    "JPEG": ["L", "RGB", "CMYK"],
    "GIF": ["1", "L", "P", "RGB"],
    "BMP": ["1", "L", "P", "RGB"],
    "TIFF": ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "LAB", "I;16", "YCbCr", "F"],
    "PPM": ["1", "L", "RGB", "I;16"],
    "WEBP": ["L", "RGB", "RGBA"],
}


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from([(form, mode) for form, modes in FORMS.items() for mode in modes]),
    st.tuples(st.integers(16, 70), st.integers(16, 70)),
    st.integers(8, 32),
    st.integers(1, 8),
    st.sampled_from(module.CROPS),
)
def test_every_mode_becomes_a_square_of_uint8(kind, shape, size, orientation, crop):
    form, mode = kind
    options = {"exif": exif(orientation)} if form in ("PNG", "JPEG", "WEBP", "TIFF") else {}
    decoded = decode(written(any_image(mode, *shape, orientation), form, **options), size, crop)
    assert decoded.pixels.dtype == np.uint8
    assert decoded.pixels.shape == (size, size, 3)
    assert decoded.enlarged == ((max if crop == "fit" else min)(shape) < size)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 8),
    st.integers(40, 90),
    st.integers(40, 90),
    st.sampled_from(["PNG", "JPEG", "WEBP", "TIFF"]),
    st.sampled_from(module.CROPS),
)
def test_orientation_is_that_of_exif_transpose(orientation, width, height, form, crop):
    quality = {"quality": 95, "subsampling": 0} if form == "JPEG" else {"lossless": True} if form == "WEBP" else {}
    file = written(smooth(width, height), form, exif=exif(orientation), **quality)
    upright = ImageOps.exif_transpose(Image.open(file)).convert("RGB")
    plain = io.BytesIO()
    upright.save(plain, "PNG", exif=b"")
    ours, theirs = (decode(source, 32, crop).pixels.astype(int) for source in (file, plain))
    assert np.abs(ours - theirs).max() <= 2


def test_orientation_and_reduced_decoding_together():
    photo = smooth(1300, 1000)
    turned = decode(written(photo.transpose(Image.Transpose.ROTATE_90), "JPEG", quality=95, exif=exif(6)), 64).pixels
    upright = decode(written(photo, "JPEG", quality=95), 64).pixels
    assert np.abs(turned.astype(int) - upright).mean() < 1.5


def test_a_picture_of_the_right_size_is_not_resampled():
    values = noise((24, 24, 3))
    assert np.array_equal(pixels(Image.fromarray(values)), values)
    wide = noise((24, 31, 3))
    assert np.array_equal(pixels(Image.fromarray(wide)), wide[:, 3:27])


# Frames, JPEG scale, crops --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG", "TIFF", "MPO", "AVIF"])
def test_first_frame(form):
    if form == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow reads no AVIF")
    frames = [Image.new("RGB", (32, 32), colour) for colour in ("red", "blue", "lime")]
    got = pixels(frames[0], form, save_all=True, append_images=frames[1:])
    assert np.abs(got.astype(int) - (255, 0, 0)).max() <= 3


@cache
def photo(width: int, height: int) -> bytes:
    values = np.asarray(smooth(width, height)).astype(int) + np.random.default_rng(1).normal(0, 8, (height, width, 1))
    return written(Image.fromarray(values.clip(0, 255).astype(np.uint8)), "JPEG", quality=90).getvalue()


@pytest.mark.parametrize("crop", module.CROPS)
@pytest.mark.parametrize("size", [32, 100, 128])
def test_reduced_jpegs_differ_by_a_fraction_of_a_grey_level(size, crop, monkeypatch):
    scales = []
    draft = module._draft
    monkeypatch.setattr(module, "_draft", lambda image, by: scales.append(draft(image, by)) or scales[-1])
    reduced = decode(io.BytesIO(photo(1999, 1501)), size, crop).pixels
    assert scales[0] > 1
    monkeypatch.setattr(module, "_draft", lambda image, by: 1)
    full = decode(io.BytesIO(photo(1999, 1501)), size, crop).pixels
    assert np.abs(reduced.astype(int) - full).mean() < 1


def test_reduced_jpegs_keep_twice_the_side(monkeypatch):
    sizes = []
    resize = Image.Image.resize
    monkeypatch.setattr(Image.Image, "resize", lambda self, *a, **k: sizes.append(self.size) or resize(self, *a, **k))
    for size in (64, 128, 300, 600, 800):
        decode(io.BytesIO(photo(1999, 1501)), size)
        assert min(sizes.pop(0)) >= min(2 * size, 1501)
        sizes.clear()


def test_fit_keeps_all_and_pads_with_the_colour_of_the_edges():
    values = np.zeros((32, 64, 3), np.uint8)
    values[:] = (200, 100, 50)
    values[10:20, 10:20] = (0, 255, 0)
    got = pixels(Image.fromarray(values), size=64, crop="fit")
    assert np.array_equal(got[16:48], values)
    assert (got[:16] == (200, 100, 50)).all()
    assert (got[48:] == (200, 100, 50)).all()
    tall = pixels(Image.fromarray(values.transpose(1, 0, 2)), size=64, crop="fit")
    assert np.array_equal(tall, got.transpose(1, 0, 2))


# Refused --------------------------------------------------------------------------------------------------------------


def test_too_small_says_so():
    with pytest.raises(Refused, match=r"31 x 90.*under 32") as caught:
        pixels(Image.new("RGB", (31, 90)), size=64)
    assert caught.value.kind == "too small"
    assert decode(written(Image.new("RGB", (32, 90)), "PNG"), 64).enlarged


@pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "PPM", "WEBP", "AVIF", "JPEG2000"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.9])
def test_cut_files_are_refused(form, share):
    if form in ("AVIF", "JPEG2000") and not features.check({"AVIF": "avif", "JPEG2000": "jpg_2000"}[form]):
        pytest.skip("not in this Pillow")
    data = written(Image.fromarray(noise((64, 64, 3))), form).getvalue()
    with pytest.raises(Refused) as caught:
        decode(io.BytesIO(data[: int(share * len(data))]), 32)
    assert caught.value.kind in ("unreadable", "truncated")
    assert "\n" not in caught.value.reason


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["JPEG", "PNG", "GIF", "TIFF", "WEBP", "BMP"]), st.data())
def test_damaged_files_give_a_picture_or_refused(form, data):
    raw = bytearray(written(smooth(40, 40), form).getvalue())
    for _ in range(data.draw(st.integers(1, 20))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    with suppress(Refused):
        assert decode(io.BytesIO(bytes(raw)), 32).pixels.shape == (32, 32, 3)


def test_bombs_are_refused_by_their_header():
    bomb = bytearray(written(Image.new("1", (8, 8)), "PNG").getvalue())
    bomb[16:24] = struct.pack(">II", 60_000, 60_000)
    bomb[29:33] = struct.pack(">I", zlib.crc32(bytes(bomb[12:29])))
    with pytest.raises(Refused, match="256 million pixels") as caught:
        decode(io.BytesIO(bytes(bomb)), 32)
    assert caught.value.kind == "too large"
    assert PIXELS < 60_000**2


def test_the_limit_of_pillow_is_left_as_it_was():
    before = Image.MAX_IMAGE_PIXELS
    pixels(Image.new("RGB", (8, 8)))
    assert before == Image.MAX_IMAGE_PIXELS


@pytest.mark.parametrize("data", [b"", b"hello", b"%!PS-Adobe-3.0 EPSF-3.0\n", b"\xff\xd8\xff\xe0", b"BM", b"P6\n"])
def test_what_is_no_picture_is_refused(data):
    with pytest.raises(Refused):
        decode(io.BytesIO(data), 32)
