"""Where a dataset's folder is put: beside, then in place; nothing half made, nothing of the user's lost."""

from pathlib import Path

import pytest
from drawn import contents, draw, facts

from fewgan.photos.prepare import prepare
from fewgan.plugin import FewganError, UsageError
from fewgan.screen import Screen

QUIET = Screen(quiet=True)


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    return draw(tmp_path_factory.mktemp("drawn") / "photos", 24)


def test_an_existing_folder_is_kept_without_force(photos, tmp_path):
    out = tmp_path / "out"
    prepare(photos, out, size=32, screen=QUIET)
    before = contents(out)
    with pytest.raises(UsageError, match=r"out exists.*--force"):
        prepare(photos, out, size=48, screen=QUIET)
    with pytest.raises(UsageError, match="too small"):
        prepare(photos, out, size=512, force=True, screen=QUIET)
    assert contents(out) == before
    prepare(photos, out, size=48, force=True, screen=QUIET)
    assert facts(out)["size"] == 48
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_force_replaces_datasets_only(photos, tmp_path):
    out = draw(tmp_path / "out", 2)
    before = contents(out)
    for extra in ({}, {"dataset.json": "{}"}):
        for name, text in extra.items():
            (out / name).write_text(text)
        with pytest.raises(UsageError, match="give another --out"):
            prepare(photos, out, force=True, screen=QUIET)
    assert contents(out).items() >= before.items()
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UsageError, match="give another --out"):
            prepare(photos, place, force=True, screen=QUIET)


def test_photos_are_never_replaced_by_their_dataset(tmp_path):
    source = draw(tmp_path / "out" / "photos", 2)
    (tmp_path / "out" / "dataset.json").write_text("{}")
    for out in (tmp_path / "out", source):
        with pytest.raises(UsageError, match="where the photos are"):
            prepare(source, out, force=True, screen=QUIET)
    assert len(list(source.iterdir())) == 2


def test_a_dataset_inside_the_photos_is_not_read_as_photos(tmp_path):
    source = draw(tmp_path / "photos", 3)
    for force in (False, True):
        assert prepare(source, source / "dataset", size=32, force=force, screen=QUIET).count == 3
    assert prepare(source, source / "other", size=32, screen=QUIET).count == 3


def test_a_failing_disk_is_one_error_and_leaves_nothing(photos, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("fewgan.photos.store._preview", full)
    with pytest.raises(FewganError, match="No space left") as caught:
        prepare(photos, tmp_path / "new" / "out", size=32, screen=QUIET)
    assert not isinstance(caught.value, UsageError)
    assert list(tmp_path.iterdir()) == []
