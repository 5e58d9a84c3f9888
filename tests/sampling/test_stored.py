"""`fewgan sample --latents`: pictures and animations from a file of latents."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from stand_in import Generator, Mapper, Model

from fewgan.errors import UsageError
from fewgan.sampling import sample as sampling
from fewgan.sampling import stored
from fewgan.sampling.generate import FRAMES_EACH
from fewgan.sampling.imagefile import facts_of, to_uint8
from fewgan.sampling.latent import path_through
from fewgan.screen import Screen


class WithW(Generator):
    """Has a w space: [N, 4], alike in three layers or one for each."""

    w_shape = (3, 4)

    def from_w(self, w):
        ws = w if w.dim() == 3 else w[:, None].expand(-1, 3, -1)
        return torch.tanh(ws.mean(dim=(1, 2)))[:, None, None, None].expand(-1, 3, 16, 16)


def written(folder, name="latents.safetensors", **tensors):
    stored.write(folder / name, tensors, {"photos": ["a.jpg"]})
    return folder / name


@pytest.fixture
def run(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)

    def sample(model, latents, **settings):
        monkeypatch.setattr("fewgan.sources.load.load", lambda path, screen=None: model)
        return sampling.sample(Path("a"), latents=latents, device="cpu", screen=Screen(quiet=True), **settings)

    return sample


def read_pictures(done):
    return torch.stack([torch.from_numpy(np.array(Image.open(done.folder / f))).permute(2, 0, 1) for f in done.files])


@torch.no_grad()
def test_each_row_is_a_picture(run, tmp_path):
    model = Model(classes=("a", "b", "c"))
    z, condition = torch.randn(18, 6), torch.rand(18, 3)
    done = run(model, written(tmp_path, z=z, condition=condition))
    assert done.count == len(done.files) == 18
    assert done.folder.name == f"00001-cats-{tmp_path.name}-seed0"
    whole = torch.cat([model.generator(z[:16], condition[:16]), model.generator(z[16:], condition[16:])])
    assert torch.equal(read_pictures(done), to_uint8(whole))
    facts = facts_of(done.folder / "000003.png")
    assert (facts["latents"], facts["class"]) == ("latents.safetensors", None)
    grid = run(model, written(tmp_path, "mine.safetensors", z=z, condition=condition), grid=True)
    assert (grid.folder.name, grid.files) == ("00001-cats-mine-seed0", ["grid.png"])
    (tmp_path / model.name).mkdir()
    own = run(model, written(tmp_path / model.name, z=z, condition=condition))
    assert own.folder.name == "00001-cats-latents-seed0"


@torch.no_grad()
def test_latents_go_through_the_mapper(run, tmp_path):
    model = Model(mapper=Mapper())
    z = torch.randn(2, 6)
    done = run(model, written(tmp_path, z=z, labels=torch.zeros(2, dtype=torch.int64)))
    assert torch.equal(read_pictures(done), to_uint8(model.generator(z.flip(1), z[:, :3])))


@pytest.mark.parametrize("shape", [(2, 4), (2, 3, 4)])
def test_latents_of_a_w_space(run, tmp_path, shape):
    model = Model(WithW())
    w = torch.randn(shape)
    done = run(model, written(tmp_path, w=w))
    assert torch.equal(read_pictures(done), to_uint8(model.generator.from_w(w)))


@torch.no_grad()
@pytest.mark.parametrize("form", ["w", "condition", "labels"])
def test_a_walk_meets_each_picture(run, tmp_path, form):
    z = torch.randn(3, 6)
    tensors = {
        "w": {"w": torch.randn(3, 3, 4)},
        "condition": {"z": z, "condition": torch.rand(3, 3)},
        "labels": {"z": z, "labels": torch.zeros(3, dtype=torch.int64)},
    }[form]
    model = Model(WithW(3), mapper=Mapper() if form == "labels" else None)
    latents = stored.read(written(tmp_path, **tensors))
    frames = torch.cat(list(stored.animation(model, latents)))
    assert len(frames) == 3 * FRAMES_EACH
    corners = to_uint8(stored.draw(model, tensors))
    assert (frames[::FRAMES_EACH].int() - corners.int()).abs().max() <= 1
    steps = (frames.int() - frames.roll(1, 0).int()).abs().amax()
    assert steps < (corners[0].int() - corners[1].int()).abs().amax()
    done = run(model, latents.path, interpolate=True)
    assert done.files == ["loop.webp"]
    with Image.open(done.folder / "loop.webp") as opened:
        assert opened.n_frames > 3  # equal frames in a row are one in a file


@given(st.integers(2, 7), st.integers(1, 5), st.booleans())
def test_a_path_through_rows(keyframes, frames_each, rescaled):
    corners = np.random.default_rng(keyframes).normal(size=(keyframes, 4))
    path, left, share = path_through(corners, frames_each, rescaled=rescaled)
    assert np.allclose(path[::frames_each], corners)
    assert torch.equal(left, torch.arange(keyframes).repeat_interleave(frames_each))
    assert torch.equal(share[::frames_each], torch.zeros(keyframes))
    same = path_through(np.ones((keyframes, 4)), frames_each, rescaled=False)[0]
    assert np.allclose(same, 1)  # a path through one w stays there


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        ({"w": torch.zeros(2, 4)}, "of a w space, and 00001-cats has none"),
        (
            {"z": torch.zeros(2, 6), "labels": torch.zeros(2, dtype=torch.int64)},
            "with a mapper, and 00001-cats has none",
        ),
        ({"z": torch.zeros(2, 5), "condition": torch.zeros(2, 3)}, r"another generator, \[5, 3\].*has \[6, 3\]"),
        ({"z": torch.zeros(2, 6)}, "holds no latents"),
        ({"z": torch.zeros(2, 6), "condition": torch.zeros(3, 3)}, "holds no latents"),
        ({"w": torch.zeros(0, 4)}, "holds no latents"),
        ({"w": torch.zeros(())}, "holds no latents"),
        ({"w": torch.full((2, 4), torch.nan)}, "w holds NaN"),
        ({"w": torch.zeros(2, 4, dtype=torch.float64)}, "its w are torch.float64"),
    ],
)
def test_what_does_not_fit_is_one_line(run, tmp_path, tensors, words):
    with pytest.raises(UsageError, match=words) as caught:
        run(Model(), written(tmp_path, **tensors))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "pictures").exists()


def test_latents_of_another_model_are_told_and_their_folder_will_do(run, tmp_path, capsys):
    path = tmp_path / "latents.safetensors"
    for name, told in (("00001-cats", False), ("00002-dogs\x1b[2J", True)):
        stored.write(path, {"w": torch.zeros(1, 4)}, {"model": name})
        assert run(Model(WithW()), tmp_path, out=Path(name[:5])).count == 1
        said = capsys.readouterr().err
        assert ("were made for 00002-dogs" in said) == told
        assert "\x1b" not in said


def test_labels_that_the_mapper_does_not_have(run, tmp_path):
    tensors = {"z": torch.zeros(1, 6), "labels": torch.ones(1, dtype=torch.int64)}
    with pytest.raises(UsageError, match="another generator"):
        run(Model(mapper=Mapper()), written(tmp_path, **tensors))
    with pytest.raises(UsageError, match="without a mapper, and 00001-cats has one"):
        run(Model(mapper=Mapper()), written(tmp_path, z=torch.zeros(1, 6), condition=torch.zeros(1, 3)))


def test_what_the_file_says_already(run, tmp_path):
    path = written(tmp_path, w=torch.zeros(1, 4))
    for settings in ({"count": 3}, {"truncation": 0.5}, {"classes": "a"}):
        with pytest.raises(UsageError, match="and --latents: give one of them"):
            run(Model(WithW()), path, **settings)
    with pytest.raises(UsageError, match="holds 1 picture; --interpolate leads through 2 pictures or more"):
        run(Model(WithW()), path, interpolate=True)
    with pytest.raises(UsageError, match="no such file"):
        run(Model(WithW()), tmp_path / "gone")
    (tmp_path / "noise").write_bytes(b"noise")
    with pytest.raises(UsageError, match="damaged or not a safetensors file"):
        run(Model(WithW()), tmp_path / "noise")


def test_other_latents_in_a_folder_of_the_same_name_replace_nothing(run, tmp_path):
    model = Model(classes=("a", "b", "c"))
    files = []
    for place in ("one", "two"):
        (tmp_path / place / "faces").mkdir(parents=True)
        z, condition = torch.randn(2, 6), torch.rand(2, 3)
        files.append(written(tmp_path / place / "faces", z=z, condition=condition))
    done = run(model, files[0])
    before = read_pictures(done)
    run(model, files[0])
    with pytest.raises(UsageError, match="made from other latents and would be overwritten; give another place"):
        run(model, files[1])
    assert torch.equal(read_pictures(done), before)
