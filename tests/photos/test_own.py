"""What fewgan itself wrote is no photo, wherever it lies."""

import shutil
from pathlib import Path

import pytest
from drawn import smooth
from PIL.PngImagePlugin import PngInfo
from test_gather import fill, taken, zipped

from fewgan import signatures
from fewgan.photos.gather import gather
from fewgan.plugin import UsageError
from fewgan.sampling import animation, imagefile

RUN = ["config.json", "metrics.jsonl", "real.png", "samples/000200.png", "generator.safetensors", "fid/nearest.png"]
OWN = {
    "datasets": ["dataset.json", "images.safetensors", "preview.png", "rejected.jsonl"],
    "runs": RUN,
    "runs without lines yet": ["config.json", "real.png", "samples/000000.png"],
    "runs of a generator alone": ["config.json", "generator.safetensors", "real.png"],
    "scores": ["scores.json", "nearest.png", "sweep.png"],
}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("kind", OWN)
def test_what_fewgan_wrote_is_passed_over_wherever_it_lies(tmp_path, kind, packed):
    theirs = [
        "a.jpg",
        "sub/b.jpg",
        "sub/config.json",
        "dataset.json",
        "labels/dataset.json",
        "labels/c.jpg",
        "scores.json",
    ]
    for place in ("made/", "deep/er/made/"):
        names = theirs + [place + name for name in OWN[kind]]
        source = tmp_path / place.replace("/", "-")
        source = zipped(source.with_suffix(".zip"), names) if packed else fill(source, names)
        assert taken(source) == sorted(theirs)
        with gather(source) as found:
            assert found.own == (place[:-1],)


@pytest.mark.parametrize("kind", OWN)
def test_what_fewgan_wrote_is_no_folder_of_photos(tmp_path, kind):
    fill(tmp_path / "made", OWN[kind])
    with pytest.raises(UsageError, match=r"written by fewgan|dataset already|No pictures"):
        taken(tmp_path / "made")
    with pytest.raises(UsageError, match="passed over"):
        taken(tmp_path)


def test_folders_of_other_programs_are_not_fewgans(tmp_path):
    names = ["config.json", "samples/a.png", "samples/b.png"]  # of a microscope, say
    assert taken(fill(tmp_path / "lab", names)) == names


@pytest.mark.parametrize("form", ["png", "jpeg"])
def test_generated_pictures_are_passed_over_beside_photos(tmp_path, form):
    name = f"pictures/00001-x-seed0/000000.{form}"
    (tmp_path / "pictures" / "00001-x-seed0").mkdir(parents=True)
    imagefile.save_picture(tmp_path / name, smooth(32, 32), form, {"model": "x", "index": 0})
    imagefile.save_picture(tmp_path / f"grid.{form}", smooth(64, 64), form, {"model": "x"})
    frames = [smooth(32, 32, seed) for seed in range(3)]
    for kind in ("webp", "gif"):
        animation.save(tmp_path / f"loop.{kind}", frames, len(frames), kind, {"model": "x"})
    with gather(tmp_path) as found:  # samples alone are what is meant, sheets and animations never
        assert [photo.name for photo in found.photos] == [name]
    smooth(32, 32).save(tmp_path / f"photo.{form}")
    with gather(tmp_path) as found:
        assert [photo.name for photo in found.photos] == [f"photo.{form}"]
        assert found.own == tuple(sorted((f"grid.{form}", "loop.gif", "loop.webp", "pictures/00001-x-seed0")))
    for packed in ("tar", "zip"):
        archive = shutil.make_archive(str(tmp_path.parent / f"packed-{form}"), packed, tmp_path)
        with gather(Path(archive)) as found:
            assert [photo.name for photo in found.photos] == [f"photo.{form}"]
            assert "loop.webp" in found.own
    with gather(tmp_path, samples=True) as found:
        assert len(found.photos) == 5


def test_a_sample_of_a_model_with_braces_in_its_name_is_a_sample(tmp_path):
    imagefile.save_picture(tmp_path / "a.png", smooth(32, 32), "png", {"model": "a}b", "index": 0})
    with gather(tmp_path) as found:
        assert [photo.name for photo in found.photos] == ["a.png"]


def test_a_comment_nested_without_end_is_not_fewgans(tmp_path):
    fill(tmp_path / "photos", ["b.png"])
    text = PngInfo()
    text.add_text("Comment", signatures.OWN + '{"a":' + 2000 * "[")
    smooth(40, 40, 7).save(tmp_path / "photos" / "a.png", pnginfo=text)
    with gather(tmp_path / "photos") as found:
        assert [photo.name for photo in found.photos] == ["a.png", "b.png"]


def test_a_sheet_is_not_replaced_by_samples(tmp_path):
    """real.png of a run, the preview of a dataset: `sample --out` would have written over them."""
    with open(tmp_path / "000000.png", "wb") as file:
        smooth(64, 64).save(file, "PNG", pnginfo=signatures.sheet(step=0))
    with pytest.raises(UsageError, match="not a sample and would be overwritten"):
        imagefile.refuse_to_overwrite(tmp_path, ["000000.png"], {"run": "x"})


def test_sheets_are_no_photos_wherever_they_were_copied(tmp_path):
    """real.png, preview.png and others show many pictures at once, and so do the grids of a run."""
    with open(tmp_path / "real.png", "wb") as file:
        smooth(64, 64).save(file, "PNG", pnginfo=signatures.sheet(step=3))
    smooth(32, 32).save(tmp_path / "photo.png")
    with gather(tmp_path) as found:
        assert ([photo.name for photo in found.photos], found.own) == (["photo.png"], ("real.png",))
    (tmp_path / "photo.png").unlink()
    with pytest.raises(UsageError, match="what fewgan made there is passed over"):
        taken(tmp_path)
    run = fill(tmp_path / "run", RUN)
    with pytest.raises(UsageError, match="samples: holds the sample grids of a run"):
        taken(run / "samples")
