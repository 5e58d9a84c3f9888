"""What a person sees while a command works: notes and progress, on stderr. Results go to stdout, in cli.py."""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Advance = Callable[..., None]
"""advance(count=1, text=""): `count` more units are done; `text` replaces the words beside the bar."""


def duration(seconds: float) -> str:
    """Seconds as a person says them: 42 s, 3 min 20 s, 2 h 05 min."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def say(text: str) -> None:
    """One line on stderr. Where whoever watched has gone (a closed terminal or pipe) the work goes on unwatched."""
    try:
        print(text, file=sys.stderr, flush=True)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def command(*words: str) -> str:
    """A command line to print: quoted for the shell, so that it works as it stands."""
    return shlex.join(words)


class Screen:
    """Notes and progress of one command. quiet: warnings alone are shown."""

    def __init__(self, quiet: bool = False) -> None:
        self.quiet = quiet
        self._shown: set[str] = set()

    def note(self, text: str) -> None:
        """One line that helps to follow what happens."""
        if not self.quiet:
            say(text)

    def warn(self, text: str) -> None:
        """One line that the user should act on; the same one is shown once."""
        if text not in self._shown:
            self._shown.add(text)
            say(f"Warning: {text}")

    @contextmanager
    def progress(self, label: str, total: int, unit: str, every: float = 10.0) -> Iterator[Advance]:
        """Yields `advance`. A bar on a terminal, elsewhere a line each `every` seconds, with rate and time left."""
        if self.quiet:
            yield lambda count=1, text="": None
        elif sys.stderr.isatty():
            with _bar(label, total, unit) as advance:
                yield advance
        else:
            yield _lines(label, total, unit, every)


@contextmanager
def _bar(label: str, total: int, unit: str) -> Iterator[Advance]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"))
    with Progress(
        *columns, TimeRemainingColumn(), TextColumn("{task.fields[text]}"), console=Console(stderr=True)
    ) as bar:
        task = bar.add_task(label, total=total, rate="", text="")
        started, done = time.monotonic(), 0

        def advance(count: int = 1, text: str = "") -> None:
            nonlocal done
            done += count
            rate = done / max(time.monotonic() - started, 1e-9)
            shown = f"{rate:.3g} {unit}/s" if rate >= 0.1 else f"{1 / max(rate, 1e-9):.3g} s each"
            bar.update(task, advance=count, rate=shown, text=text or bar.tasks[task].fields["text"])

        yield advance


def _lines(label: str, total: int, unit: str, every: float) -> Advance:
    started = last = time.monotonic()
    done = 0

    def advance(count: int = 1, text: str = "") -> None:
        nonlocal done, last
        done += count
        now = time.monotonic()
        if now - last < every and done < total:
            return
        last = now
        rate = done / max(now - started, 1e-9)
        left = f", {duration((total - done) / rate)} left" if 0 < done < total else ""
        say(f"{label}: {done}/{total} {unit}, {rate:.3g}/s{left}{'  ' + text if text else ''}")

    return advance
