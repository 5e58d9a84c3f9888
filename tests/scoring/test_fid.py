"""`fewgan fid`: what is compared with what, each thing computed once, and what is written."""

import csv
import dataclasses
import json
import shutil
import zipfile
from pathlib import Path

import pytest
import torch
from drawn import draw, smooth
from packages import install
from PIL import Image
from scored import QUIET, Tiny, scored, size_of

from fewgan import registry, storage
from fewgan.photos import dataset
from fewgan.photos.prepare import prepare
from fewgan.plugin import Plugin, UsageError
from fewgan.sampling import generate
from fewgan.scoring import distances, manifold
from fewgan.scoring.extract import extract
from fewgan.scoring.folder import of_folder
from fewgan.screen import Screen
from fewgan.sources import hub
from fewgan.sources import load as source


def test_the_latest_run_against_its_own_dataset(here):
    report = scored(seed=7)
    data, folder = dataset.load(here / "dataset"), here / "runs" / "00001-dataset-biggan" / "fid"
    fakes = torch.cat(list(generate.pictures(source.load(folder.parent), 32, seed=7)))
    assert [row.against for row in report.rows] == ["train", "held-out"]
    for row, held_out in zip(report.rows, (False, True), strict=True):
        photos, _ = dataset.photos(data, held_out=held_out, size=32)  # at the size of the network
        real, fake = Tiny()(photos), Tiny()(fakes)
        kid = distances.kid(real, fake)
        assert row.frechet_distance == pytest.approx(distances.frechet(real, fake), rel=1e-5)
        assert (row.kid, row.kid_deviation, row.kid_full) == pytest.approx(
            (kid.mean, kid.deviation, kid.full), rel=1e-4
        )
        covered = manifold.coverage(real, fake)
        assert (row.precision, row.recall, row.density, row.coverage) == dataclasses.astuple(covered)
        assert row.vendi_ratio == pytest.approx(manifold.vendi_ratio(real, fake), rel=1e-4)
        mirrors = None if held_out else Tiny()(photos.flip(3))  # training showed them
        assert row.authentic == manifold.authentic(real, fake, mirrors)
        assert (row.count, row.real_count) == (32, len(photos))
    found = json.loads((folder / "scores.json").read_text())
    assert found == json.loads(json.dumps(report.as_dict()))
    keys = {"frechet_distance", "kid", "precision", "recall", "features", "count", "score_name", "seed", "rows"}
    assert keys <= found.keys()
    assert found["frechet_distance"] == report.rows[0].frechet_distance
    assert (found["k"], found["dense_k"], found["comparable"], found["chosen_by"]) == (
        3,
        5,
        True,
        "KID against held-out",
    )
    assert sorted(path.name for path in folder.iterdir()) == ["nearest.png", "scores.json", "tiny-32-seed7"]
    for name in ("nearest.png", "scores.json"):
        assert (folder / name).read_bytes() == (folder / "tiny-32-seed7" / name).read_bytes()
    assert size_of(folder / "nearest.png")[0] > 700


@pytest.mark.parametrize(
    ("target", "out"),
    [
        ("runs/00001-dataset-biggan/generator.safetensors", "runs/00001-dataset-biggan/fid"),
        ("runs/00001-dataset-biggan/generators/000200.safetensors", "runs/00001-dataset-biggan/fid/000200"),
        ("runs/00001-dataset-biggan/best.safetensors", "runs/00001-dataset-biggan/fid/best"),
    ],
)
def test_one_file_of_a_run_knows_its_dataset(here, target, out):
    """In a project that was moved, too."""
    tensors, facts = storage.read_tensors(Path("runs/00001-dataset-biggan/generators/000200.safetensors"))
    facts["config"] |= {"data_relative": "../../dataset", "data_path": "/nowhere/dataset"}
    storage.write_tensors(Path(target), tensors, {"config": facts["config"]})
    report = scored(Path(target))
    assert report.main.against == "train"
    assert report.files[0].parent == Path(out)


def test_a_foreign_generator_needs_against(here):
    with pytest.raises(UsageError, match=r"--against DATASET\|FOLDER"):
        scored(Path("foreign"))
    report = scored(Path("foreign"), against=Path("dataset"))
    assert report.files[0] == Path("fid-foreign/scores.json")
    assert report.generator == Path("foreign")


def test_a_known_name_is_a_generator(here, capsys):
    """As it is for `sample`, and before a folder of that name."""
    (here / "embedded").mkdir()
    shutil.copy(here / "photos" / "000.jpg", here / "embedded")
    report = scored(Path("embedded"), against=Path("dataset"), count=4, screen=Screen())
    assert (report.target, report.main.count) == ("embedded", 4)
    assert report.files[0] == Path("fid-embedded/scores.json")
    assert "embedded: the pretrained GAN of this name; for the folder, give its full path" in capsys.readouterr().err
    with pytest.raises(UsageError, match="embeded: no such file or folder; did you mean embedded"):
        scored(Path("embeded"))


def test_a_repository_of_the_hub_is_a_generator(here, monkeypatch):
    with pytest.raises(UsageError, match="write hf:owner/name"):
        scored(Path("hf:someone"))
    monkeypatch.setattr(hub, "locate", lambda place: here / "runs" / "00001-dataset-biggan")
    report = scored(Path("hf:someone/planets"), count=4)
    assert (report.target, report.main.against) == ("someone-planets", "train")
    assert report.files[0] == Path("fid-someone-planets/scores.json")


def test_pictures_against_a_dataset_or_pictures(here):
    for number, path in enumerate(draw(here / "made", 12, side=32, seed=90).iterdir()):
        if number % 2:
            with Image.open(path) as image:
                image.convert("L").save(path.with_suffix(".png"))
            path.unlink()
    report = scored(Path("made"), against=Path("dataset"))
    assert (report.target, report.main.count, report.generator) == ("made", 12, None)
    assert [row.against for row in report.rows] == ["train", "held-out"]
    assert report.files[0] == Path("fid-made/scores.json")
    with zipfile.ZipFile("photos.zip", "w") as archive:
        for path in (here / "photos").iterdir():
            archive.write(path, f"photos/{path.name}")
    folder, packed = (scored(Path("made"), against=Path(name)) for name in ("photos", "photos.zip"))
    assert folder.main.real_count == packed.main.real_count == 30
    assert folder.main.frechet_distance == packed.main.frechet_distance
    assert folder.main.against == "photos"
    itself = scored(Path("photos"), against=Path("photos"))
    assert itself.main.frechet_distance == pytest.approx(0, abs=1e-6)
    assert itself.memorising.copies == 1


SCALED = """
    from dataclasses import dataclass
    import torch
    from fewgan.plugin import Plugin, option

    @dataclass(frozen=True, kw_only=True)
    class Options:
        scale: float = option(1.0, "S")
        weights: str | None = option(None, "W")

    class Means(torch.nn.Module):
        dim, score_name = 3, "means"

        def __init__(self, scale):
            super().__init__()
            self.scale = scale

        def forward(self, images):
            return images.float().mean((2, 3)) * self.scale

    plugin = Plugin(api=1, summary="S", options=Options, build=lambda options: Means(options.scale))
"""


def test_features_of_other_options_share_nothing(here, tmp_path, monkeypatch):
    """Neither cached features of photos nor the folder of the scores."""
    install(tmp_path / "site", "fewgan-scaled", {"features": ["scaled = scaled:plugin"]}, {"scaled": SCALED})
    monkeypatch.syspath_prepend(tmp_path / "site")
    chosen = registry.load("features", "scaled").options

    def one(**options):
        choice = registry.choose("features", "scaled", chosen(**options))
        return scored(Path("photos"), against=Path("photos"), features=choice)

    reports = [one(scale=scale) for scale in (1.0, 0.5, 0.25)]
    assert [report.main.frechet_distance for report in reports] == pytest.approx([0, 0, 0], abs=1e-4)
    files = [one(weights=weights).settings for weights in ("a/w.pth", "b/w.pth", "w.pth")]
    assert len({*files, *(report.settings for report in reports)}) == 6
    assert "scaled-scale0.5-" in reports[1].settings


def test_count_limits_a_folder_evenly(here, tmp_path):
    assert scored(Path("photos"), against=Path("dataset"), count=10).main.count == 10
    from contextlib import ExitStack

    with ExitStack() as stack:
        all_of_them, some = (of_folder(here / "photos", stack, screen=QUIET, count=n) for n in (None, 10))
        assert torch.equal(some.read([9])[0], all_of_them.read([27])[0])


def test_pictures_of_several_shapes_are_cut_to_their_middle_square(tmp_path):
    from contextlib import ExitStack

    for index, size in enumerate([(40, 60), (64, 40), (20, 20), (40, 40)]):
        smooth(*size, seed=index).save(tmp_path / f"{index}.png")
    with ExitStack() as stack:
        pictures = of_folder(tmp_path, stack, screen=QUIET, largest=40)
        shapes = [tuple(group.shape) for group in pictures.groups(0, pictures.count)]
        assert shapes == [(2, 3, 40, 40), (1, 3, 20, 20), (1, 3, 40, 40)]
        made = extract(Tiny(), pictures.groups, 4, device=torch.device("cpu"), label="", screen=QUIET)
    assert made.shape == (4, 12)


def test_photos_smaller_than_the_pictures_are_told(here, capsys):
    draw(here / "large", 4, side=64, seed=9)
    scored(Path("large"), against=Path("dataset"), screen=Screen())
    assert "the real pictures have 40 px, the scored ones 64 px" in capsys.readouterr().err


def test_reference_features_are_kept_by_fingerprint(here, tmp_path):
    first, second = Tiny(), Tiny()
    before = scored(features=first)
    after = scored(features=second)
    assert (first.seen, second.seen) == (2 * 24 + 6 + 32, 32)
    assert len(list((tmp_path / "cache" / "features").iterdir())) == 3  # train, mirrored, held-out
    assert after.rows == before.rows
    other = Tiny(seed=1)  # other weights, other features
    scored(features=other)
    assert other.seen == 2 * 24 + 6 + 32
    prepare(here / "photos", here / "dataset", size=40, holdout=7, force=True, screen=QUIET)
    changed = Tiny()
    scored(features=changed)
    assert changed.seen == 2 * 23 + 7 + 32


@pytest.mark.parametrize("damage", ["cut", "garbage", "shape", "nan"])
def test_a_damaged_cache_is_made_again(here, tmp_path, damage):
    expected = scored()
    for path in (tmp_path / "cache" / "features").iterdir():
        content = path.read_bytes()
        if damage == "cut":
            path.write_bytes(content[: len(content) // 2])
        elif damage == "garbage":
            path.write_bytes(b"garbage")
        else:
            tensors, facts = storage.read_tensors(path)
            tensors = {"features": tensors["features"][:-1] if damage == "shape" else tensors["features"] * torch.nan}
            storage.write_tensors(path, tensors, facts)
    features = Tiny()
    assert scored(features=features).rows == expected.rows
    assert features.seen == 2 * 24 + 6 + 32


def test_a_cache_that_cannot_be_written_to_is_done_without(here, tmp_path):
    (tmp_path / "cache").write_text("in the way")
    assert scored().rows == scored().rows


def test_a_sweep(here):
    features = Tiny()
    report = scored(truncations=[1.0, 0.4, 0.7, 0.4], features=features)
    assert features.seen == 2 * 24 + 6 + 3 * 32
    folder = report.files[0].parent
    with open(folder / "sweep.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["truncation"], row["against"]) for row in rows] == [
        (truncation, against) for truncation in ("0.4", "0.7", "1.0") for against in ("train", "held-out")
    ]
    train = [row for row in report.rows if row.against == "train"]
    assert [float(row["frechet_distance"]) for row in rows[::2]] == [row.frechet_distance for row in train]
    held_out = min((row for row in report.rows if row.against == "held-out"), key=lambda row: row.kid)
    assert report.main in train
    assert report.main.truncation == held_out.truncation
    assert f"best by KID against held-out: truncation {held_out.truncation:g}" in report.text()
    assert size_of(folder / "sweep.png")[0] > 1000
    assert scored(truncations=[0.7]).rows == tuple(row for row in report.rows if row.truncation == 0.7)


def test_snapshots_name_the_best(here):
    report = scored(snapshots=True, truncations=[0.8])
    assert [(row.step, row.against) for row in report.rows] == [
        (step, against) for step in (100, 200) for against in ("train", "held-out")
    ]
    best = here / "runs/00001-dataset-biggan/generators" / f"{report.main.step:06d}.safetensors"
    assert best.samefile(report.generator)
    assert f"best by KID against held-out: step {report.main.step}" in report.text()
    assert report.as_dict()["generator"] == str(report.generator)
    assert {path.name for path in report.files} == {"scores.json", "nearest.png", "snapshots.csv", "snapshots.png"}
    assert all(path.is_file() for path in report.files)
    alone = scored(report.generator, truncations=[0.8])
    assert alone.main.frechet_distance == report.main.frechet_distance


def test_standing_statistics_change_the_pictures(here):
    plain, standing = scored(), scored(standing_stats=1)
    assert plain.main.frechet_distance != standing.main.frechet_distance
    assert standing.as_dict()["standing_stats"] == 1


def test_features_by_their_plugin(here, monkeypatch):
    choice = registry.choose("features", "inception")
    tiny, others = Plugin(api=1, summary="", options=object, build=lambda options: Tiny()), registry.Choice.plugin
    monkeypatch.setattr(
        registry.Choice, "plugin", lambda self: (tiny, None) if self.kind == "features" else others(self)
    )
    with pytest.raises(UsageError, match="gone"):  # what is asked for is checked before weights are fetched
        scored(Path("gone"), features=choice)
    assert scored(features=choice).as_dict()["features"] == "inception"
