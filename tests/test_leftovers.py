"""What lies about in folders of runs: locks of killed processes, links that lead elsewhere, disks that cannot sync."""

import errno
import os
import stat
import time
import tomllib
from pathlib import Path

import pytest

from fewgan import run
from fewgan.files import write_json
from fewgan.plugin import UsageError
from fewgan.sources import cache


def test_a_lock_that_a_killed_start_left_keeps_nobody_waiting(tmp_path):
    (tmp_path / ".lock").write_text("12345")
    old = time.time() + 86400  # the clock of a file server may be ahead
    os.utime(tmp_path / ".lock", (old, old))
    started = time.monotonic()
    assert run.create(tmp_path, "x").name == "00001-x"
    with run.locked(tmp_path):
        pass
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("there", [True, False])
def test_no_file_is_written_through_a_link(tmp_path, there):
    """A run that somebody sent may have one in the place of a file."""
    victim, folder = tmp_path / "victim", tmp_path / "run"
    folder.mkdir()
    if there:
        victim.write_text("precious")
    for name in (".lock", "metrics.jsonl", "config.json"):
        (folder / name).symlink_to(victim)
    with pytest.raises(UsageError, match="symbolic link"), run.locked(folder):
        pass
    with pytest.raises((UsageError, OSError)):
        run.append_metrics(folder, {"step": 1})
    write_json(folder / "config.json", {"format": 1})  # takes the link's place
    assert not (folder / "config.json").is_symlink()
    assert (victim.read_text() if victim.exists() else None) == ("precious" if there else None)


@pytest.mark.parametrize("name", ["samples", "checkpoints", "generators"])
def test_nothing_is_removed_through_a_link(tmp_path, name):
    mine, folder = tmp_path / "mine", tmp_path / "run"
    mine.mkdir()
    folder.mkdir()
    (mine / ".secret.tmp").touch()
    (folder / name).symlink_to(mine)
    with pytest.raises(UsageError, match=f"{name}: is a symbolic link; put the folder itself"), run.locked(folder):
        pass
    assert (mine / ".secret.tmp").exists()


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOTSUP, errno.EACCES])
def test_a_disk_that_syncs_no_folders_holds_runs(tmp_path, monkeypatch, code):
    sync = os.fsync

    def fsync(number):
        if stat.S_ISDIR(os.fstat(number).st_mode):
            raise OSError(code, os.strerror(code))
        sync(number)

    monkeypatch.setattr(os, "fsync", fsync)
    write_json(tmp_path / "config.json", {"format": 1, "a": 2})
    assert run.read_config(tmp_path)["a"] == 2


def test_names_are_cut_at_bytes_and_whole_characters(tmp_path):
    folder = run.create(tmp_path, "写" * 80 + "-biggan-diffaugment-cr")
    assert folder.is_dir()
    assert len(os.fsencode(folder.name)) <= 200
    assert set(folder.name.removeprefix("00001-")) == {"写"}


def test_a_user_without_a_home_has_a_cache(monkeypatch, tmp_path):
    """As in a container that runs as a number: neither HOME nor a line in passwd."""
    for name in ("FEWGAN_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)

    def no_home(_):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "expanduser", no_home)
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    assert cache.folder().is_relative_to(tmp_path)


def test_torch_is_one_that_runs_no_code_of_files():
    """Before 2.10, what torch.load(weights_only=True) reads could run code or corrupt memory."""
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (torch,) = [one for one in project["dependencies"] if one.split(">")[0] == "torch"]
    assert [int(part) for part in torch.split(">=")[1].split(".")] >= [2, 10]
