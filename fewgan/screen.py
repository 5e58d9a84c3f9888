"""What a command prints: results on stdout; notes, warnings, progress and errors on stderr.

All of it goes through `_write`: control characters are shown and never sent, whatever a file's name holds; the encoding
of the terminal, a stream that is closed and a reader that has gone never end a command.
"""

from __future__ import annotations

import codecs
import errno
import os
import shlex
import sys
import time
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, redirect_stdout, suppress
from typing import IO, Any, TextIO, cast

from fewgan.errors import FewganError

Advance = Callable[..., None]
"""advance(count=1, text=""): `count` more units are done; `text` replaces the words beside the bar."""

_PLAIN = {"…": "...", "–": "-", "—": "-", "×": "x", "·": "-", "≤": "<=", "≥": ">=", "→": "->", "’": "'"}
_FALLBACK = "fewgan.screen"  # the name of an error handler for encoding, see _replace


def safe(text: str) -> str:
    r"""text on one line: control characters, line breaks and bytes that are no text are shown, as `\x1b` is."""
    if text.isprintable():
        return text
    return "".join(
        letter
        if letter.isprintable() or unicodedata.category(letter) == "Zs"  # the spaces of all scripts
        else letter.encode("unicode_escape").decode()
        for letter in text
    )


def one_line(text: str) -> str:
    """text of several lines, such as an error of another library, as one that is safe to print."""
    return safe(" ".join(part.strip() for part in text.splitlines() if part.strip()))


def command(*words: str) -> str:
    """A command line to print: quoted for the shell, so that it works as it stands."""
    return " ".join(map(_quoted, words))


def counted(count: int, noun: str) -> str:
    """1 photo, 20 photos, 1,200 photos; for nouns with a regular plural."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def duration(seconds: float) -> str:
    """Seconds as a person says them: 42 s, 3 min 20 s, 2 h 05 min."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def size_text(count: int) -> str:
    """Bytes as a person says them."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{max(count / 1e6, 0.1):.1f} MB"


def say(text: str) -> None:
    """Lines on stderr. The work goes on where nobody can read them: a closed stream or terminal, a full disk."""
    _write(sys.stderr, _lines_of(text))


def error(text: str) -> None:
    """The one line that says why a command fails, on stderr."""
    label = "Error:"
    if is_terminal(sys.stderr) and os.name != "nt" and not os.environ.get("NO_COLOR"):
        label = f"\x1b[1;31m{label}\x1b[0m"
    _write(sys.stderr, f"{label} {one_line(text)}\n")


def output(text: str) -> None:
    """Lines on stdout: the result of a command. Raises FewganError where they are lost, as on a full disk.

    A stdout that is closed, or whose reader has gone, wants no result.
    """
    problem = _write(sys.stdout, _lines_of(text))
    if problem is not None and problem.errno not in (errno.EPIPE, errno.EBADF, errno.EIO, None):
        raise FewganError(f"the result cannot be written to stdout: {problem.strerror}")


def others_aside(needed: bool = True) -> AbstractContextManager[Any]:
    """Meanwhile what plugins and libraries print goes to stderr, if needed: stdout is for a result that is parsed."""
    return redirect_stdout(sys.stderr) if needed else nullcontext()


def open_streams() -> None:
    """Makes the streams of a process safe to use, first thing, for code that knows nothing of this file too.

    Closed ones (cron, `>&-`) are opened on nothing, or the next file that is opened would get their number, and with it
    whatever a library prints. What an encoding lacks is written in other characters.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # has the lowest free number, which is this one
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w" if number else "r", encoding="utf-8"))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=_FALLBACK)


def flush() -> None:
    """Writes what the streams hold back; for the end of a process, which must not fail any more."""
    for stream in (sys.stdout, sys.stderr):
        _write(stream, "")


def is_terminal(stream: TextIO | None) -> bool:
    try:
        return stream is not None and stream.isatty()
    except (OSError, ValueError):  # closed
        return False


class Screen:
    """Notes and progress of one command. quiet: warnings alone are shown."""

    def __init__(self, quiet: bool = False) -> None:
        self.quiet = quiet
        self._shown: set[str] = set()

    def note(self, text: str) -> None:
        """One line that helps to follow what happens."""
        if not self.quiet:
            say(one_line(text))

    def warn(self, text: str) -> None:
        """One line that the user should act on; the same one is shown once."""
        if text not in self._shown:
            self._shown.add(text)
            say(one_line(f"Warning: {text}"))

    @contextmanager
    def progress(self, label: str, total: int, unit: str, every: float = 10.0) -> Iterator[Advance]:
        """Yields `advance`. A bar on a terminal, elsewhere a line each `every` seconds, with rate and time left."""
        if self.quiet:
            yield lambda count=1, text="": None
        elif is_terminal(sys.stderr):
            with _bar(label, total, unit) as advance:
                yield advance
        else:
            yield _lines(label, total, unit, every)


def _lines_of(text: str) -> str:
    return "".join(f"{safe(line)}\n" for line in text.split("\n"))


def _write(stream: TextIO | None, text: str) -> OSError | None:
    """Writes and flushes; None, or why the stream cannot be written to. From then on it leads nowhere."""
    if stream is None:
        return None
    try:
        encoding = getattr(stream, "encoding", None) or "utf-8"
        stream.write(text.encode(encoding, _FALLBACK).decode(encoding))
        stream.flush()
    except ValueError:  # closed
        return None
    except BlockingIOError:  # a slow terminal; the text waits in the buffer
        return None
    except OSError as problem:
        with suppress(OSError, ValueError):  # what is still in its buffer must not fail again when the process ends
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        return problem
    return None


def _replace(problem: UnicodeError) -> tuple[str, int]:
    r"""Error handler for encoding: characters that an encoding lacks, as plain ones or as `\xe9`."""
    if not isinstance(problem, UnicodeEncodeError):
        raise problem
    letters = problem.object[problem.start : problem.end]
    return "".join(_PLAIN.get(one, one.encode("unicode_escape").decode()) for one in letters), problem.end


codecs.register_error(_FALLBACK, _replace)


def _quoted(word: str) -> str:
    encoding = getattr(sys.stderr, "encoding", None) or "utf-8"
    if safe(word) == word == word.encode(encoding, "replace").decode(encoding):
        return shlex.quote(word)
    # $'…' of bash and zsh: the bytes of what cannot be shown as itself.
    escaped = ""
    for letter in word:
        if letter.isascii() and letter.isprintable() and letter not in "\\'":
            escaped += letter
        else:
            lenient = "surrogateescape" if "\udc80" <= letter <= "\udcff" else "surrogatepass"
            escaped += "".join(f"\\x{byte:02x}" for byte in letter.encode("utf-8", lenient))
    return f"$'{escaped}'"


class _Terminal:
    """stderr as rich writes to it: escapes pass, and nothing fails."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream  # rich puts a proxy into sys.stderr, which would lead back here

    def write(self, text: str) -> int:
        _write(self._stream, text)
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def _bar(label: str, total: int, unit: str) -> Iterator[Advance]:
    """A bar with the number done, the rate and the time left; below it, in one place, the text beside it."""
    from rich.console import Console, RenderableType
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
    from rich.text import Text

    class Bar(Progress):
        def get_renderables(self) -> Iterator[RenderableType]:
            yield self.make_tasks_table(self.tasks)
            for task in self.tasks:
                if task.fields["text"]:
                    yield Text(task.fields["text"], no_wrap=True, overflow="ellipsis")

    words, speed = (TextColumn(f"{{task.{field}}}", markup=False) for field in ("description", "fields[rate]"))
    columns = (words, BarColumn(18), MofNCompleteColumn(), speed, TimeRemainingColumn())
    console = Console(file=cast(IO[str], _Terminal(sys.stderr)))
    with Bar(*columns, console=console) as bar:
        task = bar.add_task(safe(label), total=total, rate="", text="")
        started, done = time.monotonic(), 0

        def advance(count: int = 1, text: str = "") -> None:
            nonlocal done
            done += count
            rate = done / max(time.monotonic() - started, 1e-9)
            shown = f"{_plain(rate)} {unit}/s" if rate >= 0.1 else f"{1 / max(rate, 1e-9):.3g} s each"
            bar.update(task, advance=count, rate=shown, text=safe(text) or bar.tasks[task].fields["text"])

        yield advance


def _plain(rate: float) -> str:
    """Three digits, without an exponent."""
    return f"{rate:.3g}" if rate < 1000 else f"{rate:,.0f}"


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
        say(f"{label}: {done}/{total} {unit}, {_plain(rate)}/s{left}{'  ' + text if text else ''}")

    return advance
