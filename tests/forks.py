"""Python command lines in processes of their own, which start at once.

They are forked by a server that has imported torch, one for all tests of a worker; importing it takes seconds. Tests of
the start itself (what is imported, how threads wait, terminals, torchrun) use subprocess. On Windows and macOS, whose
libraries must not be forked, each process imports torch again.
"""

import multiprocessing
import os
import runpy
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from multiprocessing import forkserver
from pathlib import Path
from typing import Any
from unittest import mock

FORKS = sys.platform == "linux"
_CONTEXT: Any = multiprocessing.get_context("forkserver" if FORKS else "spawn")


@cache
def _start_server() -> None:
    """With this folder in its path: Python gives it sys.path, but below 3.13 imports before it sets that."""
    _CONTEXT.set_forkserver_preload(["preloaded"])
    path = [str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    with mock.patch.dict(os.environ, PYTHONPATH=os.pathsep.join(path)):
        forkserver.ensure_running()


class Job:
    """`python WORDS` that is running: what subprocess.Popen has, as far as tests need it.

    before: is called in the new process first. processes: ranks, which meet on loopback; torch's elastic agent, as
    behind torchrun, starts and watches them, and starts them again so often.
    """

    def __init__(
        self,
        words: Sequence[str],
        folder: Path | None = None,
        *,
        environment: Mapping[str, str] | None = None,
        before: Callable[[], object] | None = None,
        processes: int = 1,
        restarts: int = 0,
    ) -> None:
        pipes = [_CONTEXT.Pipe(duplex=False) for _ in range(2)]
        environment = dict(os.environ if environment is None else environment)
        ends = [end for _, end in pipes]
        if FORKS:
            _start_server()
        arguments = ([*map(str, words)], str(folder or Path.cwd()), environment, before, processes, restarts, *ends)
        self._process = _CONTEXT.Process(target=_begin, args=arguments)
        self._process.start()
        for end in ends:
            end.close()
        self.stdout, self.stderr = (os.fdopen(os.dup(start.fileno()), encoding="utf-8") for start, _ in pipes)
        for start, _ in pipes:
            start.close()
        self.pid: int = self._process.pid

    def __enter__(self) -> "Job":
        return self

    def __exit__(self, *_: object) -> None:
        self.stdout.close()
        self.stderr.close()
        self._process.join()

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode  # type: ignore[no-any-return]

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float = 240) -> int:
        self._process.join(timeout)
        if self.returncode is None:
            self._process.kill()
            raise TimeoutError(f"still running after {timeout} s")
        return self.returncode

    def send_signal(self, signum: int) -> None:
        os.kill(self.pid, signum)

    def communicate(self, timeout: float = 240) -> tuple[str, str]:
        """What is left of stdout and of stderr, at the end."""
        texts, until = [bytearray(), bytearray()], time.monotonic() + timeout
        files = {stream.fileno(): text for stream, text in zip((self.stdout, self.stderr), texts, strict=True)}
        while files:
            ready = select.select([*files], [], [], max(0, until - time.monotonic()))[0]
            if not ready:
                self._process.kill()
                raise TimeoutError(f"still running after {timeout} s: {b''.join(texts)[-2000:].decode()}")
            for number in ready:
                read = os.read(number, 1 << 16)
                files[number].extend(read)
                if not read:
                    del files[number]
        self.wait()
        return texts[0].decode(), texts[1].decode()


def run(words: Sequence[str], folder: Path | None = None, **more: Any) -> subprocess.CompletedProcess[str]:
    """`python WORDS` in a folder, to its end. more: of Job."""
    with Job(words, folder, **more) as job:
        stdout, stderr = job.communicate()
        assert job.returncode is not None
        return subprocess.CompletedProcess([*words], job.returncode, stdout, stderr)


def _begin(  # noqa: PLR0917
    words: list[str],
    folder: str,
    environment: dict[str, str],
    before: Callable[[], object] | None,
    processes: int,
    restarts: int,
    stdout: Any,
    stderr: Any,
) -> None:
    if FORKS:
        assert "preloaded" in sys.modules, "the server has imported nothing"
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for number, stream in enumerate((stdout, stderr), 1):
        os.dup2(stream.fileno(), number)
        stream.close()
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", closefd=False, buffering=1)  # noqa: SIM115
    if processes == 1:
        sys.exit(_run(words, before))
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    meeting = {"rdzv_backend": "c10d", "rdzv_endpoint": "127.0.0.1:0", "local_addr": "127.0.0.1"}
    meeting |= {"start_method": "fork" if FORKS else "spawn", "run_id": "forks"}
    config = LaunchConfig(1, 1, processes, max_restarts=restarts, monitor_interval=0.1, **meeting)
    elastic_launch(config, _run)(words)


def _as_at_a_start() -> None:
    """Signals as Python has them at its start, whatever was inherited from a test run in the background."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_DFL)


def _run(words: list[str], before: Callable[[], object] | None = None) -> int:
    """The exit code 0; another one leaves by SystemExit."""
    _as_at_a_start()
    if before:
        before()
    kind, *arguments = words
    leave = os._exit
    if "RANK" in os.environ:
        os._exit = sys.exit  # a rank that leaves at once would not tell the agent that it is done
    try:
        if kind == "-c":
            sys.argv, sys.path[:0] = ["-c", *arguments[1:]], [os.getcwd()]
            exec(compile(arguments[0], "<string>", "exec"), {"__name__": "__main__"})
        elif kind == "-m":
            sys.argv, sys.path[:0] = arguments, [os.getcwd()]
            runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
        else:
            sys.argv, sys.path[:0] = words, [str(Path(kind).resolve().parent)]
            runpy.run_path(kind, run_name="__main__")
    except SystemExit as error:
        if error.code not in (0, None):
            raise
    finally:
        sys.stdout.flush()
        os._exit = leave
    return 0
