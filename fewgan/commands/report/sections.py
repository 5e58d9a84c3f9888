"""The sections of a page, each from the records of one run or of two."""

from __future__ import annotations

import re
from typing import Any

from fewgan.commands.report import words
from fewgan.commands.report.markup import Html, facts, joined, table, tag, tools
from fewgan.commands.report.record import Record

FLAG = re.compile(r"(--[a-z-]+[a-z](?: fp32)?)")
KINDS = {
    "architecture": "architecture", "transfer": "transfer", "augmentation": "augmentation",
    "regularizers": "regularizer", "features": "features", "trackers": "tracker",
}  # fmt: skip


def head(runs: list[Record], *, live: bool) -> Html:
    first = runs[0]
    keys = []
    if len(runs) > 1:
        keys = [
            tag(
                "span",
                _sample(index),
                tag("span", f"{'second' if index else 'first'} run:"),
                tag("b", run.name),
                class_="key",
            )
            for index, run in enumerate(runs)
        ]
    inner = [
        tag("h1", first.name),
        tag("p", _recipe(first), class_="soft"),
        tag("p", keys) if keys else None,
        tag("dl", [tag("div", tag("dt", name), tag("dd", value)) for name, value in _tiles(first)], class_="tiles"),
        tag("p", "This page updates itself." if live else "", class_="live", id="live", role="status")
        if live
        else None,
    ]
    return joined(inner)


def _sample(index: int) -> Html:
    line = tag("line", x1=1, x2=27, y1=5, y2=5, class_=f"curve s7{' dash' if index else ''}")
    return tag("svg", line, width=28, height=10, viewBox="0 0 28 10", aria_hidden="true")


def _recipe(run: Record) -> str:
    names = [choice["name"] for key, choice in words.choices(run.config) if key not in ("features", "trackers")]
    size = run.fact("size")
    return " · ".join([*names, *([f"{size:,} px"] if size else [])])


def _tiles(run: Record) -> list[tuple[str, str]]:
    steps, step, kid = run.fact("steps"), run.series.step, _lowest(run)
    found = [("Step", f"{step:,} of {steps:,}" if steps else f"{step:,}")]
    if run.series.images_seen:
        found.append(("Images seen", f"{run.series.images_seen:,}"))
    if run.series.seconds:
        found.append(("Trained for", words.duration(run.series.seconds)))
    if photos := run.fact("photos"):
        found.append(("Photos", f"{photos:,}"))
    if kid is not None:
        found.append(("Best KID", f"{kid:.4g}"))
    if (gap := run.series.last("logit_gap")) is not None:
        found.append(("Logit gap", f"{gap:.2f}"))
    if (spread := run.series.last("sample_spread")) is not None:
        found.append(("Spread", f"{spread:.2f}"))
    return found


def _lowest(run: Record) -> float | None:
    """Of the training, else of the newest scores of generators that are still there against the run's own photos."""
    found: list[float] = run.series.columns.get("kid", [[], []])[1]
    for scores in run.scores:
        rows = scores.of(run.generators)
        for name in ("held-out", "train"):
            found = found or [r["kid"] for r in rows if r["against"] == name and r["kid"] is not None]
    return min(found, default=None)


def samples(runs: list[Record]) -> Html:
    first = runs[0]
    shown = [(index, run) for index, run in enumerate(runs) if run.samples]
    if not shown and first.photos is None:
        return joined([tag("h2", "Samples"), tag("p", "No samples yet.", class_="soft")])
    figures = []
    for index, run in shown:
        name = f"Samples of {run.name}, " if len(runs) > 1 else "Samples, "
        caption = tag("figcaption", name, tag("span", id=f"caption-{index}"))
        last = run.samples[-1]
        image = tag("img", id=f"sample-{index}", alt="Grid of generated pictures", width=last.width, height=last.height)
        figures.append(tag("figure", caption, image))
    for index, run in enumerate(runs):
        if run.photos is None or (index and first.photos is not None and run.photos.uri == first.photos.uri):
            continue
        title = f"Photos of {run.name}" if index else "Photos"
        image = tag("img", src=run.photos.uri, alt="Grid of training photos", width=run.photos.width,
                    height=run.photos.height)  # fmt: skip
        figures.append(tag("figure", tag("figcaption", title), image, class_="photos"))
    player = tag(
        "div",
        tag("button", "Play", id="play", type="button", class_="main"),
        tag("input", id="slider", type="range", min=0, max=max(len(first.samples) - 1, 0), step=1, value=0,
            aria_label="Step of the samples"),
        tag("output", id="step", for_="slider"),
        class_="player", id="player", hidden=not first.samples,
    )  # fmt: skip
    note = "Each place of the grid keeps its latent, so that a picture can be followed over the steps."
    return joined(
        [tag("h2", "Samples"), tag("p", note, class_="soft small"), player, tag("div", figures, class_="pair")]
    )


def curves(charts: list[dict[str, Any]]) -> Html:
    mine = [chart for chart in charts if chart["group"] == "steps"]
    if not mine:
        return joined([tag("h2", "Curves"), tag("p", "No metrics yet.", class_="soft")])
    more = [chart for chart in mine if chart["place"] == "more-charts"]
    smooth = tag("label", tag("input", id="smooth", type="checkbox"), "Smooth")
    hint = "Drag over a chart to zoom in, double-click to see all; a click shows the samples of that step."
    inside = [tag("summary", "Speed, memory, learning rates, values of plugins")]
    return joined([
        tag("h2", "Curves"),
        tag("p", hint, class_="soft small"),
        tools("steps", "curves", smooth),
        tag("div", class_="charts", id="charts"),
        tag("details", inside, tag("div", class_="charts", id="more-charts")) if more else None,
    ])  # fmt: skip


def signs(runs: list[Record]) -> Html:
    rows = [
        tag("li", tag("b", f"{run.name}, " if len(runs) > 1 else "", f"step {step:,}: {name}"), ". ",
            _flagged(words.SIGNS.get(name, "")))
        for run in runs for step, name in run.series.signs
    ]  # fmt: skip
    if not rows:
        return tag("section", tag("h2", "Warnings"), tag("p", "No warnings were recorded.", class_="soft"))
    return tag("section", tag("h2", "Warnings"), tag("ul", rows, class_="signs"), class_="warn")


def _flagged(text: str) -> list[Html | str]:
    """text with its options as code, which no line ends in the middle of."""
    return [tag("code", part, class_="flag") if part.startswith("--") else part for part in FLAG.split(text)]


def about(runs: list[Record]) -> Html:
    return joined([tag("h2", "How it was made"), *(_about(run, several=len(runs) > 1) for run in runs)])


def _about(run: Record, *, several: bool) -> Html:
    series = run.series
    memory, speed = series.last("peak_memory_bytes"), series.last("seconds_per_step")
    machine = run.config.get("machine")
    rows = [
        ("Machine", _text(machine) if machine else None),
        ("Device", run.text("device")),
        ("Precision", run.text("precision")),
        ("Versions", ", ".join(f"{name} {run.text(name)}" for name in ("fewgan", "torch", "python") if run.text(name))),
        ("Seconds per step", f"{speed:.3g}" if speed is not None else None),
        ("Peak memory", f"{memory / 1e9:.2f} GB" if memory else None),
        ("Dataset", run.text("data")),
        ("Source", run.text("source")),
        ("Batch", _text(run.fact("batch_size"))),
        ("Learning rates", f"G {_text(run.fact('lr_g'))}, D {_text(run.fact('lr_d'))}"),
        ("Loss", f"of {loss}" if (loss := run.text("loss_of")) else run.text("loss")),
        ("Seed", _text(run.fact("seed"))),
    ]
    plugins = [
        [choice["name"], KINDS[key], f"{_text(choice.get('package'))} {_text(choice.get('version'))}", _options(choice)]
        for key, choice in words.choices(run.config)
    ]
    return joined([
        tag("h3", run.name) if several else None,
        command(words.training(run.config)),
        facts(rows),
        tag("details", tag("summary", "Plugins and their options"),
            table(["Plugin", "Kind", "Package", "Options"], plugins, numbers=9, label=f"Plugins of {run.name}")),
    ])  # fmt: skip


def _options(choice: dict[str, Any]) -> str:
    options = choice.get("options")
    if not isinstance(options, dict):
        return "–"
    return ", ".join(f"{name} {_text(value)}" for name, value in options.items() if value is not None) or "–"


def _text(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_text(one)}" for name, one in value.items())
    return f"{value:g}" if isinstance(value, float) else str(value)


def following(run: Record, *, other: bool) -> Html:
    steps = words.next_steps(run.path, run.config, run.series.step, run.has, other=other)
    return joined(
        [tag("h2", "What to do next"), *([tag("p", what, class_="small soft"), command(line)] for what, line in steps)]
    )


def command(line: str) -> Html:
    """A command to copy. A line may end between its words, and within one only where that is longer than a line."""
    spaced = [[tag("span", word, class_="word"), " "] for word in line.split(" ")]
    spaced[-1].pop()
    button = tag("button", "Copy", type="button", data_copy=True, aria_label="Copy the command")
    return tag("div", tag("pre", spaced), button, class_="command")


def notes(runs: list[Record]) -> Html:
    found = [f"{run.name}: {note}" if len(runs) > 1 else note for run in runs for note in run.notes]
    if not found:
        return Html("")
    return tag(
        "section", tag("h2", "Left out"), tag("ul", [tag("li", note) for note in found], class_="signs"), class_="warn"
    )
