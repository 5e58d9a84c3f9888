"""What the benchmarks share: turns in one run, medians with their spread, memory, the machine, Markdown."""

import ctypes
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

Seconds = dict[str, list[float]]


def in_turns(functions: Mapping[str, Callable[[], object]], rounds: int, warmup: int = 1) -> Seconds:
    """Seconds of every call, A B C A B C …, so that what else the machine does falls on all alike."""
    seconds: Seconds = {name: [] for name in functions}
    for number in range(warmup + rounds):
        for name, function in functions.items():
            started = time.perf_counter()
            function()
            if number >= warmup:
                seconds[name].append(time.perf_counter() - started)
    return seconds


class Side:
    """A process of its own that does one piece of work each time it is asked: what it sets and keeps is not shared.

    words: the command line after `python`. Its script calls `answer_turns`, or `wait` and `answer` itself.
    """

    def __init__(self, words: Sequence[object]) -> None:
        command = [sys.executable, *map(str, words)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def turn(self) -> tuple[float, int]:
        """The seconds of its next piece of work, and its highest resident size so far, in bytes."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write("\n")
            self._process.stdin.flush()
            seconds, size = self._process.stdout.readline().split()
        except (ValueError, OSError):
            raise SystemExit(f"{self._process.args}: ended with {self._process.wait()}") from None
        return float(seconds), int(size)

    def end(self) -> None:
        self._process.communicate()


def wait() -> None:
    """In the process of a side: until it is asked; the end of the questions ends the process."""
    if not sys.stdin.readline():
        sys.exit()


def answer(seconds: float, idle: int) -> None:
    """In the process of a side: the seconds of the work just done; idle: bytes that were in use before it."""
    print(seconds, resident("VmHWM") - idle, flush=True)


def answer_turns(function: Callable[[], object]) -> None:
    idle = start_high_water()
    while True:
        wait()
        started = time.perf_counter()
        function()
        answer(time.perf_counter() - started, idle)


def sides_in_turns(sides: Mapping[str, Sequence[object]], rounds: int, warmup: int) -> tuple[Seconds, dict[str, int]]:
    """Seconds of every counted piece of work, A B A B …, and the highest resident size of each side, above idle."""
    started = {name: Side(words) for name, words in sides.items()}
    answers = [{name: side.turn() for name, side in started.items()} for _ in range(warmup + rounds)]
    for side in started.values():
        side.end()
    seconds = {name: [turn[name][0] for turn in answers[warmup:]] for name in sides}
    return seconds, {name: answers[-1][name][1] for name in sides}


def ratios(over: Sequence[float], under: Sequence[float]) -> list[float]:
    """Turn by turn."""
    return [a / b for a, b in zip(over, under, strict=True)]


def spread(values: Sequence[float], digits: int = 3, unit: str = "") -> str:
    """Median (first to third quartile)."""
    middle = statistics.median(values)
    low, _, high = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else (middle,) * 3
    return f"{middle:.{digits}f}{unit} ({low:.{digits}f} to {high:.{digits}f})"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; the first column is text, the others numbers."""
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def machine(**facts: object) -> str:
    """One paragraph: date, processor, cores, load, versions, and what the script adds."""
    said = {
        "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "processor": processor(),
        "cores": os.cpu_count(),
        "load average at the start": f"{os.getloadavg()[0]:.2f}" if hasattr(os, "getloadavg") else "unknown",
        "system": f"{platform.system()} {platform.machine()}",
        "Python": platform.python_version(),
        **facts,
    }
    return "; ".join(f"{name} {value}" for name, value in said.items()) + "."


def torch_facts(precision: str = "fp32") -> dict[str, object]:
    import torch

    cuda = torch.cuda.get_device_name() if torch.cuda.is_available() else "none at hand"
    return {"torch": torch.__version__, "threads": torch.get_num_threads(), "precision": precision, "GPU": cuda}


def processor() -> str:
    """The model's name with family and model number, since some systems show the line of products alone."""
    try:
        lines = Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines()
    except OSError:
        return platform.processor() or "unknown"
    facts = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    numbers = f"family {facts.get('cpu family', '?')} model {facts.get('model', '?')}"
    return f"{facts.get('model name', 'unknown')} ({numbers})"


def start_high_water() -> int:
    """Gives freed memory back and forgets the highest resident size; returns the present one, bytes. Linux, else 0."""
    if sys.platform != "linux":
        return 0
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    return resident("VmRSS")


def resident(field: str, process: int | str = "self") -> int:
    """VmRSS (now) or VmHWM (the highest since the start) of a process, in bytes; 0 where it cannot be read."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(field + ":"))
