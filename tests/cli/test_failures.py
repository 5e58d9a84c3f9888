"""Wrong lines and failures: one line each, the right exit code."""

import importlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from packages import install
from process import subprocess_of

from fewgan.plugin import FewganError, UsageError


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("train --transfer minegn", "did you mean 'minegan'?"),
        ("train --cr-weight 5", "--cr-weight is an option of cr; add --cr\n"),
        ("train --minegan-miner-steps 5", "--minegan-miner-steps is an option of minegan; add --transfer minegan\n"),
        ("train --cr --cr-wight 5", "cr has no option --cr-wight. See 'fewgan plugins show cr'.\n"),
        ("fid --cr-weight 5", "--cr-weight is an option of cr, which is for 'fewgan train'\n"),
        ("sample --inception-weights 5", "--inception-weights is an option of inception, which is for 'fewgan fid'\n"),
        (
            "train --faraway",
            "No such option: --faraway. For that of the package fewgan-faraway: in fewgan's repository",
        ),
        ("train --faraway-depth 3", "in fewgan's repository, run pip install ./plugins/fewgan-faraway\n"),
        ("train -q", "Error: No such option: -q. See 'fewgan train --help'.\n"),
        ("train --progress", "No such option: --progress (Possible"),
        ("sample --faraway", "No such option: --faraway"),
        ("train --aug faraway", "in fewgan's repository, run pip install ./plugins/fewgan-faraway\n"),
        ("faraway x", "No such command 'faraway'. For that of the package fewgan-faraway: in fewgan's repository, run"),
        ("train --stepz 3", "--steps"),
        ("train --features random", "--features has an effect only with --score-every; add --score-every N\n"),
        (
            "train --inception-weights x",
            "--inception-weights has an effect only with --score-every; add --score-every N\n",
        ),
        ("train --cr --cr-weight nan", "'--cr-weight'"),
        ("train --cr --cr-weight -1", "'--cr-weight'"),
        ("train --minegan-x", "minegan has no option --minegan-x"),
        ("train --lr-g inf", "must be a finite number"),
        ("train --lr-g x", "'--lr-g'"),
        ("train --steps 0", "'--steps'"),
        ("train --steps", "requires an argument. See 'fewgan train --help'."),
        ("train --arch=", "no architecture is chosen and there is no default; add --arch NAME"),
        ("train --loss soft", "--loss soft: choose hinge, nonsaturating, wasserstein"),
        ("train a b", "(b). See 'fewgan train --help'."),
        ("trian", "No such command 'trian'."),
        ("--transfer minegan train", "No such option: --transfer"),
        ("sample --cr", "No such option: --cr"),
        ("prepare", "'PHOTOS'. See 'fewgan prepare --help'."),
        ("plugins nothing", "No such command 'nothing'. See 'fewgan plugins --help'."),
    ],
)
def test_wrong_lines_get_one_line(run, calls, monkeypatch, *, line, message):
    monkeypatch.setattr("fewgan.registry.PACKAGES", ("fewgan-faraway",))
    code, out, error = run(line)
    assert (code, out, error.count("\n"), error[:7]) == (2, "", 1, "Error: ")
    assert message in error


@pytest.mark.parametrize(
    ("raised", "code", "message"),
    [
        (UsageError("wrong\nuse"), 2, "Error: wrong use\n"),
        (FewganError("failed"), 1, "Error: failed\n"),
        (type("Stopped", (FewganError,), {"exit_code": 143})("stopped by SIGTERM"), 143, "Error: stopped by SIGTERM\n"),
        (KeyboardInterrupt(), 130, ""),
        (
            PermissionError(13, "Permission denied", "runs/x"),
            1,
            "Error: runs/x: Permission denied; check who may use it, or name another place\n",
        ),
        (OSError(28, "No space left on device"), 1, "Error: No space left on device\n"),
        (MemoryError(), 1, "out of memory"),
        (ImportError("x.so: failed to map segment from shared object"), 1, "Error: x.so cannot be loaded: too little"),
        (type("OutOfMemoryError", (RuntimeError,), {})("CUDA out of memory. Tried …"), 1, "smaller --batch-size"),
        (ValueError("odd"), 1, "internal error (please report it): ValueError: odd in "),
    ],
)
def test_failures_and_exit_codes(run, monkeypatch, *, raised, code, message):
    def fail(*_, **__):
        raise raised

    monkeypatch.setattr("fewgan.training.loop.train", fail)
    result, out, error = run("train")
    assert (result, out) == (code, "")
    assert message in error
    assert "Traceback" not in error


@pytest.mark.parametrize(("line", "advice"), [("sample", "fewer with --count"), ("runs", "memory; close other pro")])
def test_advice_on_memory_is_that_of_the_command(run, monkeypatch, line, advice):
    def fail(*_, **__):
        raise MemoryError

    monkeypatch.setattr("fewgan.sampling.sample.sample", fail)
    monkeypatch.setattr("fewgan.training.listing.listing", fail)
    assert advice in run(line)[2]


def test_whose_code_failed_is_told(run, monkeypatch, calm):
    """A plugin's, also where torch raised it and where fewgan called it; not that of whoever called fewgan."""
    (calm / "calm.py").write_text("import torch\n\ndef loss():\n    return torch.zeros(2) @ torch.zeros(3)\n")
    sys.modules.pop("calm", None)
    monkeypatch.setattr("fewgan.training.loop.train", lambda *_, **__: importlib.import_module("calm").loss())
    code, _, error = run("train")
    sys.modules.pop("calm", None)
    assert code == 1
    assert "internal error in the package fewgan-calm (report it to its author): Runtime" in error


def test_ctrl_c_is_told_whoever_catches_it(run, monkeypatch):
    """typer turns it into its own exit, without a word."""

    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("fewgan.training.listing.listing", stop)
    code, _, error = run("runs")
    assert (code, error) == (130, "Error: stopped\n")


def test_debugging_shows_the_fault(run, calls, monkeypatch):
    monkeypatch.setattr("fewgan.training.loop.train", lambda *_, **__: 1 / 0)
    monkeypatch.setenv("FEWGAN_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        run("train")


def test_a_broken_plugin_stops_only_who_chooses_it(run, calls, calm):
    install(calm, "fewgan-broken", {"regularizers": ["broken = broken:plugin"]}, {"broken": "import nothing_here"})
    assert run("train --cr --calm")[0] == 0
    assert run("train --help")[0] == 0
    assert run("plugins")[0] == 0
    for line in ("train --broken", "train --broken --help", "plugins show broken"):
        code, out, error = run(line)
        assert (code, out, error.count("\n")) == (2, "", 1)
        assert (
            "'broken' of fewgan-broken 1.0 does not import: ModuleNotFoundError: No module named 'nothing_here'"
            in error
        )
    assert "--broken-x is an option of broken; add --broken" in run("train --broken-x 3")[2]


def test_two_packages_with_a_name_stop_only_who_chooses_it(run, calls, calm):
    install(calm, "fewgan-other", {"regularizers": ["calm = calm:plugin", "CALM = calm:plugin"]})
    assert run("train --cr")[0] == 0
    code, _, error = run("train --calm")
    assert code == 2
    assert "fewgan-calm 1.0 (regularizer)" in error
    assert "fewgan-other 1.0 (regularizer)" in error


def test_in_a_process(calm):
    """The console's view: real entry points on PYTHONPATH, real exit codes, nothing but one line."""
    (calm / "calm.py").write_text("raise RuntimeError('the weather\\nis bad')")
    done = subprocess_of("train", "--calm", PYTHONPATH=str(calm), OMP_NUM_THREADS="1")  # or a busy machine is told
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "Error: regularizer 'calm' of fewgan-calm 1.0 does not import: RuntimeError: the weather is bad; "
        "upgrade or uninstall fewgan-calm\n"
    )
    assert subprocess_of("train", "--cr", "--help", PYTHONPATH=str(calm)).returncode == 0


def test_a_reader_that_leaves():
    command = f"'{sys.executable}' -m fewgan plugins --json | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout == "[\n"
    done = subprocess.run(
        ["bash", "-c", command.replace("plugins --json | head -1", "--help | true")], capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"WORLD_SIZE": "two"}, "WORLD_SIZE=two in the environment: must be a whole number, 1 or more"),
        ({"WORLD_SIZE": "0"}, "WORLD_SIZE=0 in the environment"),
        ({"WORLD_SIZE": "9" * 5000}, "WORLD_SIZE=9999"),
        ({"WORLD_SIZE": "2", "RANK": "x\x1b[2J"}, "RANK=x\\x1b[2J in the environment"),
        ({"WORLD_SIZE": "2", "RANK": "-1"}, "RANK=-1 in the environment"),
        ({"WORLD_SIZE": "2", "RANK": "2"}, "RANK=2 in the environment: must be below WORLD_SIZE, which is 2"),
        ({"WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "gpu"}, "LOCAL_RANK=gpu in the environment"),
    ],
)
def test_what_torchrun_sets(environment, message):
    done = subprocess_of("train", **environment)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith(f"Error: {message}")


def test_what_others_mean_by_these_variables_is_theirs():
    assert subprocess_of("plugins", RANK="colonel", LOCAL_RANK="x", WORLD_SIZE="").returncode == 0
    done = subprocess_of("plugins", RANK="1", WORLD_SIZE="2")
    assert (done.returncode, done.stdout) == (0, "")  # rank 0 prints
    assert "nothing is done here: RANK is 1, and rank 0 does it; unset WORLD_SIZE to do it here" in done.stderr
    assert subprocess_of("plugins", RANK="1", WORLD_SIZE="2", TORCHELASTIC_RUN_ID="x").stderr == ""
    done = subprocess_of("train", WORLD_SIZE="2")
    assert done.returncode == 1
    assert done.stderr.endswith("; start with torchrun, or unset WORLD_SIZE to run in one process\n")


def test_a_wait_for_processes_that_never_come_can_be_ended():
    environment = {"WORLD_SIZE": "2", "RANK": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}
    waiting = subprocess.Popen(
        [sys.executable, "-m", "fewgan", "train"], env={**os.environ, **environment}, stderr=subprocess.DEVNULL
    )
    try:
        with pytest.raises(subprocess.TimeoutExpired):
            waiting.wait(15)
        waiting.terminate()
        assert waiting.wait(10) == -signal.SIGTERM
    finally:
        waiting.kill()
        waiting.wait()


@pytest.mark.skipif(os.name == "nt", reason="Windows keeps a folder that a process is in")
@pytest.mark.parametrize("line", ["plugins", "sample"])
def test_a_current_folder_that_was_removed(tmp_path, line):
    (tmp_path / "gone").mkdir()
    command = f'cd gone; rmdir ../gone; exec "{sys.executable}" -m fewgan {line}'
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(["sh", "-c", command], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == "Error: the current folder no longer exists; change to another one with cd\n"
