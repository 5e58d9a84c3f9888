"""Line charts."""

import math

import pytest
from matplotlib.figure import Figure
from PIL import Image
from scored import size_of

from fewgan.plugin import UsageError
from fewgan.scoring import curve, figures
from fewgan.scoring.curve import Line, Panel

POINTS = [(0.2, 90.0), (0.4, 60.0), (0.6, 47.0), (0.8, 50.0), (1.0, 55.0)]


def drawn(*panels, title="A title", x_label="truncation"):
    return curve.draw(panels, title=title, x_label=x_label)


def has(image: Image.Image, colour: str) -> int:
    """How many pixels are of exactly this colour."""
    wanted = tuple(int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return sum(count for count, found in image.getcolors(image.width * image.height) if found == wanted)


def test_every_line_is_there_and_panels_are_stacked():
    one = drawn(Panel("FID", [Line("train", POINTS, best=2)]))
    two = drawn(
        Panel("FID", [Line("train", POINTS), Line("held-out", [(x, y + 10) for x, y in POINTS])]),
        Panel("share", [Line("precision", [(x, x / 2) for x, _ in POINTS])], limits=(0, 1)),
    )
    assert one.width == two.width
    assert two.height > 1.8 * one.height
    assert has(one, figures.COLOURS[0])
    assert not has(one, figures.COLOURS[1])
    assert has(two, figures.COLOURS[1])


def test_the_best_point_is_marked():
    plain, marked = drawn(Panel("FID", [Line("a", POINTS)])), drawn(Panel("FID", [Line("a", POINTS, best=2)]))
    assert has(marked, figures.COLOURS[0]) > has(plain, figures.COLOURS[0]) + 100


@pytest.mark.parametrize(
    "points",
    [[(500.0, 3.0)], [(1.0, 0.0), (2.0, 0.0)], [(1.0, math.nan), (2.0, 5.0), (3.0, math.inf)], [(1, -5), (2, -1e-9)]],
)
def test_odd_values_are_drawn(points):
    assert has(drawn(Panel("FID", [Line("a", points, best=0)])), figures.COLOURS[0])


@pytest.mark.parametrize(("value", "low", "high"), [(0.0, 0, 1), (0.5, 0, 0.5), (-2.0, -2, 0)])
def test_a_flat_line_has_zero_on_its_axis(value, low, high):
    axes = Figure().subplots()
    curve._limits(axes, Panel("share", [Line("flat", [(0.0, value), (1.0, value)])]))
    bottom, top = axes.get_ylim()
    assert bottom <= low < high <= top
    assert bottom == 0 or value < 0


def test_nothing_to_draw_is_an_error():
    with pytest.raises(UsageError, match="no finite value to draw"):
        drawn(Panel("FID", [Line("a", [(1.0, math.nan)])]))


@pytest.mark.parametrize("title", ["00001-" + "é图" * 300, r"$x^{$", r"a\$b$ \frac{", "line\nbreak\x1b[2J", "\udcff"])
def test_any_name_fits_as_a_title(title):
    """Long ones are cut, and none is taken for mathematics, which would fail."""
    image = drawn(Panel(title, [Line(title, POINTS), Line("b", POINTS)]), title=title, x_label=title)
    margin = image.crop((image.width - 20, 0, image.width, image.height))
    assert margin.getcolors() == [(margin.width * margin.height, (255, 255, 255))]


def test_the_same_chart_twice_is_the_same(tmp_path):
    for name in "ab":
        drawn(Panel("FID", [Line("a", POINTS, best=2)])).save(tmp_path / f"{name}.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert size_of(tmp_path / "a.png")[0] > 1000
