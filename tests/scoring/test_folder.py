"""Pictures in folders as a side of a comparison: all of them, read as `fewgan prepare` reads photos."""

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from drawn import draw, of_16_bits, smooth
from PIL import Image
from scored import QUIET, scored

from fewgan.photos import dataset
from fewgan.photos.prepare import prepare
from fewgan.plugin import UsageError
from fewgan.sampling import animation, imagefile
from fewgan.screen import Screen


def distance(target, against, **settings) -> float:
    return scored(Path(target), against=Path(against), **settings).main.frechet_distance


def samples(folder: Path, count: int) -> Path:
    folder.mkdir(parents=True)
    for index in range(count):
        imagefile.save_picture(folder / f"{index:06d}.png", smooth(32, 32, index), "png", {"index": index})
    return folder


def test_pictures_beside_samples_are_scored_with_them(here):
    samples(here / "made", 10)
    draw(here / "made" / "more", 2)
    assert scored(Path("made"), against=Path("dataset")).main.count == 12


def test_pictures_need_no_ending(here):
    samples(here / "made", 4)
    for path in sorted((here / "made").iterdir())[:3]:
        path.rename(path.with_suffix(""))
    (here / "made" / "notes").write_text("no picture")
    assert scored(Path("made"), against=Path("dataset")).main.count == 4


@pytest.mark.parametrize("name", ["grid.png", "sheet.png"])
def test_grids_and_animations_are_no_samples_whatever_they_are_called(here, name, capsys):
    samples(here / "made", 10)
    imagefile.save_picture(here / "made" / name, smooth(64, 64), "png", {"count": 4})
    animation.save(
        here / "made" / "walk.webp", [smooth(32, 32, seed) for seed in range(3)], 3, "webp", {"keyframes": 2}
    )
    assert scored(Path("made"), against=Path("dataset"), screen=Screen()).main.count == 10
    assert f"{name} is left out" in capsys.readouterr().err


def test_the_grids_of_a_training_are_no_samples(here):
    folder = next((here / "runs").iterdir())
    draw(folder / "samples", 3)
    with pytest.raises(
        UsageError, match=f"holds grids, not single samples; 'fewgan fid .*{folder.name}' scores the run"
    ):
        scored(folder / "samples", against=Path("dataset"))


def test_small_ranges_of_16_bits_are_read_as_prepare_reads_them(here, capsys):
    (here / "dark").mkdir()
    for index in range(8):
        grey = np.asarray(smooth(40, 40, index).convert("L")).astype(np.uint16)
        Image.fromarray(grey * 12 + 200).save(here / "dark" / f"{index}.png")
    prepare(here / "dark", here / "prepared", size=40, screen=QUIET)
    assert distance("prepared", "dark", screen=Screen()) == pytest.approx(0, abs=1e-6)
    assert "dark: 8 16-bit pictures use only 0 to" in capsys.readouterr().err


@pytest.mark.parametrize("crop", ["center", "stretch", "fit"])
def test_photos_are_cut_as_those_they_are_compared_with(here, crop):
    (here / "wide").mkdir()
    for index in range(8):
        smooth(60, 40, index).save(here / "wide" / f"{index}.png")
    prepare(here / "wide", here / "prepared", size=60 if crop == "fit" else 40, crop=crop, screen=QUIET)
    assert distance("prepared", "wide") == pytest.approx(0, abs=1e-6)
    assert distance("wide", "prepared") == pytest.approx(0, abs=1e-6)


def test_one_small_picture_does_not_decide_the_size_of_all(here, capsys):
    draw(here / "mixed", 8, side=64)
    first = sorted((here / "mixed").iterdir())[0]
    smooth(16, 16).save(first)
    shutil.copytree(here / "mixed", here / "same")
    assert distance("mixed", "same", screen=Screen()) == pytest.approx(0, abs=1e-6)
    assert "mixed: its pictures have 16 to 64 px: the scores include" in capsys.readouterr().err


def test_advice_on_a_broken_file_can_be_followed(here):
    draw(here / "photos2", 5)
    (here / "photos2" / "b.png").write_bytes(b"\x89PNG\r\n\x1a\nno")
    with pytest.raises(UsageError, match=r"photos2/b\.png: .*; take it out of photos2$"):
        scored(Path("photos2"), against=Path("dataset"))
    (here / "photos2" / "b.png").unlink()
    assert scored(Path("photos2"), against=Path("dataset")).main.count == 5


def test_colours_of_16_bits_that_stay_dark_are_told(here, capsys):
    (here / "photos3").mkdir()
    for index in range(5):
        (here / "photos3" / f"{index}.png").write_bytes(of_16_bits(smooth(40, 40, index), 16))
    scored(Path("photos3"), against=Path("dataset"), screen=Screen())
    assert "photos3: 5 of 5 16-bit colour pictures lie in the darkest quarter" in capsys.readouterr().err


def test_folders_of_one_name_keep_their_scores_apart(here):
    folders = [samples(here / place / "samples", 4 + index) for index, place in enumerate("xy")]
    kept = {scored(folder, against=Path("dataset")).settings for folder in folders}
    assert len(kept) == 2
    assert {path.name for path in (here / "fid-samples").iterdir() if path.is_dir()} == kept


@pytest.mark.parametrize("name", ["scores.json", "nearest.png"])
def test_files_of_others_are_not_overwritten(here, name):
    (here / "results").mkdir()
    (here / "results" / name).write_text("{}")
    with pytest.raises(UsageError, match=f"{name}: not made by fewgan and would be overwritten"):
        scored(out=here / "results")
    assert (here / "results" / name).read_text() == "{}"
    (here / "results" / name).unlink()
    scored(out=here / "results")
    scored(out=here / "results")  # its own it replaces


def test_the_dataset_of_a_run_is_whole_and_the_one_it_was_trained_on_if_that_is_there(here):
    (here / "damaged").mkdir()
    (here / "damaged" / "dataset.json").write_text("{")
    (here / "photos-alone").mkdir()
    whole = dataset.load(here / "dataset")
    record = {"data_path": str(here / "dataset"), "fingerprint": whole.fingerprint}
    for beside in ("damaged", "photos-alone", "nowhere"):
        found = dataset.of_run(record | {"data_relative": f"../{beside}"}, here / "runs")
        assert found is not None
        assert found.folder == here / "dataset"
    for nothing in ("photos-alone", "nowhere"):
        assert dataset.of_run({"data_path": str(here / nothing)}, here) is None
    with pytest.raises(UsageError, match=r"is damaged|cannot be read"):
        dataset.of_run({"data_path": str(here / "damaged")}, here)


def test_of_two_datasets_the_one_that_the_run_has_learned_from_is_taken(here, capsys):
    shutil.copytree(here / "runs", here / "copy" / "runs")
    (here / "copy" / "dataset").mkdir()
    folder = next((here / "copy" / "runs").iterdir())
    text = (folder / "config.json").read_text()
    (folder / "config.json").write_text(text.replace("{", '{"data_relative": "../../dataset", ', 1))
    draw(here / "others", 25, seed=99)
    prepare(here / "others", here / "copy" / "dataset", size=40, force=True, screen=QUIET)
    assert scored(folder, screen=Screen()).main.real_count in (24, 6)
    assert "another dataset" not in capsys.readouterr().err


def test_a_damaged_member_of_a_zip_is_told(here):
    samples(here / "made", 4)
    with zipfile.ZipFile(here / "made.zip", "w") as archive:
        for path in sorted((here / "made").iterdir()):
            archive.write(path, path.name)
    content = bytearray((here / "made.zip").read_bytes())
    content[content.find(b"IDAT") + 300] ^= 255
    (here / "made.zip").write_bytes(content)
    with pytest.raises(UsageError, match=r"made.zip/000000.png: .*; take it out of .*made.zip, or pack that again"):
        scored(Path("made.zip"), against=Path("dataset"))


def test_a_long_name_has_a_folder_of_scores(here):
    made = scored(samples(here / ("写" * 80), 4), against=Path("dataset"), out=None)
    assert made.main.count == 4
