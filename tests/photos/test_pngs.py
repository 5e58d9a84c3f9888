"""PNG files with more metadata than a picture needs, which are sound pictures all the same."""

import io
import zlib

import numpy as np
import pytest
from drawn import chunk, rgb_profile, smooth, written
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from fewgan.photos import pngs
from fewgan.photos.decode import decode
from fewgan.screen import Screen

QUIET = Screen(quiet=True)


def with_chunk(image: Image.Image, added: bytes, *, last: bool = False) -> io.BytesIO:
    data = written(image, "PNG").getvalue()
    place = data.index(b"IEND") - 4 if last else data.index(b"IDAT") - 4
    return io.BytesIO(data[:place] + added + data[place:])


LARGE = b"history " * 400_000
METADATA = {
    "packed text": chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(LARGE)),
    "old packed text": chunk(b"zTXt", b"Raw profile type xmp\0\0" + zlib.compress(LARGE)),
    "plain text": chunk(b"tEXt", b"parameters\0" + LARGE),
    "many texts": chunk(b"tEXt", b"parameters\0" + LARGE[:900_000]) * 100,
    "text that unpacks to 300 MB": chunk(b"zTXt", b"x\0\0" + zlib.compress(bytes(300_000_000), 9)),
    "profile that unpacks to 300 MB": chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(300_000_000), 9)),
    "profile that is damaged": chunk(b"iCCP", b"x\0\0" + bytes(2_000_000)),
}


@pytest.mark.parametrize(
    ("kind", "last"),
    [(kind, last) for kind in METADATA for last in (False, True) if not (last and kind.startswith("profile"))],
)
def test_a_png_with_large_metadata_is_a_sound_picture(kind, last):
    image = smooth(64, 64)
    got = decode(with_chunk(image, METADATA[kind], last=last), 64)
    assert np.array_equal(got.pixels, np.asarray(image))


def test_a_large_profile_still_counts():
    icc = rgb_profile("bgr")
    large = icc + bytes(3_000_000)
    large = len(large).to_bytes(4, "big") + large[4:]
    image = smooth(64, 64)
    plain = decode(written(image, "PNG", icc_profile=icc), 64).pixels
    got = decode(with_chunk(image, chunk(b"iCCP", b"icc\0\0" + zlib.compress(large))), 64).pixels
    assert not np.array_equal(plain, np.asarray(image))
    assert np.array_equal(got, plain)


def test_small_metadata_is_left_in_place():
    info = PngImagePlugin.PngInfo()
    info.add_itxt("XML:com.adobe.xmp", "<x>" + "history " * 100, zip=True)
    file = written(smooth(32, 32), "PNG", pnginfo=info)
    assert pngs.readable(file) == (file, None)
    assert file.tell() == 0


@given(st.binary(max_size=200), st.integers(0, 300))
def test_damaged_pngs_come_back_as_they_are_or_shorter(tail, cut):
    data = written(smooth(16, 16), "PNG").getvalue()[:cut] + tail
    copy, _ = pngs.readable(io.BytesIO(data))
    assert len(copy.read()) <= len(data)
