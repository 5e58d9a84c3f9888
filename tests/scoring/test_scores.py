"""The table on screen, the choice of the best, and where results lie."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from scored import Tiny, scored, size_of

from fewgan.errors import UsageError
from fewgan.scoring import files
from fewgan.scoring.neighbours import Memorising
from fewgan.scoring.scores import Report, Row, chosen_by, write_curve


def row(against="train", **values):
    usual = {"truncation": None, "step": None, "frechet_distance": 50.0, "kid": 0.1, "kid_deviation": 0.01}
    usual |= {"kid_full": 0.1, "count": 5000, "real_count": 90, "vendi_ratio": 0.9, "authentic": 0.8}
    shares = dict.fromkeys(("precision", "recall", "density", "coverage"), 0.5)
    return Row(against=against, **{**usual, **shares, **values})


def report(*rows, **values):
    usual = {"target": "00001-x", "settings": "tiny-5000", "features": "tiny", "identity": "", "score_name": "FID"}
    usual |= {
        "not_comparable": None,
        "own_photos": True,
        "memorising": Memorising(1.0, 1.0, None, 0.5, 0.0),
        "generator": Path("g"),
    }
    usual |= {"seed": 0, "standing_stats": 0, "notes": (), "files": (Path("fid/scores.json"),), "seconds": 1.0}
    return Report(rows=rows, **{**usual, **values})


@pytest.mark.parametrize("name", ["held-out", "a folder of photos whose name is rather long for one column of a table"])
def test_the_table_fits_100_columns_and_prints_k(name):
    worst = {"frechet_distance": 1234.567, "kid": -0.00123, "density": 12.34, "authentic": 1.0}
    rows = [row(against, truncation=t, **worst) for t in (0.25, 0.5) for against in ("train", name)]
    for some in (rows, rows[:2]):
        lines = report(*some, score_name="Fréchet distance (EfficientNet-Lite0)").text().splitlines()
        table = lines[1 : 2 + len(some)]
        assert max(map(len, table)) <= 100
        assert all(word in table[0] for word in ("precision", "recall", "density", "coverage", "AuthPct", "Vendi"))
        assert "-0.0012 ± 0.0100" in table[1]
        assert "k = 3 for precision and recall, 5 for density and coverage" in lines[2 + len(some)]


def test_a_kid_of_one_subset_has_no_deviation():
    assert " 0.1000  0.50" in report(row(kid_deviation=0.0)).text()


def test_the_best_is_chosen_by_held_out_kid():
    """Against the training photos step 200 is the best, because it copies them."""
    rows = [
        row(step=100, kid=0.05, frechet_distance=30.0),
        row("held-out", step=100, kid=0.06),
        row(step=200, kid=0.01, frechet_distance=10.0),
        row("held-out", step=200, kid=0.2),
    ]
    assert report(*rows).main == rows[0]
    assert chosen_by(rows) == "held-out"
    assert "best by KID against held-out: step 100, g" in report(*rows).text()
    alone = report(rows[0], replace(rows[2], frechet_distance=99.0))
    assert (alone.main.step, chosen_by(alone.rows)) == (200, "train")  # KID, not the distance, which is biased


@pytest.mark.parametrize("varied", [{"step": 200, "truncation": None}, {"step": None, "truncation": 0.5}])
def test_a_single_row_is_a_curve_too(tmp_path, varied):
    """A run with --keep-generators that saved once."""
    write_curve(tmp_path / "curve.png", report(row(**varied)), title="one")
    assert size_of(tmp_path / "curve.png")[0] > 100


def test_scores_lie_apart_by_their_settings(here):
    folder = here / "runs" / "00001-dataset-biggan" / "fid"
    first = scored(truncations=[0.5, 1.0])
    assert {path.name for path in folder.iterdir() if path.is_file()} == {
        "scores.json", "nearest.png", "sweep.csv", "sweep.png",
    }  # fmt: skip
    (folder / "mine.txt").write_text("a user's own")
    second = scored(truncations=[0.5])
    third = scored(truncations=[0.5], seed=1, standing_stats=1, against=here / "photos")
    # Nothing of the sweep lies beside the newest scores, and everything of it in its own folder.
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        ["scores.json", "nearest.png", "mine.txt", first.settings, second.settings, third.settings]
    )
    assert (first.settings, second.settings) == ("tiny-32-t0.5-1-seed0", "tiny-32-t0.5-seed0")
    assert third.settings[:-7] == "tiny-32-t0.5-seed1-stats1-against-photos"
    assert {path.name for path in (folder / first.settings).iterdir()} == {path.name for path in first.files}
    for some in (first, second, third):
        kept = json.loads((folder / some.settings / "scores.json").read_text())
        assert kept["rows"] == json.loads(json.dumps([asdict(one) for one in some.rows]))
    assert json.loads((folder / "scores.json").read_text())["settings"] == third.settings


def test_the_same_command_twice_leaves_the_same_files(here):
    folder = here / "runs" / "00001-dataset-biggan" / "fid"

    def contents():
        return {path: path.read_bytes() for path in folder.rglob("*") if path.suffix in (".png", ".csv")}

    scored(truncations=[0.5, 1.0])
    before = contents()
    scored(truncations=[0.5, 1.0])
    assert contents() == before
    assert len(before) == 6


def test_a_named_place_holds_the_files_themselves(here):
    scored(out=here / "mine", truncations=[0.5, 1.0])
    scored(out=here / "mine")
    assert sorted(path.name for path in (here / "mine").iterdir()) == ["nearest.png", "scores.json"]


@pytest.mark.parametrize(
    "content", ["", "[1]", "{}", '{"files": 3}', '{"files": ["../../dataset/images.safetensors"]}']
)
def test_a_scores_file_of_another_origin_stays_and_removes_nothing(here, content):
    (here / "mine").mkdir()
    (here / "mine" / "scores.json").write_text(content)
    (here / "mine" / "sweep.csv").write_text("a user's own")
    with pytest.raises(UsageError, match=r"scores\.json: not made by fewgan"):
        scored(out=here / "mine")
    assert {path.name for path in (here / "mine").iterdir()} == {"scores.json", "sweep.csv"}
    assert (here / "dataset" / "images.safetensors").exists()


def _record_learned_from(here, identities):
    from fewgan import storage

    for path in (here / "runs").rglob("*.safetensors"):
        tensors, facts = storage.read_tensors(path)
        facts["config"]["learned_from"] = identities
        storage.write_tensors(path, tensors, {"config": facts["config"]})


@pytest.mark.parametrize("learned", ["tiny:0123", "tiny:0123:disturbed"])
def test_scores_on_what_d_learned_from_are_not_comparable(here, learned):
    _record_learned_from(here, ["other:4567", learned])
    features = Tiny()
    features.identity = "tiny:0123"
    report = scored(features=features)
    assert report.as_dict()["comparable"] is False
    (line,) = [line for line in report.text().splitlines() if line.startswith("Not comparable")]
    assert "--features inception" in line
    assert line in report.as_dict()["notes"]
    features.identity = "tiny:01234"
    assert scored(features=features).not_comparable is None
    assert "Not comparable" not in scored().text()


def settings_of(**changes):
    usual = {"features": "a/b", "count": 10, "truncations": [], "snapshots": True, "seed": None, "standing_stats": 0}
    return files.settings(**{**usual, "pictures": None, "against": None, **changes})


def test_names_of_settings_are_safe_for_a_folder():
    assert settings_of() == "a_b-10-snapshots"
    assert settings_of(pictures=Path("x/samples")) != settings_of(pictures=Path("y/samples"))
    name = settings_of(against=Path("x y"))
    assert name[:-7] == "a_b-10-snapshots-against-x_y"
    assert name == settings_of(against=Path("x y").absolute())


def test_two_folders_of_one_name_have_scores_of_their_own(tmp_path):
    names = {settings_of(against=tmp_path / place / "photos") for place in ("cats", "dogs")}
    assert len(names) == 2
    long = [settings_of(truncations=[first, *range(2, 90)]) for first in (0.5, 0.75)]  # cut, and so told apart
    assert len({*long}) == 2
    assert max(map(len, long)) <= files.LONGEST
