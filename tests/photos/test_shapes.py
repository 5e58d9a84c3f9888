"""Pictures that are not square: squeezed or padded into squares, and given their shape back."""

import io
import json

import numpy as np
import pytest
import torch
from drawn import smooth
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image

from fewgan.photos import dataset
from fewgan.photos.decode import aspect_of, decode
from fewgan.photos.prepare import prepare
from fewgan.plugin import UsageError
from fewgan.registry import choose
from fewgan.sampling.imagefile import shaped
from fewgan.sampling.sample import sample
from fewgan.screen import Screen
from fewgan.testing.base import config
from fewgan.training.loop import train

QUIET = Screen(quiet=True)


def thirds(width: int, height: int) -> Image.Image:
    """Red, green and blue columns."""
    pixels = np.zeros((height, width, 3), np.uint8)
    for index in range(3):
        pixels[:, width * index // 3 : width * (index + 1) // 3, index] = 255
    return Image.fromarray(pixels)


def data(image: Image.Image, form: str = "PNG", **more) -> io.BytesIO:
    file = io.BytesIO()
    image.save(file, form, **more)
    file.seek(0)
    return file


def test_stretch_keeps_all_of_the_photo():
    """Its three columns have a third of the square each."""
    pixels = decode(data(thirds(90, 60)), 30, "stretch").pixels
    colours = [pixels[:, start + 3 : start + 7].reshape(-1, 3).mean(axis=0).round() for start in (0, 10, 20)]
    assert np.array_equal(colours, np.eye(3) * 255)


def test_stretch_cuts_to_the_aspect_before():
    """3:2 of a 4:2 photo loses an eighth of the width on each side."""
    pixels = decode(data(thirds(80, 40)), 60, "stretch", aspect=1.5).pixels
    red = (pixels[..., 0] > 128).mean(axis=0)
    assert abs(np.count_nonzero(red > 0.5) - 60 * (80 / 3 - 10) / 60) <= 1


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_every_orientation_is_measured_as_displayed(form, orientation):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    expected = 1.5 if orientation < 5 else 2 / 3
    assert aspect_of(data(thirds(90, 60), form, exif=exif)) == pytest.approx(expected)
    assert decode(data(thirds(90, 60), form, exif=exif), 30).aspect == pytest.approx(expected)


def test_a_photo_that_is_turned_by_exif_is_measured_as_displayed():
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6  # stored 90 x 60, displayed 60 x 90
    decoded = decode(data(thirds(90, 60), exif=exif), 30, "stretch", aspect=2 / 3)
    assert decoded.aspect == pytest.approx(2 / 3)
    assert aspect_of(data(thirds(90, 60), exif=exif)) == pytest.approx(2 / 3)
    rows = [decoded.pixels[start + 3 : start + 7].reshape(-1, 3).mean(axis=0).round() for start in (0, 10, 20)]
    assert np.array_equal(rows, np.eye(3) * 255)


@pytest.fixture
def photos(tmp_path):
    random = np.random.default_rng(0)
    (tmp_path / "photos").mkdir()
    for index in range(12):
        coarse = random.integers(0, 256, (4, 6, 3)).astype(np.uint8)
        width = 96 if index < 9 else 64
        Image.fromarray(coarse).resize((width, 64), Image.Resampling.BICUBIC).save(tmp_path / f"photos/{index:02d}.png")
    return tmp_path / "photos"


@pytest.mark.parametrize(
    ("crop", "aspect", "expected"),
    [("center", None, 1.0), ("fit", None, 1.0), ("stretch", None, 1.5), ("stretch", 2.0, 2.0)],
)
def test_a_dataset_remembers_its_shape(photos, tmp_path, crop, aspect, expected):
    prepare(photos, tmp_path / "data", size=32, crop=crop, aspect=aspect, workers=1, screen=QUIET)
    made = dataset.load(tmp_path / "data")
    assert (made.crop, made.aspect) == (crop, expected)
    with Image.open(tmp_path / "data" / "preview.png") as preview:
        assert preview.size[0] == 8 * 34 + 2
        assert preview.size[1] == 2 * (round(32 / expected) + 2) + 2


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([(90, 60), (120, 60)], 1.5),
        ([(60, 90), (60, 120)], 2 / 3),
        ([(90, 60), (60, 90), (60, 90)], 1.0),
        ([(60, 60)] + 19 * [(90, 60)], 1.5),  # one of twenty may lose a little
    ],
)
def test_padding_alone_is_cut_from_padded_photos(tmp_path, sizes, expected):
    (tmp_path / "photos").mkdir()
    for index, (width, height) in enumerate(sizes):
        smooth(width, height, index).save(tmp_path / "photos" / f"{index}.png")
    prepare(tmp_path / "photos", tmp_path / "data", size=32, crop="fit", workers=1, screen=QUIET)
    assert dataset.load(tmp_path / "data").aspect == pytest.approx(expected, abs=1e-4)


def test_a_dataset_of_an_earlier_version_is_square(photos, tmp_path):
    prepare(photos, tmp_path / "data", size=32, workers=1, screen=QUIET)
    path = tmp_path / "data" / "dataset.json"
    facts = json.loads(path.read_text())
    del facts["aspect"]
    path.write_text(json.dumps(facts))
    assert dataset.load(tmp_path / "data").aspect == 1.0
    path.write_text(json.dumps({**facts, "aspect": "wide"}))
    with pytest.raises(UsageError, match="aspect is no width by height"):
        dataset.load(tmp_path / "data")


@pytest.mark.parametrize(("crop", "size"), [("stretch", (24, 16)), ("fit", (16, 11))])
def test_a_run_and_its_pictures_have_the_shape_of_the_photos(photos, tmp_path, tiny, crop, size):
    for square in sorted(photos.iterdir())[9:] if crop == "fit" else ():
        square.unlink()
    prepare(photos, tmp_path / "dataset", size=16, crop=crop, workers=1, screen=QUIET)
    done = train(config(tmp_path, steps=10), QUIET)
    made = sample(done.folder, count=2, out=tmp_path / "pictures", device="cpu", screen=QUIET)
    with Image.open(made.folder / made.files[0]) as picture:
        assert picture.size == size
    with Image.open(done.folder / "samples" / "000010.png") as grid:
        assert grid.size == (8 * (size[0] + 2) + 2, 4 * (size[1] + 2) + 2)
    alone = sample(done.folder / "generator.safetensors", count=1, out=tmp_path / "other", device="cpu", screen=QUIET)
    with Image.open(alone.folder / alone.files[0]) as picture:
        assert picture.size == size


@pytest.fixture
def tiny(tmp_path_factory, monkeypatch):
    from fewgan.testing.base import install_tiny

    monkeypatch.syspath_prepend(str(install_tiny(tmp_path_factory.getbasetemp() / "fewgan-tiny")))
    return choose("architectures", "tiny")


@settings(max_examples=50, deadline=None)
@given(st.floats(0.125, 8), st.sampled_from(["fit", "stretch"]), st.integers(8, 64))
def test_shapes_have_their_aspect(aspect, crop, side):
    made = shaped(torch.full((1, 3, side, side), 77, dtype=torch.uint8), {"crop": crop, "aspect": aspect})
    height, width = made.shape[2:]
    assert (made == 77).all()
    assert abs(width - height * aspect) <= 0.5 * max(1, aspect) + 1e-6
    assert (min if crop == "stretch" else max)(height, width) == side


@pytest.mark.parametrize(
    "config", [{}, {"crop": "fit"}, {"crop": "stretch", "aspect": "x"}, {"crop": "fit", "aspect": 1e9}]
)
def test_what_is_no_shape_changes_nothing(config):
    images = torch.zeros(1, 3, 8, 8, dtype=torch.uint8)
    assert shaped(images, config).shape == (1, 3, 8, 8)


def test_wrong_use(photos, tmp_path):
    with pytest.raises(UsageError, match="--aspect goes with --crop stretch"):
        prepare(photos, tmp_path / "x", aspect=1.5, screen=QUIET)
    with pytest.raises(UsageError, match="from 1:8 to 8:1"):
        prepare(photos, tmp_path / "x", crop="stretch", aspect=9, screen=QUIET)
