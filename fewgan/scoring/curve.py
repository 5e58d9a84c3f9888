"""Line charts as pictures, with nothing but Pillow."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from fewgan.errors import UsageError

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00")  # Okabe and Ito's, told apart by everyone
INK, GREY, FAINT = "#222222", "#6b6b6b", "#e4e4e4"
WIDTH, HEIGHT = 960, 500  # of one panel; the picture has twice as many pixels
TEXT, SMALL, HEAD = 17, 15, 22
LEFT, RIGHT, TOP, BOTTOM = 86, 36, 60, 62
SHARP = 2  # pixels to a unit of the above
SMOOTH = 2  # drawn so much larger and reduced


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
    points = [point for panel in panels for line in panel.lines for point in _finite(line.points)]
    if not points:
        raise UsageError(f"{title}: no finite value to draw")
    head = 46
    height = head + HEIGHT * len(panels)
    scale = SHARP * SMOOTH
    image = Image.new("RGB", (WIDTH * scale, height * scale), "white")
    pen = _Pen(ImageDraw.Draw(image), scale)
    while pen.width(title, HEAD) > WIDTH - LEFT - RIGHT:
        title = title.removesuffix("...")[:-1] + "..."
    pen.text((LEFT, 34), title, HEAD)
    across = _Axis.over([x for x, _ in points], LEFT + 12, WIDTH - RIGHT - 12)
    for index, panel in enumerate(panels):
        _panel(pen, panel, across, head + index * HEIGHT, x_label)
    return image.resize((WIDTH * SHARP, height * SHARP), Image.Resampling.LANCZOS)


def ticks(low: float, high: float, about: int = 6) -> list[float]:
    """Round numbers from low to high, near `about` of them, 1, 2 or 5 times a power of ten apart."""
    if not high > low:
        return [low]
    rough = (high - low) / max(about, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = min((factor * power for factor in (1, 2, 5, 10)), key=lambda step: abs(math.log(step / rough)))
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]


def plain(text: str) -> str:
    """Text in the letters that Pillow's own font has: accents go, other signs become a question mark."""
    letters = (letter for letter in unicodedata.normalize("NFKD", text) if not unicodedata.combining(letter))
    return "".join(letters).encode("ascii", "replace").decode()


@dataclass(frozen=True)
class _Axis:
    """Values low … high at the places start … end."""

    low: float
    high: float
    start: float
    end: float

    @classmethod
    def over(cls, values: Sequence[float], start: float, end: float) -> _Axis:
        low, high = min(values), max(values)
        if low == high:
            low, high = low - (abs(low) or 1) / 2, high + (abs(high) or 1) / 2
        return cls(low, high, start, end)

    def at(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


class _Pen:
    """Draws in units of the chart, not of its pixels."""

    def __init__(self, draw: ImageDraw.ImageDraw, scale: int) -> None:
        self._draw, self._scale = draw, scale

    def line(self, points: Sequence[tuple[float, float]], colour: str, width: float) -> None:
        places = [(x * self._scale, y * self._scale) for x, y in points]
        self._draw.line(places, fill=colour, width=round(width * self._scale), joint="curve")

    def dot(self, place: tuple[float, float], radius: float, *, fill: str, edge: str, width: float = 0) -> None:
        x, y = place
        box = [value * self._scale for value in (x - radius, y - radius, x + radius, y + radius)]
        self._draw.ellipse(box, fill=fill, outline=edge, width=round(width * self._scale))

    def box(self, left: float, top: float, right: float, bottom: float) -> None:
        self._draw.rectangle([value * self._scale for value in (left, top, right, bottom)], fill="white")

    def width(self, text: str, size: int) -> float:
        return float(self._draw.textlength(plain(text), self._font(size))) / self._scale

    def text(self, place: tuple[float, float], text: str, size: int, *, colour: str = INK, anchor: str = "lm") -> None:
        x, y = (value * self._scale for value in place)
        self._draw.text((x, y), plain(text), fill=colour, font=self._font(size), anchor=anchor)

    def _font(self, size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
        return ImageFont.load_default(size=size * self._scale)


def _panel(pen: _Pen, panel: Panel, across: _Axis, top: float, x_label: str) -> None:
    bottom = top + HEIGHT - BOTTOM
    up = _upwards(panel, bottom, top + TOP)
    for value in ticks(up.low, up.high):
        pen.line([(LEFT, up.at(value)), (WIDTH - RIGHT, up.at(value))], FAINT, 1)
        pen.text((LEFT - 10, up.at(value)), f"{value:.10g}", SMALL, colour=GREY, anchor="rm")
    for value in ticks(across.low, across.high, 8):
        pen.line([(across.at(value), bottom), (across.at(value), bottom + 5)], GREY, 1)
        pen.text((across.at(value), bottom + 10), f"{value:.10g}", SMALL, colour=GREY, anchor="mt")
    pen.line([(LEFT, bottom), (WIDTH - RIGHT, bottom)], GREY, 1.2)
    pen.text(((LEFT + WIDTH - RIGHT) / 2, bottom + 42), x_label, TEXT, anchor="mm")
    pen.text((LEFT, top + TOP - 24), panel.label, TEXT)
    if len(panel.lines) > 1:
        _legend(pen, panel, top + TOP - 24)
    for line, colour in zip(panel.lines, _colours(panel), strict=True):
        places = [(across.at(x), up.at(y)) for x, y in _finite(line.points)]
        if len(places) > 1:
            pen.line(places, colour, 2.5)
        for place in places:
            pen.dot(place, 4.5, fill=colour, edge="white", width=1)
    for line, colour in zip(panel.lines, _colours(panel), strict=True):
        if line.best is not None and all(map(math.isfinite, line.points[line.best])):
            x, y = line.points[line.best]
            _mark(pen, (across.at(x), up.at(y)), bottom, colour, panel.note)


def _upwards(panel: Panel, bottom: float, top: float) -> _Axis:
    if panel.limits:
        return _Axis(*panel.limits, bottom, top)
    values = [y for line in panel.lines for _, y in _finite(line.points)] or [0.0, 1.0]
    axis = _Axis.over(values, bottom, top)
    room = 0.08 * (axis.high - axis.low)
    # Zero belongs on the axis where it is near, so that heights can be compared.
    low = 0.0 if 0 <= axis.low < 0.6 * (axis.high - axis.low) else axis.low - 2 * room
    return _Axis(max(low, 0.0) if axis.low >= 0 else low, axis.high + room, bottom, top)


def _legend(pen: _Pen, panel: Panel, y: float) -> None:
    x = WIDTH - RIGHT - sum(pen.width(line.label, SMALL) + 46 for line in panel.lines) + 22
    for line, colour in zip(panel.lines, _colours(panel), strict=True):
        pen.line([(x, y), (x + 20, y)], colour, 2.5)
        pen.dot((x + 10, y), 4.5, fill=colour, edge="white", width=1)
        pen.text((x + 27, y), line.label, SMALL)
        x += pen.width(line.label, SMALL) + 46


def _mark(pen: _Pen, place: tuple[float, float], bottom: float, colour: str, note: str) -> None:
    x, y = place
    pen.dot(place, 9, fill="white", edge=colour, width=2.5)
    pen.dot(place, 4.5, fill=colour, edge=colour)
    half = pen.width(note, SMALL) / 2 + 6
    middle = min(max(x, LEFT + half), WIDTH - RIGHT - half)
    beside = y + 27 if y + 40 < bottom else y - 27
    pen.box(middle - half, beside - 11, middle + half, beside + 11)
    pen.text((middle, beside), note, SMALL, colour=colour, anchor="mm")


def _colours(panel: Panel) -> list[str]:
    return [COLOURS[index % len(COLOURS)] for index in range(len(panel.lines))]


def _finite(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    return [point for point in points if all(map(math.isfinite, point))]
