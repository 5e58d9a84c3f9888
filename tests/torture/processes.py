"""Commands of fewgan as forks of this process, which has imported torch once."""

import os
import random
import resource
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from fewgan.cli import commands

LOG = Path("log")  # what the last command printed


def start(arguments: list[str], largest_file: int | None = None) -> int:
    """Starts `fewgan ARGUMENTS` and returns its process id. largest_file: bytes beyond which writing fails."""
    sys.stdout.flush()
    child = os.fork()
    if child:
        return child
    code = 99
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        log = os.open(LOG, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        for number in (1, 2):
            os.dup2(log, number)
        if largest_file is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
        code = commands.run(arguments)
    finally:
        os._exit(code)


def wait(child: int, *allowed: int) -> int:
    """The exit code, 0 or an allowed one. Raises AssertionError for another and for an internal error."""
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    printed = LOG.read_text(encoding="utf-8", errors="replace") if LOG.exists() else ""
    assert code in (0, *allowed), f"exit code {code}: {printed}"
    assert "internal error" not in printed, printed
    assert "Traceback" not in printed, printed
    assert code == 0 or printed.count("Error:") == 1, f"exit code {code}: {printed}"
    return code


def run(arguments: list[str]) -> None:
    wait(start(arguments))


def ended(child: int) -> bool:
    """Whether it has come to its end; it can still be waited for."""
    return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def pause(child: int, chance: random.Random, longest: float, writing: Callable[[], bool]) -> bool:
    """Waits for a random moment: half of the time any, else one at which a file is being written. False: it ended."""
    at_any = chance.random() < 0.5
    until = time.monotonic() + chance.uniform(0, longest)
    while time.monotonic() < until and not ended(child):
        time.sleep(0.002)
    until = time.monotonic() + 2
    while not at_any and not writing() and time.monotonic() < until and not ended(child):
        pass
    return not ended(child)


def kill(child: int) -> None:
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
