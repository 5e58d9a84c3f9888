"""Everything printed: safe, on any terminal, whoever reads it."""

import errno
import io
import os
import shlex
import subprocess
import sys
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from process import subprocess_of

from fewgan import screen
from fewgan.errors import FewganError

NASTY = "a\x1b]0;pwned\x07\x1b[2J\r\x9b1m\udcff\u202e b"


def test_what_is_shown_of_a_name():
    assert screen.safe("Ünïcode 写真\u3000.png") == "Ünïcode 写真\u3000.png"
    assert screen.safe("a\nb\x1b[31m\udcff é") == "a\\nb\\x1b[31m\\udcff é"
    assert screen.safe(NASTY).isprintable()
    assert screen.one_line(" two\n\n  lines  apart\n") == "two lines  apart"


@given(st.text())
def test_safe_text_stays(text):
    assert screen.safe(screen.safe(text)) == screen.safe(text)
    assert "\x1b" not in screen.one_line(text)
    assert len(screen.one_line(text).splitlines()) <= 1


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "ascii", "cp1252", "shift-jis"])
def test_every_way_out_is_safe_in_every_encoding(monkeypatch, encoding):
    streams = {name: io.TextIOWrapper(io.BytesIO(), encoding=encoding) for name in ("stdout", "stderr")}
    for name, stream in streams.items():
        monkeypatch.setattr(sys, name, stream)
    shown = screen.Screen()
    for way in (screen.output, screen.say, screen.error, shown.note, shown.warn):
        way(f"{NASTY} é … 写真")
    with shown.progress(NASTY, 1, "写真") as advance:
        advance(1, NASTY)
    out = {name: stream.buffer.getvalue().decode(encoding) for name, stream in streams.items()}
    assert (out["stdout"].count("\n"), out["stderr"].count("\n")) == (1, 5)
    for text in out.values():
        assert text.replace("\n", "").isprintable() or "\u3000" in text
        assert "\\x1b]0;pwned\\x07" in text
    if encoding == "ascii":
        assert out["stdout"].endswith(" \\xe9 ... \\u5199\\u771f\n")


@settings(deadline=None, max_examples=50)
@given(st.lists(st.text(st.characters(exclude_characters="\0"), min_size=1), min_size=1, max_size=3))
def test_a_command_works_as_it_stands(words):
    """A shell reads it back as the same bytes."""
    line = screen.command("printf", "%s\\0", *words)
    assert all(letter.isprintable() or unicodedata.category(letter) == "Zs" for letter in line)
    done = subprocess.run(["bash", "-c", line], capture_output=True, check=True)
    lenient = [
        word.encode("utf-8", "surrogatepass") for word in words if not any("\udc80" <= c <= "\udcff" for c in word)
    ]
    if len(lenient) == len(words):
        assert done.stdout.split(b"\0")[:-1] == lenient


def test_one_is_no_plural():
    assert [screen.counted(count, "photo") for count in (0, 1, 1200)] == ["0 photos", "1 photo", "1,200 photos"]


def test_commands_that_need_no_quotes_have_none():
    assert screen.command("fewgan", "train", "My Drive/it's", "写真") == "fewgan train 'My Drive/it'\"'\"'s' '写真'"
    assert screen.command("a", "\udcff\n'") == "a $'\\xff\\x0a\\x27'"
    assert shlex.split(screen.command("a", "b c")) == ["a", "b c"]


class Failing(io.StringIO):
    def __init__(self, number):
        super().__init__()
        self.number = number

    def write(self, text):
        raise OSError(self.number, os.strerror(self.number))


@pytest.mark.parametrize("stream", [None, Failing(errno.EPIPE), Failing(errno.ENOSPC), Failing(errno.EIO)])
def test_the_work_goes_on_where_nobody_can_read(monkeypatch, stream):
    monkeypatch.setattr(sys, "stderr", stream)
    shown = screen.Screen()
    shown.note("a")
    shown.warn("b")
    screen.error("c")
    with shown.progress("d", 1, "steps") as advance:
        advance()
    monkeypatch.setattr(sys, "stdout", stream)
    if getattr(stream, "number", None) == errno.ENOSPC:
        with pytest.raises(FewganError, match="the result cannot be written to stdout: No space left on device"):
            screen.output("lost")
    else:
        screen.output("lost")
    screen.flush()


def test_closed_streams(monkeypatch):
    for name in ("stdout", "stderr"):
        closed = io.StringIO()
        closed.close()
        monkeypatch.setattr(sys, name, closed)
    screen.output("a")
    screen.say("b")
    with screen.Screen().progress("c", 1, "steps") as advance:
        advance()
    screen.flush()


def shell(line: str) -> subprocess.CompletedProcess:
    command = line.replace("fewgan", f"'{sys.executable}' -m fewgan", 1)
    return subprocess.run(["bash", "-c", command], capture_output=True, text=True)


@pytest.mark.parametrize(
    ("line", "code", "error"),
    [
        ("fewgan plugins >&-", 0, ""),
        ("fewgan plugins <&- >&- 2>&-", 0, ""),
        ("fewgan --help >&-", 0, ""),
        ("fewgan plugins --json | head -1; exit ${PIPESTATUS[0]}", 0, ""),
        ("fewgan plugins >/dev/full", 1, "Error: the result cannot be written to stdout: No space left on device\n"),
        ("fewgan plugins 2>/dev/full", 0, ""),
        ("fewgan trian 2>/dev/full", 2, ""),
        ("fewgan trian 2>&-", 2, ""),
    ],
)
def test_streams_of_a_process(line, code, error):
    done = shell(line)
    assert (done.returncode, done.stderr) == (code, error)


def test_a_stream_that_is_closed_leaves_its_number_to_no_other_file():
    code = (
        "import os, sys\nfrom fewgan.screen import open_streams\nopen_streams()\n"
        "file = open(sys.argv[1], 'w')\nos.write(2, b'noise of a library')\nsys.exit(file.fileno() < 3)"
    )
    command = f"'{sys.executable}' -c \"{code}\" notes 2>&- <&-"
    assert subprocess.run(["bash", "-c", command], check=False).returncode == 0
    assert os.path.getsize("notes") == 0


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
@pytest.mark.parametrize(
    "line", ["train --help", "fid --help", "plugins", "train --transfer ünknown", "prepare 写真\x1b[2J"]
)
def test_terminals_of_other_encodings(encoding, line):
    done = subprocess_of(*line.split(), encoding=encoding, PYTHONIOENCODING=encoding)
    assert "internal error" not in done.stderr
    assert "Traceback" not in done.stderr
    assert "\x1b" not in done.stderr
    assert bool(done.stdout) != bool(done.stderr)


def test_a_bar_on_a_terminal(tmp_path):
    """A real terminal: the bar moves, and what a line beside it holds is shown and not sent."""
    pty = pytest.importorskip("pty")
    code = (
        "import sys\nfrom fewgan.screen import Screen, open_streams\nopen_streams()\nshown = Screen()\n"
        "with shown.progress('train [x]', 3, 'steps') as advance:\n"
        "    shown.note('beside \\x1b]0;pwned\\x07')\n"
        "    for _ in range(3): advance(1, 'loss \\x1b]0;pwned\\x07')\n"
    )
    main, other = pty.openpty()
    process = subprocess.Popen([sys.executable, "-c", code], stderr=other, env={**os.environ, "TERM": "xterm"})
    os.close(other)
    seen = b""
    while True:
        try:
            part = os.read(main, 4096)
        except OSError:  # the other side is closed
            break
        if not part:
            break
        seen += part
    os.close(main)
    assert process.wait() == 0
    assert b"train [x]" in seen
    assert b"3/3" in seen
    assert b"\x1b]0;" not in seen
    assert seen.count(b"beside \\x1b]0;pwned\\x07") == 1
