"""`fewgan sample`: pictures as files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from stand_in import Model, all_of

from fewgan.plugin import FewganError, UsageError
from fewgan.sampling import animation, generate, imagefile
from fewgan.sampling import sample as sampling
from fewgan.sampling.sample import Sampled, choose_classes, folder_name
from fewgan.screen import Screen


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Model:
    """The one that `sample` loads, in an empty current folder."""
    made = Model(classes=("rose", "tulip", "10"))
    monkeypatch.setattr("fewgan.sources.load.load", lambda path, screen=None: made)
    monkeypatch.chdir(tmp_path)
    return made


def run(**settings: Any) -> Sampled:
    return sampling.sample(Path("a-run"), device="cpu", screen=Screen(quiet=True), **settings)


def test_numbered_files_in_the_default_folder(model: Model) -> None:
    done = run(count=18, truncation=0.5)
    assert done.folder == Path("pictures/00001-cats-t0.5-seed0")
    assert done.files == [f"{index:06d}.png" for index in range(18)]
    assert sorted(path.name for path in done.folder.iterdir()) == done.files
    made = all_of(model, 18, truncation=0.5)
    for name, image in zip(done.files, made, strict=True):
        with Image.open(done.folder / name) as opened:
            assert opened.mode == "RGB"
            assert torch.equal(torch.from_numpy(np.array(opened)).permute(2, 0, 1), image)
    facts = imagefile.facts_of(done.folder / "000017.png")
    assert facts is not None
    assert (facts["seed"], facts["index"], facts["truncation"], facts["model"]) == (0, 17, 0.5, "00001-cats")


def test_the_same_command_gives_the_same_bytes_and_fewer_pictures_say_what_stays(
    model: Model, capsys: pytest.CaptureFixture[str]
) -> None:
    first = run(count=6)
    assert first.folder == Path("pictures/00001-cats-seed0")
    before = {path.name: path.read_bytes() for path in first.folder.iterdir()}
    run(count=4)
    assert {path.name: path.read_bytes() for path in first.folder.iterdir()} == before
    assert "2 numbered pictures of an earlier command (000004.png to 000005.png)" in capsys.readouterr().err


def test_settings_that_change_pictures_change_the_folder(model: Model) -> None:
    names = {run(count=1, **settings).folder.name for settings in (
        {}, {"seed": 1}, {"truncation": 1.0}, {"classes": "tulip, rose"}, {"standing_stats": 2},
    )}  # fmt: skip
    near = [folder_name("a", truncation, 0, None, 0) for truncation in (0.1234567, 0.1234568)]
    long = [folder_name("a", None, 0, ",".join(["tulip"] * 20 + [last]), 0) for last in ("rose", "tulip")]
    odd = [
        folder_name("a", None, 0, classes, 0) for classes in ("C++", "C#", "C_", "a b", "a_b", "a,b", "a+b", "😀", "😎")
    ]
    assert len({*near, *long, *odd}) == 13
    assert folder_name("a", None, 0, "C_", 0) == "a-seed0-C_"
    assert names == {
        "00001-cats-seed0", "00001-cats-seed1", "00001-cats-t1-seed0", "00001-cats-seed0-tulip+rose",
        "00001-cats-seed0-standing2",
    }  # fmt: skip


def test_jpeg(model: Model) -> None:
    done = run(count=2, format="JPG", out=Path("here"))
    assert done.files == ["000000.jpg", "000001.jpg"]
    with Image.open("here/000001.jpg") as opened:
        assert opened.format == "JPEG"
    assert imagefile.facts_of(Path("here/000001.jpg")) is not None


def test_grid_file(model: Model) -> None:
    done = run(count=12, grid=True, classes="rose,tulip")
    assert done.files == ["grid.png"]
    with Image.open(done.folder / "grid.png") as opened:
        assert opened.size == (4 * 18 + 2, 3 * 18 + 2)
    assert run(count=4, grid=True, out=Path("sheets/mine.jpg")).files == ["mine.jpg"]
    with Image.open("sheets/mine.jpg") as opened:
        assert opened.format == "JPEG"


@pytest.mark.parametrize(
    ("settings", "name"), [({}, "loop.webp"), ({"format": "gif"}, "loop.gif"), ({"out": Path("a.gif")}, "a.gif")]
)
def test_interpolation(model: Model, settings: dict[str, Any], name: str) -> None:
    done = run(count=3, interpolate=True, truncation=0.5, **settings)
    assert done.files == [name]
    assert done.count == 3
    with Image.open(done.folder / name) as opened:
        animated: Any = opened
        assert animated.info["loop"] == 0
        shown = []
        for index in range(animated.n_frames):
            animated.seek(index)
            animated.load()
            shown.append(animated.info["duration"])
        assert sum(shown) == 72 * 40  # equal neighbours may share a frame
    assert imagefile.facts_of(done.folder / name) is not None


def test_frames_are_made_while_they_are_written(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand keyframes at 256 px would be 4.7 GB."""
    made: list[int] = []
    ahead: list[int] = []
    model.generator.register_forward_hook(lambda module, given, images: made.append(len(images)))

    def save(path: Path, frames: Iterable[Image.Image], *_: Any) -> None:
        ahead.extend(sum(made) - taken for taken, _ in enumerate(frames, start=1))

    monkeypatch.setattr(animation, "save", save)
    run(count=4, interpolate=True)
    assert len(ahead) == sum(made) == 96
    assert max(ahead) < generate.GROUP


@pytest.mark.parametrize("settings", [{"format": "mp4"}, {"out": Path("a.mp4")}])
def test_an_mp4_is_written_again(model: Model, settings: dict[str, Any]) -> None:
    pytest.importorskip("imageio_ffmpeg")
    done = run(count=2, interpolate=True, **settings)
    assert done.files == ["loop.mp4" if "format" in settings else "a.mp4"]
    facts = imagefile.facts_of(done.folder / done.files[0])
    assert facts is not None
    assert facts["keyframes"] == 2
    run(count=2, interpolate=True, **settings)


def test_standing_statistics_change_the_pictures(model: Model) -> None:
    plain = run(count=1)
    standing = run(count=1, standing_stats=3)
    assert (plain.folder / "000000.png").read_bytes() != (standing.folder / "000000.png").read_bytes()


def test_what_fewgan_did_not_make_is_never_overwritten(model: Model) -> None:
    Path("mine").mkdir()
    Image.new("RGB", (4, 4)).save("mine/000001.png")
    before = Path("mine/000001.png").read_bytes()
    with pytest.raises(UsageError, match=r"mine/000001\.png: not made by fewgan"):
        run(count=2, out=Path("mine"))
    assert Path("mine/000001.png").read_bytes() == before
    assert not Path("mine/000000.png").exists()
    Path("text").write_text("a file")
    with pytest.raises(UsageError, match="give a folder"):
        run(count=2, out=Path("text"))


def test_a_folder_that_cannot_be_written(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(FewganError, match="No space left on device"):
        run(count=2, out=Path("full"))
    assert list(Path("full").iterdir()) == []


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"count": 0}, "--count 0"),
        ({"count": 1, "interpolate": True}, "--interpolate leads through 2"),
        ({"truncation": 0.0}, "--truncation 0"),
        ({"seed": -1}, "--seed -1"),
        ({"grid": True, "interpolate": True}, "one of them"),
        ({"standing_stats": -1}, "--standing-stats"),
        ({"format": "webp"}, "png or jpeg"),
        ({"format": "png", "interpolate": True}, "webp, gif or mp4"),
        ({"format": "bmp"}, "png or jpeg"),
        ({"out": Path("x.png")}, "--grid"),
        ({"out": Path("x.jpg"), "grid": True, "format": "png"}, "leave one of them out"),
        ({"classes": "rise"}, "did you mean rose"),
        ({"classes": "3"}, "numbers 0 to 2"),
        ({"classes": ""}, "no class ''"),
        ({"count": 10**9, "grid": True}, "px long"),
    ],
)
def test_wrong_use_is_one_line(model: Model, settings: dict[str, Any], match: str) -> None:
    with pytest.raises(UsageError, match=match) as raised:
        run(**settings)
    assert "\n" not in str(raised.value)
    assert list(Path().iterdir()) == []


def test_choose_classes() -> None:
    model: Any = Model(classes=("rose", "tulip", "1"))
    assert choose_classes("tulip, 0 ,1,2", model) == [1, 0, 2, 2]  # a name comes before a number
    commas: Any = Model(classes=("a", "a,b", "c, d,e"))
    assert choose_classes("a,b,a,2,c, d,e", commas) == [1, 0, 2, 2]
    blank: Any = Model(classes=("cat ", "dog"))
    assert choose_classes("dog,cat , dog", blank) == [1, 0, 1]
    with pytest.raises(UsageError, match="no classes to choose from"):
        choose_classes("0", Model())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"out": Path("a.webp"), "count": 1},
            "a.webp: a picture is written as png or jpeg; give it another ending; ani",
        ),
        ({"out": Path("a.tiff"), "count": 1}, "a.tiff: a picture is written as png or jpeg; give it another ending"),
        ({"out": Path("a.mov"), "interpolate": True}, "a.mov: an animation is written as webp, gif or mp4; give it"),
        ({"out": Path("a.png"), "interpolate": True}, "a.png: an animation is written as webp, gif or mp4; give it"),
        ({"format": "webp"}, "--format webp: a picture is written as png or jpeg"),
    ],
)
def test_what_to_do_about_an_ending_that_is_not_written(model: Model, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        run(**settings)
    assert not any(Path().iterdir())


def test_a_class_is_found_however_its_accents_are_written(model: Model) -> None:
    model.classes = ("Cafe\u0301", "tulip", "10")
    assert choose_classes("Caf\u00e9,tulip", model) == [0, 1]  # type: ignore[arg-type]


def test_pictures_of_another_foreign_model_of_the_same_name_are_not_replaced(model: Model) -> None:
    model.config = {}
    run(count=2)
    run(count=2)
    model.generator.linear.bias.data[0] += 1
    with pytest.raises(UsageError, match="made from another generator of this name"):
        run(count=2)


@pytest.mark.parametrize("change", [{"lr_g": 0.05}, {"loss": "wasserstein"}, {"regularizers": []}, {"batch_size": 4}])
def test_pictures_of_a_run_that_was_trained_anew_are_not_replaced(model: Model, change: dict[str, Any]) -> None:
    model.config = {
        "fingerprint": "a",
        "lr_g": 1e-4,
        "loss": "hinge",
        "regularizers": [{"name": "cr"}],
        "batch_size": 8,
    }
    run(count=1)
    model.config = {**model.config, **change}
    with pytest.raises(UsageError, match="made from another generator of this name"):
        run(count=1)


def test_a_long_name_is_cut(model: Model) -> None:
    model.name = "00001-" + "山" * 62
    model.classes = ("花" * 40, "鸟" * 40)
    made = run(count=1, classes=",".join(model.classes))
    assert made.folder.is_dir()
    assert run(count=1, classes=model.classes[0]).folder != made.folder


def test_pictures_of_another_run_of_the_same_name_are_not_replaced(model: Model) -> None:
    model.config = {"fingerprint": "a", "out": "runs", "seed": 0, "steps": 10}
    folder = run(count=2).folder
    model.config = {**model.config, "steps": 20}  # the same run, resumed
    run(count=2)
    model.config = {**model.config, "out": "runs2"}
    with pytest.raises(UsageError, match="made from another generator of this name"):
        run(count=2)
    assert run(count=2, out=Path("other")).folder != folder


def test_a_grid_is_measured_in_the_shape_of_the_photos(model: Model) -> None:
    model.config = {"crop": "stretch", "aspect": 8.0}
    with pytest.raises(UsageError, match="a grid of 16000 pictures"):
        run(count=16_000, grid=True)


def test_pictures_of_an_earlier_step_stay(model: Model) -> None:
    model.config = {"fingerprint": "a", "out": "runs", "seed": 0, "step": 10}
    first = run(count=2)
    before = (first.folder / "000000.png").read_bytes()
    assert run(count=2).folder == first.folder
    model.config = {**model.config, "step": 20}
    later = run(count=2)
    assert later.folder.name == f"{first.folder.name}-step20"
    assert run(count=2).folder == later.folder
    assert (first.folder / "000000.png").read_bytes() == before
    assert run(count=2, grid=True).folder == later.folder  # another kind of file
    run(count=2, out=first.folder)  # as asked for
    assert (first.folder / "000000.png").read_bytes() != before
