"""The results of `fewgan fid`: as a record, as a table, as CSV and as a chart."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from fewgan import run
from fewgan.files import replacing
from fewgan.sampling.imagefile import save_sheet
from fewgan.scoring import curve
from fewgan.scoring.neighbours import Memorising
from fewgan.screen import counted, safe

WIDTH = 100  # of the table, characters
K, DENSE_K = 3, 5  # nearest neighbours: of precision and recall, of density and coverage (their papers' values)


@dataclass(frozen=True, kw_only=True)
class Row:
    """Pictures against one set of real ones.

    against: "train", "held-out", or the name of the folder. truncation, step: of the generator, None where it has
    none. kid: mean over subsets, kid_deviation: their standard deviation, kid_full: one estimate from all pictures.
    precision, recall, density, coverage, authentic: see `manifold`; vendi_ratio: pictures to real ones.
    count, real_count: pictures on each side.
    """

    against: str
    truncation: float | None
    step: int | None
    frechet_distance: float
    kid: float
    kid_deviation: float
    kid_full: float
    precision: float
    recall: float
    density: float
    coverage: float
    authentic: float
    vendi_ratio: float
    count: int
    real_count: int


def chosen_by(rows: Sequence[Row]) -> str:
    """The set of real pictures whose KID decides which row is the best: held-out photos do not reward copies."""
    names = [row.against for row in rows]
    return "held-out" if "held-out" in names else names[0]


def main_row(rows: Sequence[Row]) -> Row:
    """The row of the best of several generators or truncations against the first set of real pictures.

    The best has the lowest KID, which is unbiased, so that a few photos are enough. The first set are the training
    photos, where there are any.
    """
    best = min((row for row in rows if row.against == chosen_by(rows)), key=lambda row: row.kid)
    return next(row for row in rows if (row.step, row.truncation) == (best.step, best.truncation))


@dataclass(frozen=True, kw_only=True)
class Report:
    """All rows of one command. The search for copies and nearest.png are about the pictures of the main row.

    features: the plugin's name; identity: of its weights, "" where unknown. score_name: what the Fréchet distance may
    be called ("FID" for the standard weights alone). not_comparable: why scores of other runs are not
    comparable with these, which is so where D learned from the same weights. generator: file of the main row's
    generator, None for a folder of pictures. own_photos: whether the real pictures are those that the generator was
    trained on. files: what was written.
    """

    target: str
    settings: str
    features: str
    identity: str
    score_name: str
    rows: tuple[Row, ...]
    memorising: Memorising
    generator: Path | None
    seed: int
    standing_stats: int
    notes: tuple[str, ...]
    not_comparable: str | None
    own_photos: bool
    files: tuple[Path, ...]
    seconds: float

    @property
    def main(self) -> Row:
        return main_row(self.rows)

    @property
    def photo(self) -> str:
        """What one of those is that samples were compared with."""
        return "training photo" if self.own_photos else "real picture"

    def as_dict(self) -> dict[str, Any]:
        """The main row's numbers at the top level, everything else beside and below them."""
        names = ("target", "settings", "features", "identity", "score_name", "seed", "standing_stats")
        return {
            "format": run.FORMAT,
            **{name: getattr(self, name) for name in names},
            "comparable": self.not_comparable is None,
            "own_photos": self.own_photos,
            "k": K,
            "dense_k": DENSE_K,
            "chosen_by": f"KID against {chosen_by(self.rows)}",
            **dataclasses.asdict(self.main),
            "generator": None if self.generator is None else str(self.generator),
            "memorising": dataclasses.asdict(self.memorising),
            "rows": [dataclasses.asdict(row) for row in self.rows],
            "notes": [*self.notes, *([self.not_comparable] if self.not_comparable else [])],
            "files": [str(path) for path in self.files],
            "seconds": self.seconds,
        }

    def text(self) -> str:
        """What is compared, the rows as a table of 100 columns, the best of several, the search for copies, files."""
        varied = varies(self.rows)
        real = {row.against: row.real_count for row in self.rows}
        photos = " and ".join(real_pictures(name, count) for name, count in real.items())
        pictures = counted(self.main.count, "picture")
        lines = [
            f"{self.score_name} (FD) and KID, lower is better; {pictures} against {photos}",
            *self._table(varied),
            f"k = {K} for precision and recall, {DENSE_K} for density and coverage; AuthPct in %; "
            "Vendi relative to the photos",
        ]
        if varied:
            beside = f", {safe(str(self.generator))}" if varied == "step" else ""
            lines.append(
                f"best by KID against {safe(chosen_by(self.rows))}: {varied} {getattr(self.main, varied):g}{beside}"
            )
        lines.append(self.memorising.text(self.photo))
        lines += [self.not_comparable] if self.not_comparable else []
        folder = self.files[0].parent
        kept = f" (kept in {safe(self.settings)})" if (folder / self.settings).is_dir() else ""
        lines.append(f"{safe(str(folder))}: {', '.join(path.name for path in self.files)}{kept}")
        return "\n".join(lines)

    def _table(self, varied: str | None) -> list[str]:
        head = ["against", "FD", "KID", "precision", "recall", "density", "coverage", "AuthPct", "Vendi"]
        table = [head, *(_cells(row) for row in self.rows)]
        if varied:
            table = [[first, *cells] for first, cells in zip(self._varied(varied), table, strict=True)]
        place = 1 if varied else 0
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        widths[place] = max(8, min(widths[place], WIDTH - sum(widths) + widths[place] - 2 * (len(widths) - 1)))
        return [
            "  ".join(f"{_cut(cell, width):<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip()
            for line in table
        ]

    def _varied(self, varied: str) -> list[str]:
        return [varied, *(f"{getattr(row, varied):g}" for row in self.rows)]


def real_pictures(name: str, count: int) -> str:
    """12 train photos, 5 held-out photos, or 14 pictures in FOLDER."""
    if name in ("train", "held-out"):
        return counted(count, f"{name} photo")
    return f"{counted(count, 'picture')} in {safe(name)}"


def _cells(row: Row) -> list[str]:
    shares = [f"{value:.2f}" for value in (row.precision, row.recall, row.density, row.coverage)]
    last = [f"{100 * row.authentic:.0f}", f"{row.vendi_ratio:.2f}"]
    return [safe(row.against), _short(row.frechet_distance), _kid(row), *shares, *last]


def _kid(row: Row) -> str:
    small = abs(row.kid) < 10
    kid = f"{row.kid:.4f}" if small else f"{row.kid:.3g}"
    if row.kid_deviation == 0:  # every subset is all of the pictures, and tells nothing of how far KID varies
        return kid
    return f"{kid} ± {row.kid_deviation:.4f}" if small else f"{kid} ± {row.kid_deviation:.2g}"


def _short(value: float) -> str:
    return f"{value:.2f}" if value < 1e3 else f"{value:.1f}" if value < 1e4 else f"{value:.3g}"


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def varies(rows: Sequence[Row]) -> str | None:
    """What differs between the rows against one set: "truncation", "step" or nothing."""
    for name in ("step", "truncation"):
        if len({getattr(row, name) for row in rows}) > 1:
            return name
    return None


def write_table(path: Path, rows: Sequence[Row]) -> None:
    """Writes the rows as CSV."""
    names = [field.name for field in dataclasses.fields(Row)]
    with replacing(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        writer.writerows([getattr(row, name) for name in names] for row in rows)


def write_curve(path: Path, report: Report, *, title: str) -> None:
    """Writes a chart: the Fréchet distance and KID against each set, the best marked; below, fidelity and coverage."""
    rows = report.rows
    varied = varies(rows) or ("truncation" if rows[0].step is None else "step")
    sets = list(dict.fromkeys(row.against for row in rows))
    chosen = chosen_by(rows)
    judged = [row for row in rows if row.against == chosen]
    best = min(range(len(judged)), key=lambda index: judged[index].kid)
    at = f"at {varied} {getattr(judged[best], varied):g}"

    def line(name: str, column: str, of: str, best: int | None = None) -> curve.Line:
        points = [(float(getattr(row, varied)), float(getattr(row, column))) for row in rows if row.against == of]
        return curve.Line(name, points, best)

    def against(column: str) -> list[curve.Line]:
        return [line(name, column, name, best if name == chosen else None) for name in sets]

    shares = ("precision", "recall", "coverage")
    panels = [
        curve.Panel("KID, lower is better", against("kid"), note=f"best: {judged[best].kid:.3g} {at}"),
        curve.Panel(
            f"{report.score_name}, lower is better",
            against("frechet_distance"),
            note=f"{judged[best].frechet_distance:.2f} {at}",
        ),
        curve.Panel(
            f"Fidelity and diversity against {sets[0]} photos", [line(s, s, sets[0]) for s in shares], limits=(0.0, 1.0)
        ),
    ]
    save_sheet(path, curve.draw(panels, title=title, x_label=varied).quantize(128, dither=Image.Dither.NONE))
