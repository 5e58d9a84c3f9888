"""The scores of `fewgan fid`: each settings' rows, as numbers of a table and of charts."""

from __future__ import annotations

import csv
from dataclasses import dataclass, field
from typing import Any

from fewgan.commands.report.files import LARGEST_JSON, Folder, number, shown

SETTINGS = 12
ROWS = 200
NUMBERS = (
    "frechet_distance", "kid", "kid_deviation", "precision", "recall", "density", "coverage", "authentic",
    "vendi_ratio", "truncation", "step", "count", "real_count",
)  # fmt: skip
TEXTS = ("against",)


@dataclass
class Scores:
    """One command's. name: its settings. varied: "step", "truncation" or None. facts: of scores.json.

    charts: the place of its charts on the page, "" where nothing varies; two runs' scores of one name share it.
    """

    name: str
    place: str
    rows: list[dict[str, Any]]
    varied: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    charts: str = ""

    @property
    def own(self) -> bool:
        """Whether they are against the photos of the run."""
        return bool(self.facts.get("own_photos", "-against-" not in self.name))

    def of(self, steps: set[int]) -> list[dict[str, Any]]:
        """The rows against the photos of the run that are of generators of these steps, or of unknown ones."""
        return [row for row in self.rows if self.own and row["step"] in {None, *steps}]


def read(folder: Folder) -> list[Scores]:
    """Every set of scores of a run, newest settings first where that is known, without doubles."""
    places = ["fid", *(f"fid/{name}" for name in folder.names("fid") if (folder.path / "fid" / name).is_dir())]
    found: dict[str, Scores] = {}
    for place in places[: SETTINGS + 1]:
        if scores := _scores(folder, place):
            found.setdefault(scores.name, scores)
    return list(found.values())[:SETTINGS]


def _scores(folder: Folder, place: str) -> Scores | None:
    facts = folder.json(f"{place}/scores.json")
    facts = facts if isinstance(facts, dict) else {}
    rows = [_row(row) for row in facts.get("rows", []) if isinstance(row, dict)] if _listed(facts) else []
    if not rows:
        rows = _table(folder, place)
    rows = [row for row in rows if row["kid"] is not None or row["frechet_distance"] is not None][:ROWS]
    if not rows:
        return None
    name = facts.get("settings")
    varied = next((key for key in ("step", "truncation") if len({row[key] for row in rows} - {None}) > 1), None)
    return Scores(name if isinstance(name, str) else shown(place.rpartition("/")[2], 150), place, rows, varied, facts)


def _listed(facts: dict[str, Any]) -> bool:
    return isinstance(facts.get("rows"), list)


def _row(row: dict[str, Any]) -> dict[str, Any]:
    texts = {key: row[key][:80] if isinstance(row.get(key), str) else "?" for key in TEXTS}
    return texts | {key: number(row.get(key)) for key in NUMBERS}


def _table(folder: Folder, place: str) -> list[dict[str, Any]]:
    """The rows of sweep.csv or snapshots.csv, where scores.json is missing or damaged."""
    for name in ("snapshots.csv", "sweep.csv"):
        path = folder.file(f"{place}/{name}")
        if path is None:
            continue
        try:
            if path.stat().st_size > LARGEST_JSON:
                continue
            with open(path, newline="", encoding="utf-8", errors="replace") as file:
                rows = [row for row, _ in zip(csv.DictReader(file), range(ROWS), strict=False)]
        except (OSError, csv.Error):
            folder.note(f"{place}/{name}: damaged; left out")
            continue
        return [_row({key: _cell(key, row.get(key)) for key in (*TEXTS, *NUMBERS)}) for row in rows]
    return []


def _cell(key: str, text: Any) -> Any:
    if key in TEXTS:
        return shown(text, 80) if isinstance(text, str) else None
    try:
        value = float(text)
    except (TypeError, ValueError):
        return None
    return int(value) if value.is_integer() else value
