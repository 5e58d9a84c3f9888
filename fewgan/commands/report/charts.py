"""Which curves go into which chart."""

from __future__ import annotations

from typing import Any

from fewgan.commands.report.scores import Scores
from fewgan.commands.report.series import Series

Chart = dict[str, Any]

TRAINING = (
    ("losses", "Losses", {"loss_d": "D", "loss_g": "G"}, "Each point is a mean over the steps since the one before."),
    ("logits", "Logits of D", {"logit_real": "photos", "logit_fake": "samples", "logit_held_out": "held-out photos"},
     "Held-out photos that come near the samples are a sign of overfitting."),
    ("gap", "Logit gap", {"logit_gap": "photos minus samples"},
     "Near 0: D hardly separates them. Growing without end: G falls behind."),
    ("kid", "KID while training", {"kid": "KID"}, "Lower is better."),
    ("spread", "Spread of the samples", {"sample_spread": "spread"},
     "How much the samples differ from each other; 1 is as much as photos do, near 0 they are all alike."),
    ("leak", "Leaking augmentation", {"leak": "leak"},
     "0: the samples look like photos; 1: like augmented photos."),
)  # fmt: skip
MORE = (
    ("speed", "Seconds per step", {"seconds_per_step": "seconds"}, ""),
    ("memory", "Peak memory, GB", {"peak_memory_bytes": "GB"}, ""),
    ("skipped", "Skipped updates", {"skipped_d": "D", "skipped_g": "G"},
     "Updates whose loss or gradient was not finite."),
)  # fmt: skip
LEFT_OUT = ("step", "images_seen", "kid_seconds")
MOST_PLUGIN_CHARTS = 12


def training(runs: list[Series]) -> list[Chart]:
    """Charts over the steps that at least one of the runs has values for, other than 0 all along."""
    charts = [_chart(*chart, runs, more=False) for chart in TRAINING]
    charts += [_chart(*chart, runs, more=True) for chart in MORE]
    known = {name for _, _, names, _ in (*TRAINING, *MORE) for name in names} | set(LEFT_OUT)
    groups: dict[str, dict[str, str]] = {}
    for name in (name for run in runs for name in run.columns if name not in known):
        group, _, label = name.partition(".")
        groups.setdefault(group, {})[name] = label or name
    for index, (group, names) in enumerate(list(groups.items())[:MOST_PLUGIN_CHARTS]):
        title = "Learning rates" if group == "learning_rates" else group
        charts.append(_chart(f"plugin-{index}", title, dict(list(names.items())[:8]), "", runs, more=True))
    return [chart for chart in charts if any(any(line["y"]) for line in chart["lines"])]


def _chart(key: str, title: str, names: dict[str, str], note: str, runs: list[Series], *, more: bool) -> Chart:
    lines = []
    for color, (name, label) in enumerate(names.items()):
        for run, series in enumerate(runs):
            if name in series.columns:
                steps, values = series.columns[name]
                if name == "peak_memory_bytes":
                    values = [round(value / 1e9, 3) for value in values]
                lines.append({"label": label, "run": run, "color": color, "x": steps, "y": values})
    place = "more-charts" if more else "charts"
    spec = {"key": key, "group": "steps", "place": place, "title": title, "note": note, "x": "step", "lines": lines}
    return spec | {"best": key == "kid"}


def scored(runs: list[list[Scores]]) -> list[Chart]:
    """Charts of scores over the truncation (a sweep) or the step (snapshots); two runs' of one name share them."""
    charts: dict[tuple[str, str], list[Chart]] = {}
    for run, found in enumerate(runs):
        for scores in found:
            if scores.varied is None:
                continue
            key = (scores.name, scores.varied)
            if key not in charts:
                charts[key] = _empty(scores, f"scores-{len(charts)}")
            scores.charts = charts[key][0]["place"]
            _add(charts[key], scores, run)
    return [chart for group in charts.values() for chart in group if chart["lines"]]


def _empty(scores: Scores, key: str) -> list[Chart]:
    name = scores.facts.get("score_name")
    distance = name[:60] if isinstance(name, str) else "Fréchet distance"
    titles = ("KID", distance, "Precision, recall, coverage")
    notes = ("Lower is better.", "Lower is better.", "Higher is better.")
    shared = {"group": key, "place": key, "x": scores.varied}
    return [
        shared | {"key": f"{key}-{index}", "title": title, "note": note, "lines": [], "best": index < 2}
        for index, (title, note) in enumerate(zip(titles, notes, strict=True))
    ]


def _add(charts: list[Chart], scores: Scores, run: int) -> None:
    against = list(dict.fromkeys(row["against"] for row in scores.rows))[:4]
    lines = [
        (chart, f"against {name}", name, column, color)
        for color, name in enumerate(against)
        for chart, column in zip(charts, ("kid", "frechet_distance"), strict=False)
    ]
    lines += [(charts[2], key, against[0], key, color) for color, key in enumerate(("precision", "recall", "coverage"))]
    for chart, label, name, column, color in lines:
        rows = [row for row in scores.rows if row["against"] == name]
        pairs = [(row[charts[0]["x"]], row[column]) for row in rows]
        if points := sorted(pair for pair in pairs if None not in pair):
            x, y = [list(values) for values in zip(*points, strict=True)]
            chart["lines"].append({"label": label, "run": run, "color": color, "x": x, "y": y})
