"""Decoding in several processes: how it ends when a worker dies or the user has enough."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from drawn import draw, smooth
from heeding import heed

from fewgan.photos import squares
from fewgan.photos.found import Photo
from fewgan.photos.prepare import prepare
from fewgan.plugin import FewganError
from fewgan.screen import Screen

QUIET = Screen(quiet=True)


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    return draw(tmp_path_factory.mktemp("drawn") / "photos", 24)


def die(*_, **__):
    os._exit(1)


def test_a_worker_that_dies_is_one_error(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(squares, "square", die)
    with pytest.raises(FewganError, match=r"worker process died.*000\.jpg"):
        prepare(photos, tmp_path / "out", size=32, workers=2, screen=QUIET)
    assert list(tmp_path.iterdir()) == []


SCRIPT = """
import sys
from pathlib import Path
from fewgan.photos.prepare import prepare
from fewgan.screen import Screen

if __name__ == "__main__":
    try:
        prepare(Path(sys.argv[1]), Path(sys.argv[2]), size=32, workers=2, screen=Screen())
    except KeyboardInterrupt:
        sys.exit(130)
"""


def test_no_more_processes_than_a_system_has_room_for(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(squares, "MOST_WORKERS", 2)
    made = prepare(photos, tmp_path / "out", size=32, workers=2**31 - 1, screen=QUIET)
    assert made.count > 0


def test_an_interrupt_leaves_nothing_and_no_tracebacks(tmp_path):
    source = draw(tmp_path / "photos", 1)
    smooth(2000, 2000).save(source / "large.bmp")
    for number in range(400):
        (source / f"{number}.bmp").hardlink_to(source / "large.bmp")
    (tmp_path / "script.py").write_text(SCRIPT)
    command = [sys.executable, tmp_path / "script.py", source, tmp_path / "out"]
    heeding = {"start_new_session": True, "preexec_fn": heed}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, **heeding) as process:
        while not any(tmp_path.glob(".fewgan-*/images.safetensors")):
            time.sleep(0.02)
        time.sleep(0.5)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the workers too
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert {path.name for path in tmp_path.iterdir()} == {"photos", "script.py"}


def test_few_photos_are_not_worth_processes(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert squares.workers_for([Photo("a", None, 20_000)] * 100) == 1
    assert squares.workers_for([Photo("a", None, 4_000_000)] * 100) > 4
    assert squares.workers_for([Photo("a", None, 20_000)] * 100_000) == 8
