"""What metrics.jsonl holds over the steps, as columns that are short enough for a page."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from fewgan.commands.report.files import Folder, number, shown

POINTS = 800  # of one curve; more cannot be told apart on a screen
COLUMNS = 80
SIGNS = 50
LENGTH = 80  # letters of a name
LEFT_OUT = ("format", "step", "last", "signs")


@dataclass
class Series:
    """columns: name -> [steps, values], ascending, at most POINTS each. signs: (step, name) as they were told.

    step: the last one; images_seen: of it. seconds: of training, estimated from the lines.
    """

    columns: dict[str, list[list[float]]] = field(default_factory=dict)
    signs: list[tuple[int, str]] = field(default_factory=list)
    step: int = 0
    images_seen: int = 0
    seconds: float = 0.0

    def last(self, name: str) -> float | None:
        values = self.columns.get(name, [[], []])[1]
        return values[-1] if values else None


def read(folder: Folder) -> Series:
    found = Series()
    columns: dict[str, dict[int, float]] = {}
    for line in folder.lines("metrics.jsonl"):
        step = number(line.get("step"))
        if not isinstance(step, int) or step < 0:
            continue
        for name, value in _numbers(line):
            if name not in columns:
                if len(columns) >= COLUMNS:
                    folder.note(f"metrics.jsonl: more than {COLUMNS} values a line; the rest is left out")
                    continue
                columns[name] = {}
            columns[name][step] = value
        if isinstance(line.get("signs"), list) and len(found.signs) < SIGNS:
            found.signs += [(step, shown(name, LENGTH)) for name in line["signs"][:SIGNS] if isinstance(name, str)]
        found.step = max(found.step, step)
        found.images_seen = max(found.images_seen, int(number(line.get("images_seen")) or 0))
    found.seconds = _seconds(columns.get("seconds_per_step", {}))
    found.columns = {name: _thinned(sorted(points.items())) for name, points in columns.items()}
    found.signs = list(dict.fromkeys(found.signs))
    return found


def _numbers(line: dict[str, Any]) -> Iterator[tuple[str, float]]:
    """The finite numbers of a line by name; those in lists and objects by `name.key`."""
    waiting: list[tuple[str, Any, int]] = [
        (str(name), value, 0) for name, value in list(line.items())[:500] if name not in LEFT_OUT
    ]
    while waiting:
        name, value, depth = waiting.pop(0)
        if isinstance(value, dict | list) and depth < 2:
            inner = list(value.items() if isinstance(value, dict) else enumerate(value, 1))[:8]
            waiting += [(f"{name}.{key}", one, depth + 1) for key, one in inner]
        elif (found := number(value)) is not None:
            yield shown(name, LENGTH), found


def _seconds(points: dict[int, float]) -> float:
    """seconds_per_step is the mean since the line before."""
    total, before = 0.0, 0
    for step, value in sorted(points.items()):
        total += max(value, 0.0) * (step - before)
        before = step
    return total


def _thinned(points: list[tuple[int, float]]) -> list[list[float]]:
    """[steps, values]; of more than POINTS the lowest and the highest of each stretch, so that no peak is lost."""
    if len(points) > POINTS:
        length = math.ceil(2 * len(points) / POINTS)
        kept: dict[int, float] = {}
        for start in range(0, len(points), length):
            stretch = points[start : start + length]
            for point in (min(stretch, key=_value), max(stretch, key=_value)):
                kept[point[0]] = point[1]
        kept[points[-1][0]] = points[-1][1]
        points = sorted(kept.items())
    return [[step for step, _ in points], [float(f"{value:.6g}") for _, value in points]]


def _value(point: tuple[int, float]) -> float:
    return point[1]
