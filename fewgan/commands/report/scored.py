"""The sections of a page about scores: charts and tables of them, and the photos nearest to samples."""

from __future__ import annotations

from typing import Any

from fewgan.commands.report.files import number
from fewgan.commands.report.markup import Html, joined, table, tag, tools
from fewgan.commands.report.record import Record
from fewgan.commands.report.scores import Scores


def scores(runs: list[Record]) -> Html:
    found = [(run, one) for run in runs for one in run.scores]
    if not found:
        empty = "No scores yet: fewgan fid measures how close the samples come to the photos."
        return joined([tag("h2", "Scores"), tag("p", empty, class_="soft")])
    parts, drawn = [tag("h2", "Scores")], set()
    for run, one in found:
        title = {"step": "Generators over the steps: ", "truncation": "Truncation sweep: "}.get(one.varied or "", "")
        steps = {row["step"] for row in one.rows} - {None}
        step = f", step {steps.pop():,}" if len(steps) == 1 else ""
        name = f"{title}{one.name}{f', {run.name}' if len(runs) > 1 else ''}{step}"
        parts.append(tag("h3", name))
        if one.charts and one.charts not in drawn:
            drawn.add(one.charts)
            parts += [tools(one.charts, name), tag("div", class_="charts", id=one.charts)]
        parts.append(_score_table(one, name))
    return joined(parts)


def _score_table(scores: Scores, name: str) -> Html:
    varied = scores.varied
    head = [varied.capitalize()] if varied else []
    head += ["Against", "FD", "KID", "Precision", "Recall", "Density", "Coverage", "AuthPct", "Vendi", "Pictures"]
    rows = [[*([_short(row[varied])] if varied else []), *_cells(row)] for row in scores.rows]
    notes = scores.facts.get("notes")
    notes = [note for note in notes[:8] if isinstance(note, str)] if isinstance(notes, list) else []
    best = scores.facts.get("chosen_by")
    about = [f"Chosen by {best}."] if isinstance(best, str) and varied else []
    about += _memorising(scores.facts.get("memorising"), own=scores.own)
    name_of = scores.facts.get("score_name")
    about += [f"FD is the {name_of} here." if isinstance(name_of, str) else ""]
    return joined([
        table(head, rows, numbers=2 if varied else 1, label=f"Scores, {name}"),
        tag("p", " ".join([*about, *notes]).strip(), class_="soft small"),
    ])  # fmt: skip


def _cells(row: dict[str, Any]) -> list[str]:
    deviation = "" if not row["kid_deviation"] else f" ± {_cell(row['kid_deviation'], 4)}"
    shares = [_cell(row[key], 2) for key in ("precision", "recall", "density", "coverage")]
    authentic = _cell(None if row["authentic"] is None else 100 * row["authentic"], 0)
    distances = [_cell(row["frechet_distance"], 2), _cell(row["kid"], 4) + deviation]
    return [row["against"], *distances, *shares, authentic, _cell(row["vendi_ratio"], 2), _cell(row["count"], 0)]


def _short(value: float | None) -> str:
    return "–" if value is None else f"{value:g}"


def _cell(value: float | None, digits: int) -> str:
    if value is None:
        return "–"
    return f"{value:,.{digits}f}" if abs(value) < 1e6 else f"{value:.3g}"


def _memorising(found: Any, *, own: bool) -> list[str]:
    if not isinstance(found, dict) or (closer := number(found.get("closer"))) is None:
        return []
    copies = number(found.get("copies")) or 0
    photo = "training photo" if own else "real picture"
    text = f"{100 * closer:.0f} % of the samples are closer to a {photo} than the median distance between "
    text += f"{photo}s (new ones: about 50 %)"
    return [
        text
        + (f"; {100 * copies:.0f} % are closer than any two of them: look at the nearest photos." if copies else ".")
    ]


def nearest(runs: list[Record]) -> Html:
    figures = [
        tag("figure", tag("figcaption", run.name), tag("img", src=run.nearest.uri, width=run.nearest.width,
            height=run.nearest.height, alt="Samples, each beside the photos nearest to it"))
        for run in runs if run.nearest is not None
    ]  # fmt: skip
    if not figures:
        return Html("")
    note = "Samples beside the photos that are nearest in feature space: near copies are a sign of overfitting."
    inner = [
        tag("h2", "Nearest photos"),
        tag("p", note, class_="soft small"),
        tag("div", figures, class_="pair nearest"),
    ]
    return tag("section", inner)
