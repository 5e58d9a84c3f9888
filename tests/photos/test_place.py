"""Where a dataset's folder is put: beside, then in place; nothing half made, nothing of the user's lost."""

import errno
import os
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import pytest
from drawn import contents, draw, facts
from PIL import Image

from fewgan.photos import dataset, place
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
    for where in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UsageError, match="give another --out"):
            prepare(photos, where, force=True, screen=QUIET)


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


def test_another_programs_dataset_json_is_not_replaced(photos, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "dataset.json").write_text('{"labels": [["00000/000.png", 6]]}')
    assert not place.is_dataset(tmp_path / "out")
    with pytest.raises(UsageError, match="not a dataset"):
        prepare(photos, tmp_path / "out", size=32, force=True, screen=QUIET)
    with pytest.raises(UsageError, match="another program's"):
        dataset.load(tmp_path / "out")


# Disks that cannot do everything --------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOTSUP, errno.EPERM, errno.EACCES])
def test_a_disk_that_syncs_no_folders(photos, tmp_path, monkeypatch, code):
    real = os.fsync

    def fsync(number):
        if os.path.isdir(f"/proc/self/fd/{number}"):
            raise OSError(code, os.strerror(code))
        real(number)

    monkeypatch.setattr(os, "fsync", fsync)
    for force in (False, True):
        assert prepare(photos, tmp_path / "out", size=32, force=force, screen=QUIET).count == 24


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOTSUP, errno.ENOSYS])
def test_a_disk_that_syncs_nothing(photos, tmp_path, monkeypatch, code):
    def fsync(_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", fsync)
    assert prepare(photos, tmp_path / "out", size=32, screen=QUIET).count == 24


@pytest.mark.parametrize("code", [errno.EXDEV, errno.EPERM, errno.ENOTSUP, errno.EACCES, errno.EINVAL])
@pytest.mark.parametrize("over", [True, False])
def test_a_disk_that_renames_no_folders(photos, tmp_path, monkeypatch, code, over):
    """As overlay file systems, cloud disks and, while a file is in use, Windows. over: whether files replace files."""

    def refuse(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "rename", refuse)
    if not over:
        monkeypatch.setattr(os, "replace", refuse)
    for size in (32, 48):
        prepare(photos, tmp_path / "out", size=size, force=size == 48, screen=QUIET)
        assert dataset.load(tmp_path / "out").size == size
        assert [path.name for path in tmp_path.iterdir()] == ["out"]
        assert {path.name for path in (tmp_path / "out").iterdir()} == set(place._ORDER)


def test_a_disk_that_locks_nothing(photos, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise NotImplementedError

    monkeypatch.setattr(place.FileLock, "acquire", refuse)
    for force in (False, True):
        assert prepare(photos, tmp_path / "out", size=32, force=force, screen=QUIET).count == 24
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


# Crashes --------------------------------------------------------------------------------------------------------------

CRASH = """
import os, shutil, sys
from pathlib import Path
from fewgan.photos.prepare import prepare
from fewgan.screen import Screen

module, name, left = {"os": os, "shutil": shutil}[sys.argv[3]], sys.argv[4], int(sys.argv[5])
real = getattr(module, name)

def crash(*args, **options):
    global left
    left -= 1
    if not left:
        os._exit(9)
    return real(*args, **options)

setattr(module, name, crash)
prepare(Path(sys.argv[1]), Path(sys.argv[2]), size=48, force=True, workers=1, screen=Screen(quiet=True))
"""


@pytest.mark.parametrize("moment", ["os.fsync.1", "os.fsync.3", "os.rename.1", "os.rename.2", "shutil.rmtree.1"])
def test_a_crash_leaves_the_old_dataset_or_the_new_one(photos, tmp_path, moment):
    out = tmp_path / "out"
    prepare(photos, out, size=32, screen=QUIET)
    for clean in ("load", "prepare"):
        command = [sys.executable, "-c", CRASH, photos, out, *moment.split(".")]
        assert subprocess.run(command, timeout=120).returncode == 9
        if clean == "load":
            assert dataset.load(out).size in (32, 48)
    prepare(photos, out, size=40, force=True, screen=QUIET)
    assert dataset.load(out).size == 40
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert {path.name for path in out.iterdir()} == set(place._ORDER)


def test_a_crash_between_the_renames_needs_no_force_to_complete(photos, tmp_path):
    out = tmp_path / "out"
    prepare(photos, out, size=32, screen=QUIET)
    subprocess.run([sys.executable, "-c", CRASH, photos, out, "os", "rename", "2"], timeout=120)
    assert not out.exists()
    with pytest.raises(UsageError, match="out exists"):
        prepare(photos, out, size=40, screen=QUIET)
    assert dataset.load(out).size == 48
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert {path.name for path in out.iterdir()} == set(place._ORDER)


def test_what_a_living_process_writes_is_left_alone(photos, tmp_path):
    with place.new_folder(tmp_path / "out", photos, False) as living:
        (living / "images.safetensors").write_bytes(b"half")
        for out in ("out", "other"):
            prepare(photos, tmp_path / out, size=32, screen=QUIET)
            assert (living / "images.safetensors").read_bytes() == b"half"
        with pytest.raises(KeyboardInterrupt), place.new_folder(tmp_path / "third", photos, False):
            raise KeyboardInterrupt
        (tmp_path / "out").rename(tmp_path / "gone")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["gone", "other", "out"]


def test_a_dataset_that_another_process_has_put_there_stays(photos, tmp_path):
    slow = place.new_folder(tmp_path / "out", photos, False)
    (slow.__enter__() / "images.safetensors").write_bytes(b"whole")
    prepare(photos, tmp_path / "out", size=32, screen=QUIET)
    with pytest.raises(UsageError, match="out exists: give another --out, or --force to replace it"):
        slow.__exit__(None, None, None)
    assert dataset.load(tmp_path / "out").size == 32
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_disk_that_may_only_be_read_is_told_as_such(photos, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError(errno.EROFS, "Read-only file system", "hidden")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with (
        pytest.raises(FewganError, match=r"cannot be written to \(Read-only file system\); give another --out"),
        place.new_folder(tmp_path / "out", photos, False),
    ):
        raise AssertionError


def test_what_an_older_fewgan_left_is_cleared_away_once_it_is_old(photos, tmp_path):
    left = tmp_path / ".fewgan-0123abcd.partial"
    left.mkdir()
    (left / "images.safetensors").write_bytes(bytes(100))
    prepare(photos, tmp_path / "out", size=32, screen=QUIET)
    assert left.exists()
    old = time.time() - 3600
    for path in (left / "images.safetensors", left):
        os.utime(path, (old, old))
    prepare(photos, tmp_path / "out", size=32, force=True, screen=QUIET)
    assert not left.exists()


@pytest.mark.parametrize("inside", [(), (".lock",)])
def test_what_a_kill_left_before_anything_was_written_is_cleared_away(photos, tmp_path, inside):
    """Between the making of the folder and its lock, or right after."""
    left = tmp_path / ".fewgan-0123abcd-89abcdef.partial"
    left.mkdir()
    for name in inside:
        (left / name).touch()
    prepare(photos, tmp_path / "out", size=32, screen=QUIET)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_folder_that_is_cleared_away_before_its_lock_is_made_again(photos, tmp_path, monkeypatch):
    """By another process that takes it for left over."""
    lock, taken = place.lock, []

    def late(path, **options):
        if not taken:
            place._sweep(path.parent)
            assert not path.parent.exists()
        taken.append(path.parent)
        return lock(path, **options) if len(taken) > 1 else nullcontext()  # a lock that makes no folder for itself

    monkeypatch.setattr(place, "lock", late)
    assert prepare(photos, tmp_path / "out", size=32, screen=QUIET).count == 24
    assert len(set(taken)) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_without_pread_and_o_nofollow(photos, tmp_path, monkeypatch):
    """As on Windows, near duplicates and all."""
    for name in ("pread", "O_NOFOLLOW"):
        monkeypatch.delattr(os, name, raising=False)
    source = draw(tmp_path / "photos", 4)
    with Image.open(source / "001.jpg") as photo:
        photo.save(source / "zz.jpg", quality=60)
    (source / "link.png").symlink_to("002.jpg")
    summary = prepare(source, tmp_path / "out", size=32, workers=1, screen=QUIET)
    assert (summary.count, summary.rejected) == (4, {"exact duplicate": 1, "near duplicate": 1})
