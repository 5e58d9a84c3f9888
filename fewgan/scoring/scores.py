"""What `fewgan fid` found: as a record, as text, as files."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from fewgan import run
from fewgan.scoring import curve
from fewgan.scoring.neighbours import Memorising


@dataclass(frozen=True, kw_only=True)
class Row:
    """Pictures against one set of real ones.

    against: "train", "held-out", or the name of the folder. truncation, step: of the generator, None where it has
    none. kid: mean over subsets, kid_deviation: their standard deviation, kid_full: one estimate from everything.
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
    count: int
    real_count: int


@dataclass(frozen=True, kw_only=True)
class Report:
    """All rows of one command. The main one is the lowest Fréchet distance against the first real set (the training
    photos, where there are any); memorising and the picture are about its pictures.

    features: the plugin's name; score_name: what the Fréchet distance may be called ("FID" with standard weights
    alone). generator: file of the main row's generator, None for a folder of pictures. files: what was written.
    """

    target: str
    features: str
    score_name: str
    rows: tuple[Row, ...]
    memorising: Memorising
    generator: Path | None
    seed: int
    standing_stats: int
    notes: tuple[str, ...]
    files: tuple[Path, ...]
    seconds: float

    @property
    def main(self) -> Row:
        first = [row for row in self.rows if row.against == self.rows[0].against]
        return min(first, key=lambda row: row.frechet_distance)

    def as_dict(self) -> dict[str, Any]:
        """The main row's numbers at the top, everything else beside and below them."""
        content = {name: getattr(self, name) for name in ("target", "features", "score_name", "seed", "standing_stats")}
        return {
            "format": run.FORMAT,
            **content,
            **dataclasses.asdict(self.main),
            "generator": None if self.generator is None else str(self.generator),
            "memorising": dataclasses.asdict(self.memorising),
            "rows": [dataclasses.asdict(row) for row in self.rows],
            "notes": list(self.notes),
            "files": [str(path) for path in self.files],
            "seconds": self.seconds,
        }

    def text(self) -> str:
        """The rows as a table, then the memorising check, the best of several, and where the files are."""
        varied = varies(self.rows)
        head = [*([varied] if varied else []), "against", "photos", self.score_name, "KID", "precision", "recall"]
        table = [head, *(self._cells(row, varied) for row in self.rows)]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = [
            "  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip() for line in table
        ]
        if varied:
            beside = f", {self.generator}" if varied == "step" else ""
            lines.append(f"best: {varied} {getattr(self.main, varied):g}{beside}")
        lines.append(f"{self.memorising}")
        lines.append(
            f"{self.main.count} pictures each; see {self.files[0].parent}: {', '.join(p.name for p in self.files)}"
        )
        return "\n".join(lines)

    @staticmethod
    def _cells(row: Row, varied: str | None) -> list[str]:
        first = [f"{getattr(row, varied):g}"] if varied else []
        kid = f"{row.kid:.4g} ± {row.kid_deviation:.2g}"
        last = [f"{row.frechet_distance:.2f}", kid, f"{row.precision:.3f}", f"{row.recall:.3f}"]
        return [*first, row.against, str(row.real_count), *last]


def varies(rows: Sequence[Row]) -> str | None:
    """What differs between the rows against one set: "truncation", "step" or nothing."""
    for name in ("step", "truncation"):
        if len({getattr(row, name) for row in rows}) > 1:
            return name
    return None


def write_table(path: Path, rows: Sequence[Row]) -> None:
    """The rows as CSV."""
    names = [field.name for field in dataclasses.fields(Row)]
    with run.replacing(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        writer.writerows([getattr(row, name) for name in names] for row in rows)


def write_curve(path: Path, rows: Sequence[Row], *, score_name: str, title: str) -> None:
    """The Fréchet distance against each set, its best point marked, and precision and recall against the first."""
    varied = varies(rows) or ("truncation" if rows[0].step is None else "step")
    sets = list(dict.fromkeys(row.against for row in rows))
    first = [row for row in rows if row.against == sets[0]]
    best = min(range(len(first)), key=lambda index: first[index].frechet_distance)
    note = f"best: {first[best].frechet_distance:.2f} at {varied} {getattr(first[best], varied):g}"

    def line(name: str, column: str, of: str, best: int | None = None) -> curve.Line:
        points = [(float(getattr(row, varied)), float(getattr(row, column))) for row in rows if row.against == of]
        return curve.Line(name, points, best)

    against = [line(name, "frechet_distance", name, best if name == sets[0] else None) for name in sets]
    panels = [
        curve.Panel(f"{score_name}, lower is better", against, note=note),
        curve.Panel(
            f"Precision (do samples look like {sets[0]} photos) and recall (are all of them covered)",
            [line(name, name, sets[0]) for name in ("precision", "recall")],
            limits=(0.0, 1.0),
        ),
    ]
    write_picture(path, curve.draw(panels, title=title, x_label=varied).quantize(128, dither=Image.Dither.NONE))


def write_picture(path: Path, image: Image.Image) -> None:
    with run.replacing(path) as temporary:
        image.save(temporary, "PNG", optimize=True)
