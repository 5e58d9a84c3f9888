"""prepare: from files on disk to a dataset on disk."""

import json
import os
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from drawn import contents, draw, facts, smooth
from PIL import Image
from safetensors.numpy import load_file

from fewgan.photos.prepare import prepare
from fewgan.plugin import FewganError, UsageError
from fewgan.screen import Screen

QUIET = Screen(quiet=True)
FILES = {"dataset.json", "images.safetensors", "preview.png", "rejected.jsonl"}


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    return draw(tmp_path_factory.mktemp("drawn") / "photos", 24)


def names(out: Path) -> list[str]:
    return [image["name"] for image in facts(out)["images"]]


def rejected(out: Path) -> dict[str, str]:
    rows = map(json.loads, (out / "rejected.jsonl").read_text().splitlines())
    return {row["name"]: row["reason"] for row in rows}


# What is written ------------------------------------------------------------------------------------------------------


def test_a_dataset_holds_all_that_training_needs(photos, tmp_path):
    out = tmp_path / "deep" / "dataset"
    before = contents(photos)
    summary = prepare(photos, out, size=32, screen=QUIET)
    assert {path.name for path in out.iterdir()} == FILES
    assert (summary.out, summary.count, summary.size, summary.held_out) == (out, 24, 32, 0)
    assert (summary.rejected, summary.classes) == ({}, ())
    written = facts(out)
    assert written["format"] == 1
    assert written["count"] == len(written["images"]) == 24
    assert written["images"][3] == {"name": "003.jpg", "label": 0, "held_out": False}
    images = load_file(out / "images.safetensors")["images"]
    assert images.shape == (24, 3, 32, 32)
    assert images.dtype == np.uint8
    full = Image.open(photos / "003.jpg").resize((32, 32), Image.Resampling.LANCZOS)
    assert np.abs(images[3].transpose(1, 2, 0).astype(int) - np.asarray(full)).mean() < 1
    with Image.open(out / "preview.png") as preview:
        assert preview.size == (8 * 34 + 2, 3 * 34 + 2)
        assert np.array_equal(np.asarray(preview)[2:34, 2:34], images[0].transpose(1, 2, 0))
    assert contents(photos) == before
    assert [path.name for path in out.parent.iterdir()] == ["dataset"]


def test_the_result_does_not_depend_on_workers_or_packing(photos, tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        for path in sorted(photos.iterdir(), reverse=True):
            file.write(path, path.name)
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as file:
        for path in sorted(photos.iterdir(), reverse=True):
            file.add(path, path.name)
    results = []
    for source, workers in ((photos, 1), (photos, 2), (tmp_path / "a.zip", 2), (tmp_path / "a.tar.gz", 1)):
        prepare(source, tmp_path / f"out{len(results)}", size=32, holdout=4, workers=workers, screen=QUIET)
        results.append(contents(tmp_path / f"out{len(results)}"))
    assert all(result == results[0] for result in results)


def test_photos_of_any_shape_and_kind(tmp_path):
    source = draw(tmp_path / "photos", 2)
    smooth(300, 60, 11).save(source / "wide.png")
    smooth(60, 300, 12).convert("CMYK").save(source / "tall.tif")
    smooth(70, 70, 13).save(source / "no extension at all", "JPEG")
    smooth(70, 70, 14).save(source / ("Ω\n" + "x" * 240 + ".webp"), lossless=True)
    for crop in ("center", "fit"):
        summary = prepare(source, tmp_path / crop, size=48, crop=crop, screen=QUIET)
        assert (summary.count, summary.rejected) == (6, {})


# Left out -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def mixed(tmp_path) -> Path:
    source = draw(tmp_path / "photos", 3)
    (source / "broken.jpg").write_bytes(b"no picture")
    (source / "empty.png").write_bytes(b"")
    (source / "cut.jpg").write_bytes((source / "000.jpg").read_bytes()[:700])
    (source / "notes.txt").write_text("read me")
    (source / "film.mp4").write_bytes(os.urandom(5000))
    (source / "phone.heic").write_bytes(b"\0\0\0 ftypheic" + bytes(100))
    (source / "same.jpg").write_bytes((source / "001.jpg").read_bytes())
    Image.open(source / "002.jpg").resize((90, 86), Image.Resampling.LANCZOS).save(source / "zz.jpg", quality=70)
    smooth(23, 90, 50).save(source / "tiny.png")
    (source / "link.jpg").symlink_to("/etc/passwd")
    os.mkfifo(source / "pipe.jpg")
    return source


def test_what_is_left_out_is_listed_with_its_reason(mixed, tmp_path, capsys):
    summary = prepare(mixed, tmp_path / "out", size=48, screen=Screen())
    assert names(tmp_path / "out") == ["000.jpg", "001.jpg", "002.jpg"]
    reasons = rejected(tmp_path / "out")
    assert reasons.pop("tiny.png") == "too small: 23 x 90, its shorter side is under 24"
    assert reasons.pop("same.jpg") == "exact duplicate of 001.jpg"
    assert reasons.pop("zz.jpg") == "near duplicate of 002.jpg"
    assert "pillow-heif" in reasons.pop("phone.heic")
    assert "leads out" in reasons.pop("link.jpg")
    assert "never opened" in reasons.pop("pipe.jpg")
    kinds = {name: reason.partition(":")[0] for name, reason in reasons.items()}
    assert kinds == {
        "broken.jpg": "unreadable",
        "empty.png": "unreadable",
        "cut.jpg": "truncated",
        "notes.txt": "not a picture",
        "film.mp4": "not a picture",
    }
    assert summary.rejected == {
        **{"unreadable": 2, "not a picture": 2, "truncated": 1, "too small": 1, "exact duplicate": 1},
        **{"near duplicate": 1, "unsupported": 1, "link": 1, "not a file": 1},
    }
    said = capsys.readouterr().err
    assert "only 3 photos; at least 100 are recommended" in said
    assert "1 link. link.jpg: link: it leads out" in said
    assert "1 unsupported. phone.heic: " in said
    assert "1 exact and 1 near duplicates, 40% of the photos; give --duplicates exact or --duplicates keep" in said


def test_strict_fails_and_leaves_nothing(mixed, tmp_path):
    with pytest.raises(FewganError, match=r"--strict: 9 of the files .* and 4 more") as caught:
        prepare(mixed, tmp_path / "out", size=48, strict=True, screen=QUIET)
    assert not isinstance(caught.value, UsageError)
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


def test_strict_allows_files_that_are_no_pictures(tmp_path):
    source = draw(tmp_path / "photos", 2)
    (source / "notes.txt").write_text("read me")
    assert prepare(source, tmp_path / "out", size=32, strict=True, screen=QUIET).count == 2


def test_smaller_photos_are_enlarged_and_that_is_said(photos, tmp_path, capsys):
    assert prepare(photos, tmp_path / "out", size=90, screen=Screen()).enlarged == 24
    assert "24 photos enlarged: fewer than 90 pixels a side" in capsys.readouterr().err


def test_nothing_usable(photos, tmp_path):
    with pytest.raises(UsageError, match=r"24 too small\. 000\.jpg: too small: 48 x 48"):
        prepare(photos, tmp_path / "out", size=512, screen=QUIET)
    (tmp_path / "none").mkdir()
    with pytest.raises(UsageError, match="No pictures"):
        prepare(tmp_path / "none", tmp_path / "out", screen=QUIET)
    with pytest.raises(UsageError, match="does not exist"):
        prepare(tmp_path / "gone", tmp_path / "out", screen=QUIET)
    assert [path.name for path in tmp_path.iterdir()] == ["none"]


# Options --------------------------------------------------------------------------------------------------------------


def test_limit_takes_the_first_usable_photos_in_name_order(tmp_path):
    source = draw(tmp_path / "photos", 6)
    (source / "001.jpg").write_bytes(b"broken")
    for workers in (1, 2):
        out = tmp_path / f"out{workers}"
        assert prepare(source, out, size=32, limit=3, workers=workers, screen=QUIET).count == 3
        assert names(out) == ["000.jpg", "002.jpg", "003.jpg"]
        assert list(rejected(out)) == ["001.jpg"]


def test_classes_are_the_first_folders(tmp_path, capsys):
    source = tmp_path / "photos"
    for number, name in enumerate(("dog", "cat", "an owl")):
        draw(source / name / ("sub" if number else ""), 4, seed=100 * number)
    (source / "mouse").mkdir()
    (source / "mouse" / "broken.jpg").write_bytes(b"broken")
    (source / "empty").mkdir()
    summary = prepare(source, tmp_path / "out", size=32, classes=True, limit=7, holdout=3, screen=Screen())
    assert summary.classes == ("an owl", "cat", "dog")
    labels = [image["label"] for image in facts(tmp_path / "out")["images"]]
    assert sorted(labels) == [0, 0, 0, 1, 1, 2, 2]  # they take turns
    held = [image["label"] for image in facts(tmp_path / "out")["images"] if image["held_out"]]
    assert sorted(held) == [0, 1, 2]
    error = capsys.readouterr().err
    assert "mouse" in error
    assert "--classes: there is no photo in empty, so that it makes no class" in error
    summary = prepare(source, tmp_path / "flat", size=32, screen=Screen())
    assert summary.classes == ()
    assert "--classes makes each a class" in capsys.readouterr().err


def test_a_limit_that_leaves_a_class_without_photos_is_told_as_such(tmp_path, capsys):
    for number, name in enumerate(("dog", "cat", "owl")):
        draw(tmp_path / "photos" / name, 2, seed=100 * number)
    prepare(tmp_path / "photos", tmp_path / "out", size=32, classes=True, limit=2, screen=Screen())
    error = capsys.readouterr().err
    assert "--limit 2 leaves no photo for these classes: owl" in error
    assert "no usable photo" not in error


def test_photos_that_are_all_too_small_need_a_smaller_size(tmp_path):
    draw(tmp_path / "photos", 2)
    with pytest.raises(UsageError, match=r"No usable photo in .*: 2 too small\. .*; give a smaller --size$"):
        prepare(tmp_path / "photos", tmp_path / "out", size=1024, screen=Screen())


def test_narrow_cuts_count_as_enlarged(tmp_path, capsys):
    (tmp_path / "wide").mkdir()
    for index in range(3):
        smooth(400, 100, index).save(tmp_path / "wide" / f"{index}.png")
    done = prepare(tmp_path / "wide", tmp_path / "out", size=96, crop="stretch", aspect=1 / 8, screen=Screen())
    assert done.enlarged == 3
    assert "3 photos enlarged: fewer than 96 pixels a side" in capsys.readouterr().err


def test_classes_without_folders(photos, tmp_path):
    with pytest.raises(UsageError, match="no folders with photos"):
        prepare(photos, tmp_path / "out", classes=True, screen=QUIET)


def test_holdout_is_drawn_by_seed(photos, tmp_path):
    marks = []
    for number, seed in enumerate((0, 0, 1)):
        prepare(photos, tmp_path / str(number), size=32, holdout=7, seed=seed, screen=QUIET)
        marks.append([image["held_out"] for image in facts(tmp_path / str(number))["images"]])
    assert [sum(mark) for mark in marks] == [7, 7, 7]
    assert marks[0] == marks[1] != marks[2]
    assert facts(tmp_path / "0")["fingerprint"] != facts(tmp_path / "2")["fingerprint"]


def test_holdout_of_a_zip_is_that_of_its_folder(photos, tmp_path):
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as file:
        for path in photos.iterdir():
            file.write(path, f"photos/{path.name}")
    held = []
    for source in (photos, tmp_path / "photos.zip"):
        prepare(source, tmp_path / "out", size=32, holdout=5, force=True, screen=QUIET)
        held.append({Path(row["name"]).name for row in facts(tmp_path / "out")["images"] if row["held_out"]})
    assert held[0] == held[1]


def test_mirror_images_are_copies(photos, tmp_path):
    """Training flips photos, so that one of a pair must not be held out while the other is trained on."""
    source = tmp_path / "both"
    source.mkdir()
    for path in photos.iterdir():
        with Image.open(path) as image:
            image.save(source / f"{path.stem}.png")
            image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(source / f"{path.stem}m.jpg", quality=90)
    assert prepare(source, tmp_path / "out", size=32, screen=QUIET).count == 24
    assert rejected(tmp_path / "out")["000m.jpg"] == "near duplicate of 000.png, mirrored"
    assert prepare(source, tmp_path / "out", size=32, duplicates="exact", force=True, screen=QUIET).count == 48
    for path in source.iterdir():
        (source / path.suffix[1:]).mkdir(exist_ok=True)
        path.rename(source / path.suffix[1:] / path.name) if path.is_file() else None
    done = prepare(source, tmp_path / "out", size=32, classes=True, force=True, screen=QUIET)
    assert done.count == 48  # left and right may be what the classes are about


def test_holdout_leaves_some_to_train(photos, tmp_path):
    for count, limit in ((24, None), (5, 5)):
        with pytest.raises(UsageError, match=f"--holdout {count}"):
            prepare(photos, tmp_path / "out", size=32, holdout=count, limit=limit, screen=QUIET)
    assert prepare(photos, tmp_path / "out", size=32, holdout=23, screen=QUIET).held_out == 23
    for index in range(30):
        (photos / f"broken-{index}.jpg").write_bytes(b"\xff\xd8")
    with pytest.raises(UsageError, match="--holdout 30: give 23 or fewer, so that a photo is left to train on"):
        prepare(photos, tmp_path / "new", size=32, holdout=30, screen=QUIET)


@pytest.mark.parametrize(
    "options",
    [{"size": 4}, {"size": 4096}, {"crop": "middle"}, {"limit": 0}, {"holdout": -1}, {"seed": -1}, {"workers": 0}],
)
def test_options_out_of_range(photos, tmp_path, options):
    with pytest.raises(UsageError, match=f"--{next(iter(options))}"):
        prepare(photos, tmp_path / "out", **options, screen=QUIET)


def test_bright_things_before_the_same_dark_ground_are_different_photos(tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    rows, columns = np.mgrid[0:64, 0:64]
    disc = (np.hypot(rows - 32, columns - 32) < 22)[..., None]
    for seed in range(20):
        grain = np.random.default_rng(seed).uniform(150, 250, (32, 32, 1)).repeat(2, 0).repeat(2, 1)
        Image.fromarray((disc * np.broadcast_to(grain, (64, 64, 3))).astype(np.uint8)).save(photos / f"{seed:02d}.png")
    Image.open(photos / "03.png").save(photos / "again.jpg", quality=60)
    result = prepare(photos, tmp_path / "dataset", size=64, screen=Screen(quiet=True))
    assert result.count == 20
    assert result.rejected == {"near duplicate": 1}
