"""`fewgan fid`: what is compared with what, each thing computed once, and what is written."""

import csv
import json
import shutil
import zipfile
from pathlib import Path

import pytest
import torch
from drawn import draw, smooth
from PIL import Image
from torch import nn

from fewgan import dataset, registry, run, sample, source
from fewgan.config import Config
from fewgan.fid import score
from fewgan.plugin import FewganError, Plugin, UsageError
from fewgan.prepare import prepare
from fewgan.scoring import distances, memorising
from fewgan.scoring.extract import extract, identity, of_folder, of_tensor
from fewgan.scoring.memorising import Watch, Yardstick
from fewgan.screen import Screen

BIGGAN = Path(__file__).parent / "golden" / "biggan-32"
QUIET = Screen(quiet=True)


class Tiny(nn.Module):
    """Colours of a 4 x 4 grid, mixed; counts the pictures it has seen."""

    dim, score_name = 12, "Tiny distance"

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self.register_buffer("mix", torch.randn(48, 12, generator=torch.Generator().manual_seed(seed)))
        self.seen, self.largest = 0, 0

    def forward(self, images):
        assert images.dtype == torch.uint8
        self.seen += len(images)
        self.largest = max(self.largest, len(images))
        return nn.functional.interpolate(images.float() / 255, size=(4, 4), mode="area").flatten(1) @ self.mix


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A dataset of 24 photos and 6 held out, 40 px; a foreign BigGAN of 32 px; a run with two kept generators."""
    root = tmp_path_factory.mktemp("fid")
    draw(root / "photos", 30)
    prepare(root / "photos", root / "dataset", size=40, holdout=6, screen=QUIET)
    (root / "foreign").mkdir()
    for name in ("G_ema.pth", "D.pth"):
        shutil.copy(BIGGAN / name, root / "foreign")
    model = source.load(root / "foreign")
    data = dataset.load(root / "dataset")
    config = Config(architecture=model.architecture, transfer=registry.choose("transfers", "none"), size=32)
    facts = {"data_path": str(data.folder), "fingerprint": data.fingerprint, "classes": [], "network_classes": 10}
    record = {"format": run.FORMAT, **config.as_dict(), **facts}
    folder = root / "runs" / "00001-dataset-biggan"
    run.write_json(folder / "config.json", record)
    state = {f"generator.{name}": tensor for name, tensor in model.generator.state_dict().items()}
    worse = {name: tensor * 1.5 if name.endswith("linear.bias") else tensor for name, tensor in state.items()}
    run.write_tensors(folder / run.GENERATOR, state, {"config": record})
    run.write_tensors(folder / "generators" / "000100.safetensors", state, {"config": record})
    run.write_tensors(folder / "generators" / "000200.safetensors", worse, {"config": record})
    return root


@pytest.fixture
def here(made, tmp_path, monkeypatch) -> Path:
    """The same, to be changed at will; also the current folder. The user's cache is empty."""
    shutil.copytree(made, tmp_path / "work")
    for path in (tmp_path / "work").rglob("*"):
        if path.suffix in (".json", ".safetensors"):
            _point(path, made, tmp_path / "work")
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("FEWGAN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "work"


def _point(path: Path, old: Path, new: Path) -> None:
    """Runs know their dataset by its full path."""
    if path.name == "config.json":
        path.write_text(path.read_text().replace(str(old), str(new)))
    elif path.suffix == ".safetensors" and "runs" in path.parts:
        tensors, facts = run.read_tensors(path)
        facts["config"]["data_path"] = facts["config"]["data_path"].replace(str(old), str(new))
        run.write_tensors(path, tensors, {"config": facts["config"]})


def scored(target=None, *, count=32, features=None, screen=QUIET, **settings):
    features = features or Tiny()
    return score(target, count=count, features=features, device="cpu", screen=screen, **settings)


# What is compared with what -------------------------------------------------------------------------------------------


def test_the_latest_run_against_its_own_dataset(here):
    report = scored(seed=7)
    data, folder = dataset.load(here / "dataset"), here / "runs" / "00001-dataset-biggan" / "fid"
    fakes = torch.cat(list(sample.pictures(source.load(folder.parent), 32, seed=7)))
    assert [row.against for row in report.rows] == ["train", "held-out"]
    for row, held_out in zip(report.rows, (False, True), strict=True):
        photos, _ = dataset.photos(data, held_out=held_out, size=32)  # at the size of the network
        real, fake = Tiny()(photos), Tiny()(fakes)
        kid = distances.kid(real, fake)
        assert row.frechet_distance == pytest.approx(distances.frechet(real, fake), rel=1e-5)
        assert (row.kid, row.kid_deviation, row.kid_full) == pytest.approx(
            (kid.mean, kid.deviation, kid.full), rel=1e-4
        )
        assert (row.precision, row.recall) == distances.precision_recall(real, fake)
        assert (row.count, row.real_count) == (32, len(photos))
    found = json.loads((folder / "scores.json").read_text())
    assert found == json.loads(json.dumps(report.as_dict()))
    keys = {"frechet_distance", "kid", "precision", "recall", "features", "count", "score_name", "seed", "rows"}
    assert keys <= found.keys()
    assert found["frechet_distance"] == report.rows[0].frechet_distance
    assert sorted(path.name for path in folder.iterdir()) == ["nearest.png", "scores.json"]
    assert Image.open(folder / "nearest.png").width > 700


@pytest.mark.parametrize(
    ("target", "out"),
    [
        ("runs/00001-dataset-biggan/generator.safetensors", "runs/00001-dataset-biggan/fid"),
        ("runs/00001-dataset-biggan/generators/000200.safetensors", "runs/00001-dataset-biggan/fid/000200"),
    ],
)
def test_one_file_of_a_run_knows_its_dataset(here, target, out):
    report = scored(Path(target))
    assert report.main.against == "train"
    assert report.files[0].parent == Path(out)


def test_a_foreign_generator_needs_against(here):
    with pytest.raises(UsageError, match=r"--against DATASET\|FOLDER"):
        scored(Path("foreign"))
    report = scored(Path("foreign"), against=Path("dataset"))
    assert report.files[0] == Path("fid-foreign/scores.json")
    assert report.generator == Path("foreign")


def test_pictures_against_a_dataset_or_pictures(here):
    for number, path in enumerate(draw(here / "made", 12, side=32, seed=90).iterdir()):
        if number % 2:
            Image.open(path).convert("L").save(path.with_suffix(".png"))
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


# Each thing once ------------------------------------------------------------------------------------------------------


def test_reference_features_are_kept_by_fingerprint(here, tmp_path):
    first, second = Tiny(), Tiny()
    before = scored(features=first)
    after = scored(features=second)
    assert (first.seen, second.seen) == (24 + 6 + 32, 32)
    assert len(list((tmp_path / "cache" / "features").iterdir())) == 2
    assert after.rows == before.rows
    other = Tiny(seed=1)  # other weights, other features
    scored(features=other)
    assert other.seen == 24 + 6 + 32
    prepare(here / "photos", here / "dataset", size=40, holdout=7, force=True, screen=QUIET)
    changed = Tiny()
    scored(features=changed)
    assert changed.seen == 23 + 7 + 32


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
            tensors, facts = run.read_tensors(path)
            tensors = {"features": tensors["features"][:-1] if damage == "shape" else tensors["features"] * torch.nan}
            run.write_tensors(path, tensors, facts)
    features = Tiny()
    assert scored(features=features).rows == expected.rows
    assert features.seen == 24 + 6 + 32


def test_a_cache_that_cannot_be_written_to_is_done_without(here, tmp_path):
    (tmp_path / "cache").write_text("in the way")
    assert scored().rows == scored().rows


def test_a_sweep(here):
    features = Tiny()
    report = scored(truncations=[1.0, 0.4, 0.7, 0.4], features=features)
    assert features.seen == 24 + 6 + 3 * 32
    folder = report.files[0].parent
    with open(folder / "sweep.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["truncation"], row["against"]) for row in rows] == [
        (truncation, against) for truncation in ("0.4", "0.7", "1.0") for against in ("train", "held-out")
    ]
    train = [row for row in report.rows if row.against == "train"]
    assert [float(row["frechet_distance"]) for row in rows[::2]] == [row.frechet_distance for row in train]
    assert report.main == min(train, key=lambda row: row.frechet_distance)
    assert f"best: truncation {report.main.truncation:g}" in report.text()
    assert Image.open(folder / "sweep.png").size[0] > 1000
    assert scored(truncations=[0.7]).rows == tuple(row for row in report.rows if row.truncation == 0.7)


def test_snapshots_name_the_best(here):
    report = scored(snapshots=True, truncations=[0.8])
    assert [(row.step, row.against) for row in report.rows] == [
        (step, against) for step in (100, 200) for against in ("train", "held-out")
    ]
    best = here / "runs/00001-dataset-biggan/generators" / f"{report.main.step:06d}.safetensors"
    assert best.samefile(report.generator)
    assert f"best: step {report.main.step}" in report.text()
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


def test_memory_does_not_grow_with_the_count():
    features, photos = Tiny(), torch.randn(20, 12)
    watch = Watch(Yardstick.of(photos), 3000)
    held = 0

    def see(first, pictures, rows):
        nonlocal held
        watch.see(first, pictures, rows)
        held = max(
            held, sum(len(pictures) for _, pictures, _ in watch._waiting) + len(watch.closest) + len(watch._even)
        )

    groups = (torch.randint(0, 256, (16, 3, 8, 8), dtype=torch.uint8) for _ in range(3000 // 16 + 1))
    extract(features, lambda *_: (g for g in groups), 3008, device=torch.device("cpu"), label="", screen=QUIET, see=see)
    assert features.largest == 16
    assert held <= memorising.KEPT + 3 * memorising.ROWS


# The memorising check -------------------------------------------------------------------------------------------------


def test_copies_are_found_and_new_pictures_are_not():
    torch.manual_seed(0)
    photos, new = torch.randn(200, 6), torch.randn(400, 6)
    images = torch.zeros(400, 3, 8, 8, dtype=torch.uint8)

    def result(samples):
        watch = Watch(Yardstick.of(photos, new[:50]), len(samples))
        for first in range(0, len(samples), 16):
            watch.see(first, images[first : first + 16], samples[first : first + 16])
        return watch.result(), watch

    copied, watch = result(photos + 1e-4)
    honest, _ = result(new)
    assert (copied.closer, copied.copies) == (1, 1)
    assert copied.samples < 1e-3
    assert all(sample.photos[0] == sample.index for sample in watch.closest)
    assert 0.4 < honest.closer < 0.65
    assert honest.copies < 0.05
    assert honest.held_out == pytest.approx(honest.samples, rel=0.2)
    assert "100 % of the samples are nearer" in str(copied)


def test_the_picture_shows_the_closest_and_an_even_choice():
    photos = torch.arange(40.0).unsqueeze(1).expand(40, 4).contiguous()
    samples = torch.linspace(0.3, 30.3, 100).unsqueeze(1).expand(100, 4) + torch.rand(100, 1) / 3
    images = torch.randint(0, 256, (100, 3, 16, 16), dtype=torch.uint8)
    watch = Watch(Yardstick.of(photos), 100)
    for first in range(0, 100, 16):
        watch.see(first, images[first : first + 16], samples[first : first + 16])
    page = memorising.draw(watch, of_tensor(torch.zeros(40, 3, 16, 16, dtype=torch.uint8), "train"), title="x" * 500)
    found = distances.nearest(samples, photos)[0][:, 0]
    closest = [sample.index for sample in watch.closest]
    assert closest == found.topk(6, largest=False).indices.tolist()
    even = [sample.index for sample in watch.even()]
    assert len(even) == 6
    assert not set(even) & set(closest)
    assert even == sorted(even)
    assert even[-1] - even[0] > 50
    assert all(torch.equal(sample.picture, images[sample.index]) for sample in watch.closest)
    assert page.height > 6 * 96  # small pictures are enlarged to look at


@pytest.mark.parametrize(("count", "photos"), [(2, 2), (3, 5), (8, 3)])
def test_few_samples_and_few_photos_are_drawn(count, photos):
    watch = Watch(Yardstick.of(torch.randn(photos, 4)), count)
    watch.see(0, torch.zeros(count, 3, 300, 300, dtype=torch.uint8), torch.randn(count, 4))
    page = memorising.draw(watch, of_tensor(torch.zeros(photos, 3, 300, 300, dtype=torch.uint8), "train"), title="few")
    assert page.width < 2000


# What is told ---------------------------------------------------------------------------------------------------------


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


def test_a_dataset_that_changed_is_told(here, capsys):
    prepare(here / "photos", here / "dataset", size=40, holdout=3, force=True, screen=QUIET)
    scored()
    assert "it has changed since" in capsys.readouterr().err


def test_identity_follows_the_weights():
    assert identity(Tiny()) == identity(Tiny())
    assert identity(Tiny()) != identity(Tiny(seed=1))


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
        ({"against": Path("single")}, "at least 2 real pictures, there is 1"),
        ({"target": Path("broken"), "against": Path("dataset")}, "broken/b.png: .*take it out"),
    ],
)
def test_wrong_use_is_one_line(here, settings, words):
    (here / "empty").mkdir()
    (here / "broken").mkdir()
    draw(here / "single", 1)
    smooth(40, 40).save(here / "broken" / "a.png")
    (here / "broken" / "b.png").write_bytes(b"\x89PNG\r\n\x1a\nno")
    with pytest.raises(UsageError, match=words) as caught:
        scored(**settings)
    assert "\n" not in str(caught.value)


def test_a_dataset_that_is_gone(here):
    shutil.rmtree(here / "dataset")
    with pytest.raises(UsageError, match="is gone; name real pictures with --against"):
        scored()


def test_no_run_yet(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="fewgan train"):
        scored()


def test_features_that_are_not_finite(here):
    features = Tiny()
    features.mix[0, 0] = torch.nan
    with pytest.raises(FewganError, match="not finite"):
        scored(features=features)


def test_a_place_that_cannot_be_written_to(here):
    (here / "file").write_text("")
    with pytest.raises(FewganError, match="cannot be made"):
        scored(out=here / "file" / "fid")
