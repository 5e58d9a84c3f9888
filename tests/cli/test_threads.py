"""How torch's threads wait is chosen by what else runs; how many there are is not."""

import os
import shlex
import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fewgan.cli import threads
from fewgan.cli.threads import busy_cores, choose, mind_others

VARIABLES = (*threads.OF_THE_USER, "OMP_NUM_THREADS")


@pytest.mark.parametrize(
    ("cores", "others", "environment", "limit", "sleeps"),
    [
        (2, 0.0, {}, None, False),
        (2, 0.2, {}, None, False),  # what a desktop does beside
        (2, 1.0, {}, None, True),
        (64, 1.0, {}, None, True),  # one slow thread of 64 is waited for by all
        (8, 3.0, {"OMP_NUM_THREADS": "4"}, None, False),  # there is room
        (8, 5.0, {"OMP_NUM_THREADS": "4"}, None, True),
        (8, 5.0, {"OMP_NUM_THREADS": "4,2"}, None, True),
        (8, 5.0, {"OMP_NUM_THREADS": "many"}, None, True),  # OpenMP takes its default, too
        (64, 0.0, {}, 2.0, True),  # a container that may use 2 cores of 64
        (64, 0.0, {"OMP_NUM_THREADS": "2"}, 2.0, False),
        (1, 1.0, {}, None, False),  # one thread waits for nobody
        (2, 2.0, {"OMP_NUM_THREADS": "1"}, None, False),
        (2, 2.0, {"OMP_WAIT_POLICY": "active"}, None, False),
        (2, 2.0, {"GOMP_SPINCOUNT": "7"}, None, False),
        (2, 2.0, {"KMP_BLOCKTIME": "1"}, None, False),
    ],
)
def test_threads_sleep_where_they_would_take_a_core_that_others_use(cores, others, environment, limit, sleeps):
    assert bool(choose(cores, others, environment, limit)) is sleeps


@given(st.integers(1, 256), st.floats(0, 256), st.none() | st.floats(0.1, 256))
def test_nothing_that_is_set_concerns_the_number_of_threads_or_replaces_what_the_user_says(cores, others, limit):
    chosen = choose(cores, others, {}, limit)
    assert "OMP_NUM_THREADS" not in chosen
    assert all(not choose(cores, others, {name: value}, limit) for name, value in chosen.items())


def stat(*cores: tuple[int, ...]) -> str:
    lines = [f"cpu{number} {' '.join(map(str, ticks))}" for number, ticks in enumerate(cores)]
    return "\n".join(["cpu 9 9 9 9 9 9 9 9 9 9", *lines, "intr 1 2 3", "procs_running 4"])


def test_busy_cores_are_read_from_the_ticks_of_the_cores_that_may_be_used():
    before = stat((100, 0, 50, 1000, 10, 0, 0, 0, 0, 0), (7, 0, 0, 7, 0, 0, 0, 0, 0, 0), (1, 1, 1, 1, 1, 1, 1, 1, 1, 1))
    after = stat((103, 0, 52, 1005, 10, 0, 0, 0, 3, 0), (7, 5, 0, 7, 0, 0, 0, 0, 0, 0), (1, 1, 1, 9, 1, 1, 1, 1, 1, 1))
    assert busy_cores(before, after, {0}) == pytest.approx(0.5)  # guests, the ninth column, are part of the first
    assert busy_cores(before, after, {0, 1, 2}) == pytest.approx(1.5)
    assert busy_cores(before, before, {0, 1, 2}) == 0
    assert busy_cores("", "nothing of the kind", {0}) == 0


@pytest.fixture
def plain_environment(monkeypatch):
    """No variable of OpenMP, torch not yet imported, no limit or GPU, two cores that others use."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.setattr(threads, "_cores", lambda: 2)
    monkeypatch.setattr(threads, "_limit", lambda: None)
    monkeypatch.setattr(threads, "_on_gpu", lambda arguments: False)
    monkeypatch.setattr(threads, "_used_by_others", lambda: 2.0)
    environment = dict(os.environ)
    monkeypatch.setattr(os, "environ", environment)
    return environment


def test_the_note_holds_a_command_that_works_as_it_stands(plain_environment, monkeypatch, capsys):
    monkeypatch.setattr(threads, "_used_by_others", lambda: 1.9)
    arguments = ["train", "my photos/$data set", "--steps", "4"]
    mind_others(arguments, alone=True)
    printed = capsys.readouterr()
    assert printed.out == ""
    (line,) = printed.err.splitlines()
    assert "1.9 of 2 cores" in line
    assert shlex.split(line[line.index("OMP_NUM_THREADS=1") :]) == ["OMP_NUM_THREADS=1", "fewgan", *arguments]
    assert {name for name in VARIABLES if name in plain_environment} == set(threads.PATIENT)


@pytest.mark.parametrize(
    ("arguments", "alone", "sleeps"),
    [
        (["train", "--quiet"], True, True),
        (["train"], False, True),
        (["train", "--help"], True, False),
        (["plugins"], True, False),
        ([], True, False),
    ],
)
def test_nothing_is_said_to_who_does_not_want_it(plain_environment, capsys, arguments, alone, sleeps):
    mind_others(arguments, alone)
    assert capsys.readouterr().err == ""
    assert any(name in plain_environment for name in VARIABLES) is sleeps


def test_nothing_is_said_or_set_where_the_machine_is_idle(plain_environment, monkeypatch, capsys):
    monkeypatch.setattr(threads, "_used_by_others", lambda: 0.1)
    mind_others(["train"], alone=True)
    assert capsys.readouterr().err == ""
    assert not any(name in plain_environment for name in VARIABLES)


def test_looking_is_short_and_sees_no_more_than_there_is():
    started = time.monotonic()
    used = threads._used_by_others()
    assert threads.SECONDS <= 0.1
    assert time.monotonic() - started < 1  # 0.05 s, on a machine that has time
    assert 0 <= used <= threads._cores()


@pytest.mark.skipif(not os.path.exists("/proc/stat"), reason="needs /proc/stat")
def test_a_busy_process_is_seen():
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(threads._cores())]
    try:
        time.sleep(0.5)
        seen = max(threads._used_by_others() for _ in range(10))
    finally:
        for process in busy:
            process.kill()
            process.wait()
    assert seen >= 0.5


def test_torch_is_not_yet_imported_when_the_command_chooses():
    """In the process of a command, where the environment would come too late otherwise."""
    script = """
import os, sys
from fewgan.cli import commands, threads
threads._used_by_others = lambda: 64.0
threads._cores = lambda: 2
def run(arguments, speaks):
    assert "torch" not in sys.modules
    print(os.environ.get("GOMP_SPINCOUNT"), os.environ.get("OMP_NUM_THREADS"))
    return 0
commands.launch(run, ["train", "--device", "cpu"])
"""
    environment = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{threads.PATIENT['GOMP_SPINCOUNT']} None\n"
    assert "OMP_NUM_THREADS=1 fewgan train --device cpu" in done.stderr
