"""Line charts."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fewgan.plugin import UsageError
from fewgan.scoring import curve
from fewgan.scoring.curve import Line, Panel
from fewgan.scoring.scores import Row, write_curve

POINTS = [(0.2, 90.0), (0.4, 60.0), (0.6, 47.0), (0.8, 50.0), (1.0, 55.0)]


def drawn(*panels, title="A title", x_label="truncation"):
    return curve.draw(panels, title=title, x_label=x_label)


def has(image: Image.Image, colour: str) -> int:
    """How many pixels are of exactly this colour."""
    wanted = tuple(int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return sum(count for count, found in image.getcolors(image.width * image.height) if found == wanted)


@given(st.floats(-1e4, 1e4), st.floats(1e-2, 1e6), st.integers(2, 10))
def test_ticks_are_round_and_few(low, span, about):
    found = curve.ticks(low, low + span, about)
    steps = [after - before for before, after in pairwise(found)]
    assert 1 <= len(found) <= 2 * about + 2
    assert all(low - 1e-6 * span <= value <= low + span * (1 + 1e-6) for value in found)
    for step in steps:
        assert step == pytest.approx(steps[0], rel=1e-5)
        digits = step / 10 ** math.floor(math.log10(step) + 1e-6)
        assert min(abs(digits - factor) for factor in (1, 2, 5)) < 1e-3


def test_ticks_of_the_usual_sweep():
    assert curve.ticks(0.2, 1.0, 4) == [0.2, 0.4, 0.6, 0.8, 1.0]


def test_every_line_is_there_and_a_panel_stands_below_the_other():
    one = drawn(Panel("FID", [Line("train", POINTS, best=2)]))
    two = drawn(
        Panel("FID", [Line("train", POINTS), Line("held-out", [(x, y + 10) for x, y in POINTS])]),
        Panel("share", [Line("precision", [(x, x / 2) for x, _ in POINTS])], limits=(0, 1)),
    )
    assert one.width == two.width
    assert two.height > 1.8 * one.height
    assert has(one, curve.COLOURS[0])
    assert not has(one, curve.COLOURS[1])
    assert has(two, curve.COLOURS[1])


def test_the_best_point_is_marked():
    plain, marked = drawn(Panel("FID", [Line("a", POINTS)])), drawn(Panel("FID", [Line("a", POINTS, best=2)]))
    assert has(marked, curve.COLOURS[0]) > has(plain, curve.COLOURS[0]) + 100


@pytest.mark.parametrize(
    "points",
    [[(500.0, 3.0)], [(1.0, 0.0), (2.0, 0.0)], [(1.0, math.nan), (2.0, 5.0), (3.0, math.inf)], [(1, -5), (2, -1e-9)]],
)
def test_odd_values_are_drawn(points):
    assert has(drawn(Panel("FID", [Line("a", points, best=0)])), curve.COLOURS[0])


def test_nothing_to_draw_is_said():
    with pytest.raises(UsageError, match="no finite value to draw"):
        drawn(Panel("FID", [Line("a", [(1.0, math.nan)])]))


def test_long_and_foreign_words_fit():
    assert curve.plain("Fréchet") == "Frechet"
    assert curve.plain("图") == "?"
    image = drawn(Panel("Fréchet", [Line("a", POINTS)]), title="00001-" + "é图" * 300)
    margin = image.crop((image.width - 2 * curve.RIGHT, 0, image.width, 90))
    assert margin.getcolors() == [(margin.width * margin.height, (255, 255, 255))]


@pytest.mark.parametrize("varied", [{"step": 200, "truncation": None}, {"step": None, "truncation": 0.5}])
def test_a_single_row_is_a_curve_too(tmp_path, varied):
    """A run with --keep-generators that saved once."""
    row = Row(
        against="train",
        **varied,
        frechet_distance=50.0,
        kid=0.1,
        kid_deviation=0.01,
        kid_full=0.1,
        precision=0.5,
        recall=0.5,
        count=8,
        real_count=20,
    )
    write_curve(tmp_path / "curve.png", [row], score_name="FID", title="one")
    assert Image.open(tmp_path / "curve.png").width > 100
