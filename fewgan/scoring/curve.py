"""Line charts: scores over truncation or steps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from fewgan.errors import UsageError
from fewgan.scoring.figures import COLOURS, FAINT, GREY, INK, drawn, figure, label

WIDTH, HEIGHT = 9.6, 4.8  # of one panel, inches
DPI = 200


@dataclass(frozen=True)
class Line:
    """points: (x, y), in the order of drawing; those that are not finite are left out. best: the point to mark."""

    label: str
    points: Sequence[tuple[float, float]]
    best: int | None = None


@dataclass(frozen=True)
class Panel:
    """One pair of axes. label: what y is. limits: of y, None for those of the data. note: words beside the best."""

    label: str
    lines: Sequence[Line]
    limits: tuple[float, float] | None = None
    note: str = "best"


def draw(panels: Sequence[Panel], *, title: str, x_label: str) -> Image.Image:
    """The panels one below the other over the same x axis, RGB. Raises UsageError where there is no finite point."""
    if not any(_finite(line.points) for panel in panels for line in panel.lines):
        raise UsageError(f"{title}: no finite value to draw")
    made = figure(WIDTH, HEIGHT * len(panels) + 0.3, DPI)
    made.subplots_adjust(
        left=0.09, right=0.97, bottom=0.7 / made.get_figheight(), top=1 - 0.95 / made.get_figheight(), hspace=0.36
    )
    made.text(0.09, 1 - 0.3 / made.get_figheight(), label(title, 74), fontsize=13, color=INK, va="center")
    several: Any = made.subplots(len(panels), 1, sharex=True, squeeze=False)
    for axes, panel in zip(several[:, 0], panels, strict=True):
        _panel(axes, panel, x_label)
    return drawn(made)


def _panel(axes: Any, panel: Panel, x_label: str) -> None:
    lines = list(zip(panel.lines, COLOURS * len(panel.lines), strict=False))
    for line, colour in lines:
        points = _finite(line.points)
        xs, ys = [x for x, _ in points], [y for _, y in points]
        axes.plot(
            xs, ys, color=colour, linewidth=2, marker="o", markersize=6.5, markeredgecolor="white",
            label=label(line.label, 24), clip_on=False, zorder=3,
        )  # fmt: skip
    _limits(axes, panel)
    for line, colour in lines:
        if line.best is not None and all(map(math.isfinite, line.points[line.best])):
            _mark(axes, line.points[line.best], colour, panel.note)
    axes.set_title(label(panel.label, 56), loc="left", fontsize=12, color=INK, pad=10)
    axes.set_xlabel(label(x_label, 60), fontsize=12, color=INK, labelpad=8)
    axes.grid(axis="y", color=FAINT)
    axes.set_axisbelow(True)
    axes.tick_params(axis="both", labelsize=10, labelcolor=GREY, color=GREY, labelbottom=True)
    axes.tick_params(axis="y", length=0)
    axes.spines[["left", "right", "top"]].set_visible(False)
    axes.spines["bottom"].set_color(GREY)
    if len(lines) > 1:
        columns = len(lines) if len(lines) < 5 else -(-len(lines) // 2)  # in two rows there is room for the title
        axes.legend(
            loc="lower right", bbox_to_anchor=(1, 1), ncols=columns, frameon=False, fontsize=10, borderaxespad=0.3
        )


def _limits(axes: Any, panel: Panel) -> None:
    if panel.limits:
        axes.set_ylim(*panel.limits)
        return
    values = [y for line in panel.lines for _, y in _finite(line.points)]
    low, high = min(values, default=0.0), max(values, default=1.0)
    if low == high:  # a flat line is drawn over the way from zero
        low, high = min(low, 0.0), max(high, 0.0)
    high = high if high > low else 1.0  # of nothing but zeros
    room = 0.08 * (high - low)
    # Zero belongs on the axis where it is near, so that heights can be compared.
    bottom = 0.0 if 0 <= low < 0.6 * (high - low) else low - 2 * room
    axes.set_ylim(max(bottom, 0.0) if low >= 0 else bottom, high + room)


def _mark(axes: Any, place: tuple[float, float], colour: str, note: str) -> None:
    axes.plot(*place, marker="o", markersize=13, color="white", markeredgecolor=colour, markeredgewidth=2, zorder=4)
    axes.plot(*place, marker="o", markersize=6.5, color=colour, markeredgecolor=colour, zorder=5)
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    # Below the point unless it lies low, and inside the axes at both ends.
    across, up = ((place[0] - left) / (right - left), (place[1] - bottom) / (top - bottom))
    side = "left" if across < 0.2 else "right" if across > 0.8 else "center"
    box = {"facecolor": "white", "edgecolor": "none", "pad": 2}
    axes.annotate(
        label(note, 60), place, xytext=(0, -17 if up > 0.15 else 17), textcoords="offset points", fontsize=10,
        color=colour, ha=side, va="center", bbox=box, zorder=6, annotation_clip=False,
    )  # fmt: skip


def _finite(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    return [point for point in points if all(map(math.isfinite, point))]
