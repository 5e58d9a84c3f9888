"""The files of a run, read with care: a folder may be damaged, of another version, or made by a stranger.

Nothing here raises for what a file holds. What cannot be shown is passed over, and `Folder.notes` says so.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

NAME = re.compile(r"(\d{5,})-")
LARGEST_JSON = 8 << 20  # bytes
LONGEST_LINE = 1 << 16  # bytes, of metrics.jsonl
READ = 12 << 20  # bytes of metrics.jsonl that are parsed; of a longer file every nth line
LINES = 40_000  # that are parsed, about; twice as many at most
NOTES = 20
LARGEST = 1e30  # a float; nan and infinities are not below it
TEXT = 2000  # letters of a text that are shown


@dataclass
class Folder:
    """A run's folder. notes: what was passed over, a line each."""

    path: Path
    notes: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        if len(self.notes) < NOTES and text not in self.notes:
            self.notes.append(text)

    def file(self, name: str) -> Path | None:
        """A regular file of the run. None where there is none, or where a link leads out of the run's folder."""
        path = self.path / name
        try:
            if not path.is_file():
                if os.path.lexists(path):
                    self.note(f"{name}: not a regular file")
                return None
            if not path.resolve().is_relative_to(self.path.resolve()):
                self.note(f"{name}: a link that leads out of the run; left out")
                return None
        except (OSError, ValueError, RuntimeError):
            self.note(f"{name}: cannot be read")
            return None
        return path

    def names(self, folder: str, most: int = 10_000) -> list[str]:
        """The names in a subfolder, sorted; none where it is a link."""
        place = self.path / folder
        found: list[str] = []
        try:
            if place.is_symlink():
                self.note(f"{folder}: a link; left out")
                return []
            with os.scandir(place) as entries:
                for entry in entries:
                    if len(found) >= most:
                        self.note(f"{folder}: more than {most:,} files; the rest is left out")
                        break
                    found.append(entry.name)
        except OSError:
            return []
        return sorted(found)

    def json(self, name: str) -> Any:
        """The content of a JSON file, made safe (see `plain`); None where it is missing or damaged."""
        path = self.file(name)
        if path is None:
            return None
        try:
            if path.stat().st_size > LARGEST_JSON:
                self.note(f"{name}: larger than {LARGEST_JSON >> 20} MB; left out")
                return None
            return plain(json.loads(path.read_text(encoding="utf-8", errors="replace")))
        except (OSError, ValueError, RecursionError):
            self.note(f"{name}: damaged; left out")
            return None

    def lines(self, name: str) -> Iterator[dict[str, Any]]:
        """The JSON objects of a file with one a line; of a long file every nth, evenly."""
        path = self.file(name)
        if path is None:
            return
        damaged = parsed = 0
        try:
            with open(path, "rb") as file:
                size, start = path.stat().st_size, file.read(1 << 20)
                lines = size / max(len(start), 1) * start.count(b"\n")  # about
                every = max(1, math.ceil(size / READ), math.ceil(lines / LINES))
                if every > 1:
                    self.note(f"{name}: long; one of {every} lines is shown")
                file.seek(0)
                for line in _thinned(_short_lines(file), every):
                    parsed += 1
                    if parsed > 2 * LINES:
                        self.note(f"{name}: too long; the rest is left out")
                        break
                    content = _parsed(line)
                    if content is None:
                        # A line without an end is just being written, by a run that is being trained.
                        damaged += bool(line.strip()) and (line.endswith(b"\n") or len(line) == LONGEST_LINE)
                        continue
                    yield content
        except OSError:
            self.note(f"{name}: cannot be read")
        if damaged:
            self.note(f"{name}: {damaged:,} damaged line{'s' * (damaged > 1)} left out")


def _short_lines(file: Any) -> Iterator[bytes]:
    """Lines of a file; one that is too long comes cut off, and so counts as damaged. At most 64 times READ bytes."""
    left = 64 * READ
    while left > 0 and (line := file.readline(LONGEST_LINE)):
        left -= len(line)
        yield line
        while not line.endswith(b"\n") and left > 0 and (line := file.readline(LONGEST_LINE)):
            left -= len(line)


def _thinned(lines: Iterator[bytes], every: int) -> Iterator[bytes]:
    """Every nth line, the last one, and those that tell a sign."""
    skipped = b""
    for index, line in enumerate(lines):
        if index % every and b'"signs"' not in line:
            skipped = line
        else:
            skipped = b""
            yield line
    if skipped:
        yield skipped


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        content = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def plain(value: Any, depth: int = 0) -> Any:
    """JSON's value with what cannot be shown made None: numbers that are not finite or too long, deep nesting."""
    if depth > 12:
        return None
    if isinstance(value, dict):
        return {shown(str(key)): plain(item, depth + 1) for key, item in list(value.items())[:500]}
    if isinstance(value, list):
        return [plain(item, depth + 1) for item in value[:5000]]
    if isinstance(value, str):
        return shown(value)
    if isinstance(value, bool) or value is None:
        return value
    return number(value)


def number(value: Any) -> int | float | None:
    """A number that JavaScript can hold and a chart can show, else None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if abs(value) < (2**53 if isinstance(value, int) else LARGEST) else None


def shown(text: str, most: int = TEXT) -> str:
    """text with control characters and halves of surrogates replaced, cut to `most` letters.

    Characters that turn the direction of writing are among them: they could show a command as another one.
    """
    kept = "".join(letter if letter.isprintable() or letter in "\n\t " else "\ufffd" for letter in text[: most + 1])
    return kept if len(kept) <= most else kept[:most] + "…"


def latest(place: Path) -> Path | None:
    """The run folder with the highest number in a folder of runs."""
    found = []
    try:
        for path in place.iterdir():
            match = NAME.match(path.name)
            if match and path.is_dir() and (path / "config.json").exists():
                found.append((int(match[1]), path))
    except OSError:
        return None
    return max(found)[1] if found else None
