"""Wrong use of `fewgan fid` is one line."""

import shutil
from pathlib import Path

import pytest
import torch
from drawn import draw, smooth
from scored import QUIET, Tiny, scored

from fewgan.photos.prepare import prepare
from fewgan.plugin import FewganError, UsageError
from fewgan.screen import Screen


def test_the_text_has_the_name_of_the_score_and_no_other(here):
    text = scored().text()
    assert "Tiny distance" in text
    assert "FID" not in text
    assert "nearest.png" in text
    assert "24" in text


def test_few_pictures_prefer_kid(here, capsys):
    report = scored(screen=Screen())
    assert "prefer KID" in capsys.readouterr().err
    assert any("24 train photos and 6 held-out photos and 32 pictures" in note for note in report.notes)


def test_datasets_of_other_shapes_are_told(here, capsys):
    prepare(here / "photos", here / "wide", size=32, crop="fit", screen=QUIET)
    scored(against=Path("wide"))
    assert "wide was prepared with --crop fit, the scored pictures with --crop center" in capsys.readouterr().err
    scored(against=Path("dataset"))
    assert "difference in shape" not in capsys.readouterr().err


def test_a_generator_is_no_run_and_the_run_is_named(here):
    folder = next((here / "runs").glob("0*"))
    with pytest.raises(UsageError, match=f"is one generator; --snapshots takes a run, such as .*{folder.name}$"):
        scored(folder / "generator.safetensors", snapshots=True)


def test_options_that_a_generator_cannot_serve_are_refused_before_anything_is_computed(here, monkeypatch):
    monkeypatch.setattr("fewgan.sampling.generate.truncates", lambda _: False)
    features = Tiny()
    with pytest.raises(UsageError, match="law of their own"):
        scored(truncations=[0.5], features=features)
    assert features.seen == 0
    assert not list((here / "runs").glob("0*/fid"))


def test_a_dataset_that_changed_is_told(here, capsys):
    assert scored().own_photos
    prepare(here / "photos", here / "dataset", size=40, holdout=3, force=True, screen=QUIET)
    assert not scored().own_photos
    assert "or on another version of this one" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"count": 1}, "--count 1: give 2 or more"),
        ({"count": float("nan")}, "--count nan"),
        ({"truncations": [0.0]}, "--truncation 0"),
        ({"truncations": [float("inf")]}, "--truncation inf"),
        ({"seed": -1}, "--seed -1"),
        ({"standing_stats": -1}, "--standing-stats -1"),
        ({"snapshots": True, "truncations": [0.5, 1.0]}, "--snapshots takes one number"),
        ({"target": Path("foreign"), "snapshots": True, "against": Path("dataset")}, "--keep-generators"),
        ({"target": Path("gone")}, "gone: no such file or folder"),
        ({"target": Path("photos")}, "photos: .*--against"),
        (
            {"target": Path("photos"), "truncations": [0.5], "against": Path("dataset")},
            "--truncation needs a generator",
        ),
        ({"target": Path("photos"), "standing_stats": 2, "against": Path("dataset")}, "--standing-stats needs a gener"),
        ({"target": Path("photos"), "snapshots": True, "against": Path("dataset")}, "--snapshots needs a generator"),
        ({"against": Path("gone")}, "gone"),
        ({"against": Path("empty")}, "empty: no pictures in it"),
        ({"against": Path("linked")}, "linked .000.jpg: link: it leads out of the folder; copy"),
        ({"against": Path("single")}, "at least 2 real pictures, and there is 1 picture in single; name others"),
        ({"target": Path("broken"), "against": Path("dataset")}, "broken/b.png: .*take it out"),
    ],
)
def test_wrong_use_is_one_line(here, settings, words):
    (here / "empty").mkdir()
    (here / "broken").mkdir()
    draw(here / "single", 1)
    (here / "linked").mkdir()
    (here / "linked" / "000.jpg").symlink_to(here / "photos" / "000.jpg")
    smooth(40, 40).save(here / "broken" / "a.png")
    (here / "broken" / "b.png").write_bytes(b"\x89PNG\r\n\x1a\nno")
    with pytest.raises(UsageError, match=words) as caught:
        scored(**settings)
    assert "\n" not in str(caught.value)


def test_a_dataset_that_is_gone(here):
    shutil.rmtree(here / "dataset")
    with pytest.raises(UsageError, match="does not exist; name real pictures with --against"):
        scored()


def test_no_run_yet(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="fewgan train"):
        scored()


def test_features_that_are_not_finite(here):
    features = Tiny()
    features.mix[0, 0] = torch.nan
    with pytest.raises(FewganError, match="features tiny: some are NaN or infinite"):
        scored(features=features)


def test_a_place_that_cannot_be_written_to(here):
    (here / "file").write_text("")
    with pytest.raises(FewganError, match="could not be created"):
        scored(out=here / "file" / "fid")


@pytest.mark.parametrize("out", ["photos", "photos/fid", "dataset/fid"])
def test_results_do_not_lie_among_the_pictures(here, out):
    """They would be passed over as fewgan's own from then on."""
    with pytest.raises(UsageError, match=f"--out {out}: is in .*; give a folder outside it"):
        scored(Path("photos"), against=Path("dataset"), out=Path(out))
    assert scored(Path("photos"), against=Path("dataset")).main.count == 30
