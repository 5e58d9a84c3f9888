"""Blank pictures, and 16-bit pictures that use a small part of their range."""

import io
from pathlib import Path

import numpy as np
import pytest
from drawn import draw, facts, of_16_bits, smooth
from PIL import Image, TiffImagePlugin

from fewgan.photos.decode import decode
from fewgan.photos.prepare import prepare
from fewgan.screen import Screen

QUIET = Screen(quiet=True)


def transparent(image: Image.Image) -> Image.Image:
    image = image.convert("RGBA")
    image.putalpha(0)
    return image


BLANK = {
    "white": (Image.new("RGB", (48, 48), "white"), "one colour"),
    "grey": (Image.new("L", (48, 48), 77), "one colour"),
    "palette": (Image.new("P", (48, 48), 3), "one colour"),
    "transparent": (transparent(smooth(48, 48)), "transparent"),
    "transparent grey": (Image.merge("LA", [smooth(48, 48).convert("L"), Image.new("L", (48, 48), 0)]), "transparent"),
    "16 bits": (Image.fromarray(np.full((48, 48), 900, np.uint16)), "one colour"),
}


@pytest.mark.parametrize("kind", BLANK)
def test_blank_pictures_are_left_out(tmp_path, kind, capsys):
    source = draw(tmp_path / "photos", 3)
    BLANK[kind][0].save(source / "blank.png")
    summary = prepare(source, tmp_path / "out", size=32, screen=Screen())
    assert summary.rejected == {"blank": 1}
    assert BLANK[kind][1] in capsys.readouterr().err


def bmp_with_fourth_byte(image: Image.Image, alpha: int) -> bytes:
    """A 32-bit BMP that declares an alpha channel."""
    values = np.dstack([np.asarray(image)[..., ::-1], np.full((image.height, image.width), alpha, np.uint8)])[::-1]
    masks = b"".join(mask.to_bytes(4, "little") for mask in (0xFF0000, 0xFF00, 0xFF, 0xFF000000))
    sizes = (image.width.to_bytes(4, "little"), image.height.to_bytes(4, "little"))
    head = (108).to_bytes(4, "little") + b"".join(sizes) + b"\1\0\x20\0\3\0\0\0" + bytes(20) + masks + bytes(52)
    start = 14 + len(head)
    front = b"BM" + (start + values.size).to_bytes(4, "little") + bytes(4) + start.to_bytes(4, "little")
    return front + head + values.tobytes()


@pytest.mark.parametrize("alpha", [0, 255])
def test_an_empty_fourth_byte_of_a_bmp_is_no_alpha(alpha):
    image = smooth(48, 48)
    got = decode(io.BytesIO(bmp_with_fourth_byte(image, alpha)), 48)
    assert np.array_equal(got.pixels, np.asarray(image))
    assert not got.transparent


def of_bits(folder: Path, bits: int, *, form: str = "png", count: int = 3) -> Path:
    """Pictures whose values use so many bits of 16."""
    folder.mkdir()
    for number in range(count):
        grey = np.asarray(smooth(48, 48, number).convert("L")).astype(np.float64)
        grey = (grey - grey.min()) / np.ptp(grey)
        Image.fromarray(np.rint(grey * (2**bits - 1)).astype(np.uint16)).save(folder / f"{number}.{form}")
    return folder


@pytest.mark.parametrize(
    ("bits", "form", "workers"),
    [*((bits, form, 1) for bits in (8, 10, 12, 14, 16) for form in ("png", "tif")), (12, "tif", 2)],
)
def test_a_small_range_of_16_bits_is_read_whole_and_told(tmp_path, bits, form, workers, capsys):
    source = of_bits(tmp_path / "photos", bits, form=form)
    (source / "broken.png").write_bytes(b"broken")
    prepare(source, tmp_path / "out", size=48, workers=workers, screen=Screen(quiet=True))
    said = capsys.readouterr().err
    assert (f"are read as {bits} bits" in said) == (bits < 16)
    prepare(of_bits(tmp_path / "whole", 16), tmp_path / "reference", size=48, workers=1, screen=QUIET)
    files = (tmp_path / name / "images.safetensors" for name in ("out", "reference"))
    got, wanted = (np.frombuffer(file.read_bytes()[512:], np.uint8) for file in files)
    assert np.abs(got.astype(int) - wanted).max() <= 1
    assert facts(tmp_path / "out")["count"] == 3
    assert len((tmp_path / "out" / "rejected.jsonl").read_text().splitlines()) == 1


def test_a_dark_one_among_whole_ranges_stays_and_is_told(tmp_path, capsys):
    source = of_bits(tmp_path / "photos", 16)
    of_bits(tmp_path / "dark", 11, count=1)
    (tmp_path / "dark" / "0.png").rename(source / "dark.png")
    assert prepare(source, tmp_path / "out", size=48, duplicates="keep", screen=Screen(quiet=True)).count == 4
    assert "1 of 4 16-bit pictures lie in the darkest quarter" in capsys.readouterr().err


def test_a_range_far_from_zero_is_told(tmp_path, capsys):
    source = tmp_path / "photos"
    source.mkdir()
    for number in range(3):
        values = 30_000 + 10 * np.asarray(smooth(48, 48, number).convert("L")).astype(np.uint16)
        Image.fromarray(values).save(source / f"{number}.png")
    prepare(source, tmp_path / "out", size=48, screen=Screen(quiet=True))
    assert "and stay faint" in capsys.readouterr().err


def test_dark_colours_of_16_bits_are_told(tmp_path, capsys):
    source = tmp_path / "photos"
    source.mkdir()
    for number in range(2):
        (source / f"{number}.png").write_bytes(of_16_bits(smooth(48, 48, number), 16))
    prepare(source, tmp_path / "out", size=48, screen=Screen(quiet=True))
    assert "2 of 2 16-bit colour pictures lie in the darkest quarter" in capsys.readouterr().err


def test_a_few_hot_pixels_do_not_hide_that_a_set_is_dark(tmp_path, capsys):
    source = of_bits(tmp_path / "photos", 12)
    for path in source.iterdir():
        values = np.array(Image.open(path))
        values[0, 0] = 65535
        Image.fromarray(values).save(path)
    prepare(source, tmp_path / "out", size=48, screen=Screen())
    assert "3 of 3 16-bit pictures lie in the darkest quarter" in capsys.readouterr().err


def test_a_tiff_in_which_0_is_white():
    values = (np.arange(48 * 48).reshape(48, 48) * 28).astype(np.uint16)
    pictures = []
    for sense in (0, 1):
        file, tags = io.BytesIO(), TiffImagePlugin.ImageFileDirectory_v2()
        tags[262] = sense
        Image.fromarray(values).save(file, "TIFF", tiffinfo=tags)
        file.seek(0)
        pictures.append(decode(file, 48).pixels.astype(int))
    assert np.abs(pictures[0] + pictures[1] - 255).max() <= 1
