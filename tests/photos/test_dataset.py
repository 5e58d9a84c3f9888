"""A dataset read back: checked field by field, resized once, served in an order that seed and epoch fix."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from drawn import draw, facts
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save_file

from fewgan.photos import dataset
from fewgan.photos.prepare import prepare
from fewgan.plugin import UsageError
from fewgan.screen import Screen

QUIET = Screen(quiet=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("drawn")
    for number, name in enumerate(("dog", "cat")):
        draw(root / "photos" / name, 10, seed=50 * number)
    prepare(root / "photos", root / "two kinds", size=40, classes=True, holdout=6, screen=QUIET)
    return root / "two kinds"


@pytest.fixture
def copy(folder, tmp_path) -> Path:
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def test_what_prepare_wrote_is_read(folder):
    data = dataset.load(folder)
    assert (data.folder, data.size, data.classes) == (folder, 40, ("cat", "dog"))
    assert data.images.shape == (20, 3, 40, 40)
    assert data.images.dtype == torch.uint8
    assert data.labels.tolist() == [0] * 10 + [1] * 10
    assert data.held_out.sum() == 6
    assert data.names[:2] == ("cat/000.jpg", "cat/001.jpg")
    assert data.fingerprint == facts(folder)["fingerprint"]


def test_the_pixels_stay_on_disk_until_they_are_used(tmp_path):
    count, size = 400, 256
    images = torch.zeros(count, 3, size, size, dtype=torch.uint8)
    save_file({"images": images}, tmp_path / "images.safetensors")
    rows = [{"name": str(number), "label": 0, "held_out": False} for number in range(count)]
    written = {"format": 1, "count": count, "size": size, "classes": [], "fingerprint": "f", "images": rows}
    (tmp_path / "dataset.json").write_text(json.dumps(written))

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    if not Path("/proc/self/statm").exists():
        pytest.skip("this system does not say how much memory a process uses")
    before = resident()
    data = dataset.load(tmp_path)
    assert data.images[7].sum() == 0
    assert resident() - before < images.numel() // 4


# photos ---------------------------------------------------------------------------------------------------------------


def test_photos_to_train_on_and_held_out(folder):
    data = dataset.load(folder)
    train, labels = dataset.photos(data, held_out=False)
    held, held_labels = dataset.photos(data, held_out=True)
    assert (len(train), len(held)) == (14, 6)
    assert torch.equal(train, data.images[~data.held_out])
    assert torch.equal(held_labels, data.labels[data.held_out])
    assert sorted([*labels.tolist(), *held_labels.tolist()]) == [0] * 10 + [1] * 10


def test_photos_are_reduced_without_aliasing(folder):
    data = dataset.load(folder)
    small, _ = dataset.photos(data, held_out=False, size=10)
    assert small.shape == (14, 3, 10, 10)
    assert small.dtype == torch.uint8
    for image, reduced in zip(data.images[~data.held_out], small, strict=True):
        pillow = Image.fromarray(image.permute(1, 2, 0).numpy()).resize((10, 10), Image.Resampling.BICUBIC)
        assert np.abs(np.asarray(pillow).astype(int) - reduced.permute(1, 2, 0).numpy()).max() <= 2


def test_a_larger_size_names_both(folder):
    with pytest.raises(UsageError, match=r"40 px.*64 px"):
        dataset.photos(dataset.load(folder), held_out=False, size=64)


def epoch_of(count, epoch, seed):
    return dataset.indices(count, epoch * count, count, seed)


# order ----------------------------------------------------------------------------------------------------------------


@given(st.integers(1, 200), st.integers(0, 10**6), st.integers(0, 2**63))
def test_order_is_a_permutation_fixed_by_seed_and_epoch(count, epoch, seed):
    order = epoch_of(count, epoch, seed)
    assert order.dtype == torch.int64
    assert sorted(order.tolist()) == list(range(count))
    assert torch.equal(order, epoch_of(count, epoch, seed))


EXPECTED = [5, 1, 0, 3, 4, 6, 2, 7]  # runs of earlier versions must resume


def test_order_differs_by_seed_and_epoch_and_stays_what_it_was():
    orders = {tuple(epoch_of(50, epoch, seed).tolist()) for epoch in range(4) for seed in range(4)}
    assert len(orders) == 16
    assert epoch_of(8, 3, 7).tolist() == EXPECTED


@given(st.integers(1, 40), st.integers(0, 500), st.integers(0, 100), st.integers(0, 9))
def test_indices_are_the_stream_of_epochs(count, position, batch, seed):
    epochs = (position + batch) // count + 1
    stream = torch.cat([epoch_of(count, epoch, seed) for epoch in range(epochs)])
    assert torch.equal(dataset.indices(count, position, batch, seed), stream[position : position + batch])


def test_indices_of_nothing():
    with pytest.raises(UsageError, match="no photos to train on"):
        dataset.indices(0, 0, 4, 0)


# What is wrong on disk ------------------------------------------------------------------------------------------------


def changed(folder: Path, **changes) -> Path:
    (folder / "dataset.json").write_text(json.dumps(facts(folder) | changes))
    return folder


def test_no_dataset(tmp_path):
    for folder in (tmp_path, tmp_path / "gone"):
        with pytest.raises(UsageError, match="not a dataset: make one with 'fewgan prepare"):
            dataset.load(folder)


def test_a_newer_format_names_the_version_that_wrote_it(copy):
    with pytest.raises(UsageError, match=r"written by fewgan 9\.1"):
        dataset.load(changed(copy, format=2, fewgan="9.1"))


ROW = {"name": "a", "label": 0, "held_out": False}


@pytest.mark.parametrize(
    "changes",
    [
        *({"format": value} for value in (None, "1", 0, True)),
        *({"count": value} for value in (19, 21, 0, "20", 20.0)),
        *({"size": value} for value in (41, -40, None)),
        *({"classes": value} for value in (["cat"], ["cat", "cat"], ["cat", 3], "cat")),
        *({"images": value} for value in ({}, [ROW] * 19, [3] * 20)),
        *({"images": [ROW | change] * 20} for change in ({"label": 2}, {"label": -1}, {"label": True}, {"label": 0.0})),
        *({"images": [ROW | change] * 20} for change in ({"name": 3}, {"held_out": 0})),
        {"fingerprint": None},
        {"fingerprint": "of another"},
    ],
)
def test_facts_that_do_not_hold_are_one_error(copy, changes):
    with pytest.raises(UsageError, match="fewgan prepare again") as caught:
        dataset.load(changed(copy, **changes))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "\xff"])
def test_a_dataset_json_that_is_none(copy, text):
    (copy / "dataset.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(UsageError, match=r"dataset\.json"):
        dataset.load(copy)


@pytest.mark.parametrize("length", [0, 5, 100, 3000, -1])
def test_cut_or_missing_pixels(copy, length):
    path = copy / "images.safetensors"
    path.write_bytes(path.read_bytes()[:length])
    told = rf"images\.safetensors is {'damaged or cut short' if length else 'an empty file'}.*run fewgan prepare again"
    with pytest.raises(UsageError, match=told):
        dataset.load(copy)
    path.unlink()
    with pytest.raises(UsageError, match=r"images\.safetensors is missing"):
        dataset.load(copy)
