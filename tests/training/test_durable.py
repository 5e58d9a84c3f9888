"""Runs that are stopped, damaged, locked, or out of space; the processes are real."""

import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import forks
import pytest
import torch
from drawn import draw
from forks import Job
from safetensors.torch import load_file

import fewgan
from fewgan import run, storage
from fewgan.architectures.biggan import Options
from fewgan.photos.prepare import prepare
from fewgan.plugin import FewganError, UsageError
from fewgan.registry import choose
from fewgan.screen import Screen
from fewgan.training import loop as train
from fewgan.training.config import Config

QUIET = Screen(quiet=True)
FEWGAN = ["-m", "fewgan"]
TRAIN = [
    *FEWGAN, "train", "--size", "32", "--biggan-width", "2", "--batch-size", "4", "--device", "cpu",
    "--save-every", "1",
]  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a dataset."""
    place = tmp_path_factory.mktemp("place")
    prepare(draw(place / "photos", 8), place / "dataset", size=32, workers=1, screen=QUIET)
    return place


def trained(place: Path, out: Path, **changes) -> Path:
    settings = {"steps": 3, "batch_size": 4, "save_every": 1, "device": "cpu", "transfer": choose("transfers", "none")}
    architecture = choose("architectures", "biggan", Options(width=2))
    config = Config(data=str(place / "dataset"), out=str(out), architecture=architecture, **settings | changes)
    return train.train(config, QUIET).folder


def spoil(path: Path) -> None:
    """Changes one byte in the middle of the tensors."""
    content = bytearray(path.read_bytes())
    content[-len(content) // 3] ^= 1
    path.write_bytes(content)


def test_a_damaged_checkpoint_gives_way_to_the_one_before(place, tmp_path, capsys):
    whole = trained(place, tmp_path / "whole")
    folder = tmp_path / "damaged" / whole.name
    shutil.copytree(whole, folder)
    spoil(folder / "checkpoints" / "000003.safetensors")
    train.resume(str(folder), QUIET)
    told = capsys.readouterr().err
    assert "000003.safetensors: the file is damaged" in told
    assert "resuming from the checkpoint before it, step 2 instead of 3" in told
    for name in ("generator.safetensors", "checkpoints/000003.safetensors"):
        one, other = load_file(whole / name), load_file(folder / name)
        assert all(torch.equal(one[key], other[key]) for key in one)
    assert len(run.read_metrics(folder)) == len(run.read_metrics(whole))


def test_nothing_is_lost_where_all_checkpoints_are_damaged(place, tmp_path):
    folder = trained(place, tmp_path)
    for _, path in run.checkpoints(folder):
        path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(UsageError, match=r"000002\.safetensors.*damaged"):
        train.resume(str(folder), QUIET)
    assert fewgan.load(folder).discriminator is None  # the generator is still good
    assert fewgan.load(folder).sample(2).shape == (2, 3, 32, 32)


def test_a_generator_that_was_changed_is_refused(place, tmp_path):
    folder = trained(place, tmp_path, steps=1)
    spoil(folder / run.GENERATOR)
    with pytest.raises(UsageError, match=r"generator\.safetensors: the file is damaged: .* is not what was written"):
        fewgan.load(folder)


def test_a_run_that_is_being_trained_is_not_resumed(place, tmp_path):
    folder = trained(place, tmp_path, steps=1)
    with run.locked(folder), pytest.raises(UsageError, match="is being trained by another process"):
        train.resume(str(folder), QUIET, steps=2)
    assert train.resume(str(folder), QUIET, steps=2).step == 2  # the lock ended with its holder


def test_what_a_killed_process_was_writing_is_cleared_away(place, tmp_path):
    folder = trained(place, tmp_path, steps=1)
    left = [folder / ".config.json.99.tmp", folder / "checkpoints" / ".000002.safetensors.99.tmp"]
    for path in left:
        path.write_text("half")
    train.resume(str(folder), QUIET, steps=2)
    assert not [path for path in left if path.exists()]


def test_two_at_once_get_folders_of_their_own(place, tmp_path):
    command = [*TRAIN, str(place / "dataset"), "--steps", "1", "--quiet", "--out", str(tmp_path / "runs")]
    jobs = [Job(command) for _ in range(2)]
    for job in jobs:
        with job:
            job.communicate()
    assert [job.returncode for job in jobs] == [0, 0]
    folders = sorted(path.name for path in (tmp_path / "runs").iterdir() if path.is_dir())
    assert [name[:5] for name in folders] == ["00001", "00002"]
    assert all((tmp_path / "runs" / name / run.GENERATOR).exists() for name in folders)


def test_a_second_signal_stops_at_once(place, tmp_path):
    slow = "import time\nfrom fewgan.cli import commands\nfrom fewgan.training import batches\n"
    slow += "def batch(work):\n    print('in a step', flush=True)\n    time.sleep(60)\nbatches.batch = batch\n"
    slow += "commands.main()"
    command = ["-c", slow, *TRAIN[2:], str(place / "dataset"), "--out", str(tmp_path)]
    with Job(command) as job:
        assert job.stdout.readline() == "in a step\n"
        started = time.monotonic()
        job.send_signal(signal.SIGINT)
        assert any("press Ctrl-C again to quit now" in job.stderr.readline() for _ in range(6))
        job.send_signal(signal.SIGINT)
        job.wait(timeout=30)
    assert time.monotonic() - started < 30
    assert job.returncode != 0


STEPPING = """
import signal, sys, time
from fewgan.cli import commands as cli
from fewgan.training import batches as feed
real = feed.batch
def batch(work):
    if work.state.step == 2:
        print("there", flush=True)
        time.sleep(1)
    return real(work)
feed.batch = batch
sys.exit(cli.run(sys.argv[1:]))
"""


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_work_is_saved_where_whoever_watched_has_gone(place, tmp_path, name):
    command = ["-c", STEPPING, *TRAIN[2:], str(place / "dataset"), "--out", str(tmp_path)]
    with Job(command) as job:
        assert job.stdout.readline() == "there\n"
        job.stderr.close()
        job.send_signal(getattr(signal, name))
        assert job.wait(timeout=60) == 128 + getattr(signal, name)
    assert run.checkpoints(next(tmp_path.glob("0*")))[-1][0] == 3


def _ignore_sighup() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def test_nohup_is_respected(place, tmp_path):
    command = ["-c", STEPPING, *TRAIN[2:], str(place / "dataset"), "--out", str(tmp_path)]
    with Job([*command, "--steps", "4"], before=_ignore_sighup) as job:
        assert job.stdout.readline() == "there\n"
        job.send_signal(signal.SIGHUP)
        assert job.wait(timeout=60) == 0


def _limit_files(largest: int) -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))


def test_a_full_disk_keeps_the_last_save(place, tmp_path):
    pytest.importorskip("resource")
    folder = trained(place, tmp_path, steps=2)
    before = {path: path.read_bytes() for path in folder.rglob("*.safetensors")}
    largest = max(len(content) for content in before.values())
    command = [*FEWGAN, "train", "--resume", str(folder), "--steps", "5", "--quiet"]
    done = forks.run(command, before=functools.partial(_limit_files, largest // 2))
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "could not be written" in done.stderr
    assert "needed" in done.stderr
    for path, content in before.items():
        if path.parent.name == "checkpoints":
            assert path.read_bytes() == content
    assert not list(folder.rglob(".*.tmp"))
    assert train.resume(str(folder), QUIET, steps=3).step == 3


def test_space_is_checked_before_a_run_starts(place, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=100_000))
    with pytest.raises(FewganError, match=r"runs: needs \d+\.\d MB of disk space, only 0\.1 MB available"):
        trained(place, tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_the_space_asked_for_is_the_space_taken(place, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(storage, "check_space", lambda folder, needed: asked.append(needed))
    folder = trained(place, tmp_path, steps=4, save_every=1, keep_generators=True)
    taken = sum(path.stat().st_size for path in folder.rglob("*.safetensors"))
    one = max(path.stat().st_size for path in folder.rglob("*.safetensors"))
    assert taken < asked[0] * 1.2
    assert asked[0] < (taken + one) * 1.2  # with one more checkpoint, while it is written


def test_every_file_says_its_format_and_a_newer_one_is_refused(place, tmp_path):
    folder = trained(place, tmp_path, steps=1)
    assert json.loads((folder / "config.json").read_text())["format"] == 1
    assert [json.loads(line)["format"] for line in (folder / "metrics.jsonl").read_text().splitlines()] == [1]
    for path in folder.rglob("*.safetensors"):
        assert storage.read_tensors(path)[1]["format"] == 1
    newer = {"format": 2, "fewgan": "9.1.0", "step": 1}
    storage.write_tensors(folder / run.GENERATOR, {}, newer)
    (folder / "metrics.jsonl").write_text(json.dumps(newer) + "\n")
    for read in (lambda: storage.read_tensors(folder / run.GENERATOR), lambda: run.read_metrics(folder)):
        with pytest.raises(UsageError, match=r"written by fewgan 9\.1\.0 in a newer format; upgrade fewgan"):
            read()


def test_it_imports_where_there_is_no_resource_module(tmp_path):
    code = "import sys; sys.modules['resource'] = None\n"
    code += "from pathlib import Path\nimport fewgan.cli.commands, fewgan.training.loop\n"
    code += "import fewgan.scoring.fid, fewgan.photos.prepare\n"
    code += "from fewgan import run\nwith run.locked(Path('.')): print('locked')"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "locked\n"


def test_the_same_command_gives_the_same_bytes(place, tmp_path):
    folders = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        command = [*TRAIN, str(place / "dataset"), "--steps", "2", "--sample-every", "1", "--quiet"]
        assert forks.run(command, tmp_path / name).returncode == 0
        folders.append(tmp_path / name / "runs" / "00001-dataset-biggan")
    for name in ("generator.safetensors", "checkpoints/000002.safetensors", "samples/000001.png", "real.png"):
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes(), name
    pictures = [fewgan.load(folder).sample(count, seed=3) for folder, count in zip(folders, (5, 40), strict=True)]
    assert torch.equal(pictures[0], pictures[1][:5])
    assert os.listdir(folders[0]) == os.listdir(folders[1])
