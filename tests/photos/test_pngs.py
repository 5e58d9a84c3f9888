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


def faulty(kind: bytes, data: bytes, crc: int = 0) -> bytes:
    return len(data).to_bytes(4, "big") + kind + data + (zlib.crc32(kind + data) ^ crc).to_bytes(4, "big")


FAULTY = [
    *(faulty(kind, b"x\0\0yz", 1) for kind in (b"tEXt", b"zTXt", b"iCCP", b"tIME", b"abCd")),
    *(faulty(kind, b"x\0\5yz") for kind in (b"zTXt", b"iCCP")),  # a packing that nobody knows
    *(faulty(kind, b"\0") for kind in (b"pHYs", b"gAMA", b"cHRM", b"tRNS", b"acTL", b"fcTL", b"iCCP")),
    *(faulty(kind, b"") for kind in (b"sRGB", b"acTL", b"eXIf", b"iTXt", b"tIME", b"bKGD")),
    faulty(b"fcTL", bytes(26)),
    faulty(b"fdAT", bytes(9)),
]


@pytest.mark.parametrize("chunk", FAULTY, ids=lambda chunk: f"{chunk[4:8].decode()}-{len(chunk)}")
@pytest.mark.parametrize("last", [False, True])
def test_a_png_with_faulty_metadata_is_a_sound_picture(chunk, last):
    image = smooth(64, 64)
    assert np.array_equal(decode(with_chunk(image, chunk, last=last), 64).pixels, np.asarray(image))


def test_a_large_exif_still_turns_the_picture():
    image, exif = smooth(64, 64), Image.Exif()
    exif[0x0112] = 6
    data = exif.tobytes()[6:] + bytes(1_200_000)
    turned = image.transpose(Image.Transpose.ROTATE_270)
    assert np.array_equal(decode(with_chunk(image, chunk(b"eXIf", data)), 64).pixels, np.asarray(turned))


def test_of_an_animation_the_picture_of_programs_without_animations_is_taken():
    image, file = smooth(64, 64), io.BytesIO()
    image.save(file, "PNG", save_all=True, append_images=[smooth(64, 64, 7)])
    assert np.array_equal(decode(file, 64).pixels, np.asarray(image))
