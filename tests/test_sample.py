from __future__ import annotations

import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from fewgan import generate, imagefile
from fewgan import sample as sampling
from fewgan.latent import latents
from fewgan.plugin import FewganError, UsageError
from fewgan.sample import Sampled, choose_classes, grid, pictures, to_uint8
from fewgan.screen import Screen

SHARED = Path(__file__).parents[2] / "shared/sources/biggan64-photos"


class Generator(nn.Module):
    """A small picture for each latent and class, with a batch norm to re-estimate."""

    latent_dim, condition_dim, size = 6, 3, 16

    def __init__(self, classes: int = 0) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.classes = classes
        self.linear = nn.Linear(6 + 3, 3 * 16 * 16)
        self.norm = nn.BatchNorm1d(3 * 16 * 16, momentum=None)

    def embed(self, labels: Tensor) -> Tensor:
        return nn.functional.one_hot(labels, 3).float()

    def forward(self, z: Tensor, condition: Tensor) -> Tensor:
        return torch.tanh(self.norm(self.linear(torch.cat((z, condition), 1)))).view(-1, 3, 16, 16)

    def standing_statistics(self, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
        self.norm.reset_running_stats()
        self.train()
        for z, condition in batches:
            self(z, condition)
        self.eval()


class OwnTruncation(Generator):
    """Truncates by itself, as StyleGAN2 does in w."""

    standing_statistics = None  # type: ignore[assignment]

    def sample(self, z: Tensor, condition: Tensor, truncation: float) -> Tensor:
        self.seen = z.abs().max()
        return self(z * truncation, condition)


class Mapper(nn.Module):
    def forward(self, z: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        self.seen = z
        return z.flip(1), z[:, :3]


class Model:
    """Stands in for fewgan.source.Model."""

    def __init__(self, generator: Any = None, mapper: Any = None, classes: tuple[str, ...] = ()) -> None:
        self.generator = (generator or Generator(len(classes))).eval()
        self.mapper, self.classes, self.name, self.device = mapper, classes, "00001-cats", torch.device("cpu")
        self.largest = 0

    def to(self, device: torch.device) -> Model:
        return self

    def conditions(self, z: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        return (z, self.generator.embed(labels)) if self.mapper is None else self.mapper(z, labels)

    @torch.no_grad()
    def generate(self, z: Tensor, labels: Tensor, truncation: float | None = None) -> Tensor:
        self.largest = max(self.largest, len(z))
        z, condition = self.conditions(z, labels)
        if truncation is not None and hasattr(self.generator, "sample"):
            return self.generator.sample(z, condition, truncation)  # type: ignore[no-any-return]
        return self.generator(z, condition)  # type: ignore[no-any-return]


def all_of(model: Any, count: int, **settings: Any) -> Tensor:
    return torch.cat(list(pictures(model, count, **settings)))


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Model:
    """The one that `sample` loads, in an empty current folder."""
    made = Model(classes=("rose", "tulip", "10"))
    monkeypatch.setattr("fewgan.source.load", lambda path: made)
    monkeypatch.chdir(tmp_path)
    return made


def run(**settings: Any) -> Sampled:
    return sampling.sample(Path("a-run"), device="cpu", screen=Screen(quiet=True), **settings)


# Pictures as tensors --------------------------------------------------------------------------------------------------


def test_to_uint8_truncates_and_clamps() -> None:
    values = torch.tensor([-2.0, -1.0, 0.0, 0.999, 1.0, 2.0])
    assert to_uint8(values).tolist() == [0, 0, 128, 255, 255, 255]
    assert to_uint8(torch.tensor([(7.99 - 128) / 127.5])).tolist() == [7]


@pytest.mark.parametrize("truncation", [None, 0.5])
def test_a_picture_does_not_depend_on_the_count(truncation: float | None) -> None:
    many = all_of(Model(), 70, truncation=truncation, seed=5)
    assert many.shape == (70, 3, 16, 16)
    assert many.dtype == torch.uint8
    for count in (1, 15, 16, 17, 40):
        assert torch.equal(all_of(Model(), count, truncation=truncation, seed=5), many[:count])


def test_groups_have_a_fixed_size() -> None:
    model: Any = Model()
    assert [len(group) for group in pictures(model, 35)] == [16, 16, 3]
    assert model.largest == 16


def test_truncation_acts_before_the_mapper_and_not_before_a_truncation_of_its_own() -> None:
    mapper = Mapper()
    all_of(Model(mapper=mapper), 16, truncation=0.3)
    assert torch.equal(mapper.seen, latents(0, 0, 16, 6, 0.3))
    own = OwnTruncation()
    all_of(Model(own), 16, truncation=0.3)
    assert own.seen > 1


def test_classes_are_taken_in_turn() -> None:
    model = Model(classes=("a", "b", "c"))
    chosen = all_of(model, 20, chosen=[2, 0])
    assert torch.equal(chosen[::2], all_of(model, 20, chosen=torch.tensor([2]))[::2])
    assert torch.equal(chosen[1::2], all_of(model, 20, chosen=[0])[1::2])


def test_values_that_are_not_finite() -> None:
    generator = Generator()
    generator.linear.bias.data[5] = torch.nan
    with pytest.raises(FewganError, match="not finite"):
        all_of(Model(generator), 1)


@pytest.mark.parametrize("count", [0, -1])
def test_wrong_count(count: int) -> None:
    with pytest.raises(UsageError, match="--count"):
        all_of(Model(), count)


@pytest.mark.parametrize("mapper", [None, Mapper()])
def test_animation_meets_the_pictures_and_moves_smoothly(mapper: Any) -> None:
    model: Any = Model(mapper=mapper, classes=("a", "b", "c"))
    frames = torch.cat(list(generate.animation(model, 4, truncation=0.5, seed=2))).short()
    assert frames.shape == (96, 3, 16, 16)
    assert (frames[::24] - all_of(model, 4, truncation=0.5, seed=2).short()).abs().max() <= 1
    between = (frames - frames.roll(1, 0)).float().abs().mean((1, 2, 3))
    assert between.max() < 0.2 * (frames[0] - frames[24]).float().abs().mean().clamp(min=10)


def test_standing_statistics_are_those_of_the_truncated_latents() -> None:
    model: Any = Model(classes=("a", "b", "c"))
    before = all_of(model, 8, truncation=0.1)
    generate.standing_statistics(model, 16, truncation=0.1, screen=Screen(quiet=True))
    assert not model.generator.training
    z = latents(9, 0, 4000, 6, 0.1)
    inputs = torch.cat((z, model.generator.embed(torch.arange(4000) % 3)), 1)
    expected = model.generator.linear(inputs).mean(0)
    torch.testing.assert_close(model.generator.norm.running_mean, expected, rtol=0, atol=0.06)
    assert not torch.equal(before, all_of(model, 8, truncation=0.1))


def test_standing_statistics_need_a_generator_that_has_some() -> None:
    model: Any = Model(nn.Identity())
    with pytest.raises(UsageError, match="--standing-stats"):
        generate.standing_statistics(model, 4, screen=Screen(quiet=True))


# Grids ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "columns", "size"), [(6, None, (3, 2)), (7, 2, (2, 4)), (1, None, (1, 1)), (2, 8, (2, 1))]
)
def test_grid(count: int, columns: int | None, size: tuple[int, int]) -> None:
    images = torch.arange(count, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, 16, 16)
    made = grid(images, columns)
    assert made.mode == "RGB"
    assert made.size == tuple(18 * side + 2 for side in size)
    values = np.asarray(made)
    for index in range(count):
        row, column = divmod(index, size[0])
        assert (values[18 * row + 2 : 18 * row + 18, 18 * column + 2 : 18 * column + 18] == index).all()
    assert (values[:2] == 255).all()
    assert (values[:, -2:] == 255).all()


def test_a_grid_too_large_for_any_viewer() -> None:
    with pytest.raises(UsageError, match="--count"):
        imagefile.check_grid(5000, 256)
    imagefile.check_grid(3600, 256)


# The command ----------------------------------------------------------------------------------------------------------


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
        ({"format": "png", "interpolate": True}, "webp or gif"),
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
    with pytest.raises(UsageError, match="no classes to choose from"):
        choose_classes("0", Model())  # type: ignore[arg-type]


def test_files_of_another_origin_have_no_facts(tmp_path: Path) -> None:
    random.seed(0)
    for content in (b"", b"\x89PNG\r\n\x1a\n", random.randbytes(2000), b"GIF89a" + random.randbytes(100)):
        (tmp_path / "file").write_bytes(content)
        assert imagefile.facts_of(tmp_path / "file") is None


def test_a_real_source(tmp_path: Path) -> None:
    if not SHARED.exists():
        pytest.skip("the pretrained source is not beside this checkout")
    done = sampling.sample(
        SHARED, count=3, classes="2", truncation=0.5, out=tmp_path / "x", device="cpu", screen=Screen(quiet=True)
    )
    more = sampling.sample(SHARED, count=5, classes="2", truncation=0.5, out=tmp_path / "y", screen=Screen(quiet=True))
    for name in done.files:
        assert (done.folder / name).read_bytes() == (more.folder / name).read_bytes()
    with Image.open(done.folder / "000000.png") as opened:
        assert opened.size == (64, 64)
        green = np.asarray(opened).astype(float).mean((0, 1))
    assert green[1] > green[0]  # class 2 is flowers, in front of leaves
