"""Figures in memory with matplotlib, without a window and without the global state of pyplot."""

from __future__ import annotations

import logging
import unicodedata
import warnings
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from fewgan.screen import safe

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, GREY, FAINT = "#222222", "#6b6b6b", "#e4e4e4"
# Okabe and Ito's, distinct for colour-blind readers.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#222222")


def figure(width: float, height: float, dpi: int = 100) -> Figure:
    """An empty white figure of `width` by `height` inches."""
    # It says on stderr that it has no home folder for its cache, where there is none.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    made = Figure(figsize=(width, height), dpi=dpi, facecolor="white")
    FigureCanvasAgg(made)
    return made


def drawn(made: Figure) -> Image.Image:
    """The figure as an RGB picture."""
    canvas = made.canvas
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # letters that the font lacks appear as boxes
        canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3].copy())  # type: ignore[attr-defined]


def label(name: str, most: int) -> str:
    """A name as text for a figure: one line, at most so many letters wide (Chinese ones count twice), no formulas."""
    text, width = "", 0
    for letter in safe(name):
        width += 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        if width > most:
            text = text[:-1] + "…"
            break
        text += letter
    return text.replace("$", r"\$")
