"""A run folder: numbers, atomic files, metrics."""

import json
import os
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from safetensors.torch import save_file

from fewgan import run, storage
from fewgan.files import replacing, writable
from fewgan.plugin import FewganError, UsageError


def test_runs_are_numbered_and_named(tmp_path):
    first, second = run.create(tmp_path, "cats-biggan"), run.create(tmp_path, "my dogs/2")
    assert (first.name, second.name) == ("00001-cats-biggan", "00002-my_dogs_2")
    (tmp_path / "00041-other").mkdir()
    assert run.create(tmp_path, "x").name == "00042-x"


def test_two_at_once_get_different_numbers(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        folders = list(pool.map(lambda index: run.create(tmp_path, f"run{index}"), range(24)))
    assert sorted(int(folder.name[:5]) for folder in folders) == list(range(1, 25))


def test_latest_is_the_highest_number_with_a_generator(tmp_path):
    with pytest.raises(UsageError, match="fewgan train"):
        run.latest(tmp_path)
    for name in ("00009-a", "00100-b", "00101-c"):
        (tmp_path / name).mkdir()
    for name in ("00009-a", "00100-b"):
        (tmp_path / name / run.GENERATOR).touch()
    assert run.latest(tmp_path).name == "00100-b"


def test_a_failed_write_keeps_what_was_there(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")

    def write(error: Exception) -> None:
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(KeyError):
        write(KeyError())
    with pytest.raises(FewganError, match="previous version is unchanged"):
        write(OSError(28, "No space left on device"))
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
    path.unlink()
    with pytest.raises(FewganError, match=r"file: could not be written \(No space left on device\) \(.* free\)$"):
        write(OSError(28, "No space left on device"))


def test_tensors_and_facts_round_trip(tmp_path):
    path = tmp_path / "t.safetensors"
    tensors = {"a.x": torch.randn(2, 3).t(), "b": torch.tensor(3)}
    storage.write_tensors(path, tensors, {"step": 4})
    found, facts = storage.read_tensors(path)
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())
    assert facts == {"format": run.FORMAT, "step": 4}
    assert list(storage.read_tensors(path, "a.")[0]) == ["x"]
    (tmp_path / "plain").touch()
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("content", [b"", b"random bytes, nothing more", b"\xff" * 64])
def test_a_damaged_file_is_named(tmp_path, content):
    path = tmp_path / "t.safetensors"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"t\.safetensors.*damaged"):
        storage.read_tensors(path)


def test_foreign_and_newer_formats_are_refused(tmp_path):
    path = tmp_path / "t.safetensors"
    save_file({"x": torch.zeros(1)}, path)
    with pytest.raises(UsageError, match="not written by fewgan"):
        storage.read_tensors(path)
    save_file({"x": torch.zeros(1)}, path, metadata={"fewgan": json.dumps({"format": 99, "fewgan": "7.0"})})
    with pytest.raises(UsageError, match=r"fewgan 7\.0.*upgrade"):
        storage.read_tensors(path)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"format": "1"}', "null"])
def test_a_damaged_config_is_named(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(UsageError, match=r"config\.json"):
        run.read_config(tmp_path)
    with pytest.raises(UsageError, match="not a fewgan run"):
        run.read_config(tmp_path / "absent")


def test_a_config_that_an_editor_has_marked_is_read(tmp_path):
    (tmp_path / "config.json").write_text('{"format": 1}', encoding="utf-8-sig")
    assert run.read_config(tmp_path) == {"format": 1}


def test_of_a_folder_of_runs_one_that_can_be_resumed_is_meant(tmp_path):
    for name in ("00001-a", "00002-b"):
        (tmp_path / name / "checkpoints").mkdir(parents=True)
        (tmp_path / name / "config.json").write_text("{}")
    (tmp_path / "00001-a" / "checkpoints" / "000004.safetensors").touch()
    with pytest.raises(UsageError, match=r"did you mean .*00001-a\?"):
        run.read_config(tmp_path)


def test_metrics_are_cut_back_and_a_torn_line_is_dropped(tmp_path):
    for step in (10, 20, 30):
        run.append_metrics(tmp_path, {"step": step})
    with open(tmp_path / "metrics.jsonl", "a") as file:
        file.write('{"step": 4')
    run.cut_metrics(tmp_path, 20)
    assert run.read_metrics(tmp_path) == [{"step": 10}, {"step": 20}]
    assert (tmp_path / "metrics.jsonl").read_text() == '{"format": 1, "step": 10}\n{"format": 1, "step": 20}\n'


def test_a_training_clears_away_its_own_leftovers_and_no_other_command_s(tmp_path):
    """`fewgan fid` may be writing into the same run."""
    leftovers = [tmp_path / "samples" / ".000010.png.7.tmp", tmp_path / ".config.json.7.tmp"]
    others = [tmp_path / "fid" / ".scores.json.8.tmp", tmp_path / "fid" / "x" / ".nearest.png.8.tmp"]
    for path in (*leftovers, *others):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    with run.locked(tmp_path):
        pass
    assert [path.exists() for path in (*leftovers, *others)] == [False, False, True, True]


def test_a_folder_that_cannot_be_read_is_not_an_empty_one(tmp_path, monkeypatch):
    """Else a run whose checkpoints are kept from this user would be started again."""

    def refuse(_):
        raise PermissionError(13, "Permission denied")

    assert run.checkpoints(tmp_path) == []
    (tmp_path / "checkpoints").mkdir()
    monkeypatch.setattr("pathlib.Path.iterdir", refuse)
    with pytest.raises(UsageError, match=r"checkpoints: cannot be read \(Permission denied\)"):
        run.checkpoints(tmp_path)


def test_a_place_that_cannot_be_written_is_told_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)
    for make in (writable, lambda place: run.create(place, "x")):
        with pytest.raises(FewganError, match="cannot be written to; give another place with --out"):
            make(tmp_path / "runs")
    monkeypatch.undo()
    (tmp_path / "file").touch()
    with pytest.raises(FewganError, match="could not be created"):
        writable(tmp_path / "file" / "runs")
