"""RESULTS.md, curves and grids from examples/study/results: run it after study.py, or while it runs.

python examples/study/report.py
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont
from study import HERE, PICTURES, RECIPES, SCRATCH, SETS, STEPS

from fewgan.scoring.curve import Line, Panel, draw

Result = dict[str, Any]
ABOUT = {
    "obama": "100 photos of one face, low variety; 90 held out",
    "sunflowers": "400 photos of sunflowers, high variety; about 290 held out",
    "ringed": "100 rendered ringed planets; about 5,000 others held out",
}
STEPWISE = [("TC", SCRATCH, "transfer"), ("TC+AD", "TC", "DiffAugment"), ("TC+AD+CR", "TC+AD", "CR")]


def load(folder: Path) -> list[Result]:
    return [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]


def of(results: Sequence[Result], name: str, recipe: str) -> list[Result]:
    return [result for result in results if (result["set"], result["recipe"]) == (name, recipe)]


def score(result: Result, against: str, field: str, step: int | None = None) -> float:
    """A number of the last step, or of another one."""
    rows = [row for row in result["rows"] if row["against"] == against]
    return float(next(row for row in rows if row["step"] == (step or max(r["step"] for r in rows)))[field])


def spread(values: Sequence[float], digits: int = 3) -> str:
    shown = f"{statistics.mean(values):.{digits}f}"
    return f"{shown} ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else shown


def table(results: Sequence[Result], name: str) -> list[str]:
    columns: dict[str, Callable[[Result], float]] = {
        "KID, held out": lambda r: score(r, "held-out", "kid"),
        "KID, trained on": lambda r: score(r, "train", "kid"),
        "distance, held out": lambda r: score(r, "held-out", "frechet_distance"),
        "distance, trained on": lambda r: score(r, "train", "frechet_distance"),
        "precision": lambda r: score(r, "held-out", "precision"),
        "recall": lambda r: score(r, "held-out", "recall"),
        "nearer to a photo than photos are, %": lambda r: 100 * r["memorising"]["closer"],
        "seconds a step": lambda r: r["seconds_per_step"],
        "peak memory, GB": lambda r: r["peak_memory_bytes"] / 1e9,
    }
    digits = [3, 3, 1, 1, 3, 3, 1, 2, 2]
    lines = [f"| recipe | seeds | {' | '.join(columns)} |", "|---|---:|" + "---:|" * len(columns)]
    for recipe in RECIPES:
        if found := of(results, name, recipe):
            cells = [spread([column(r) for r in found], d) for column, d in zip(columns.values(), digits, strict=True)]
            lines.append(f"| {recipe} | {len(found)} | {' | '.join(cells)} |")
    return lines


def steps_of(results: Sequence[Result], name: str) -> list[int]:
    return sorted({row["step"] for result in results if result["set"] == name for row in result["rows"]})


def curves(results: Sequence[Result], name: str) -> Image.Image:
    panels = []
    for label, field in (
        ("KID against held-out photos", "kid"),
        ("distance", "frechet_distance"),
        ("recall", "recall"),
    ):
        lines = []
        for recipe in RECIPES:
            if found := of(results, name, recipe):
                points = [
                    (step, statistics.mean(score(r, "held-out", field, step) for r in found))
                    for step in steps_of(results, name)
                ]
                lines.append(Line(recipe, points))
        panels.append(Panel(label, lines))
    picture = draw(panels, title=f"{name}: {ABOUT[name]}", x_label="steps")
    return picture.resize((picture.width // 2, picture.height // 2), Image.Resampling.LANCZOS)


def sweep(results: Sequence[Result], name: str) -> Image.Image | None:
    found = [result for result in results if result["set"] == name and "sweep" in result]
    if not found:
        return None
    panels = []
    for label, field in (("KID against held-out photos", "kid"), ("precision", "precision"), ("recall", "recall")):
        lines = [
            Line(r["recipe"], [(row["truncation"], row[field]) for row in r["sweep"] if row["against"] == "held-out"])
            for r in found
        ]
        panels.append(Panel(label, lines))
    picture = draw(panels, title=f"{name}: truncation", x_label="truncation")
    return picture.resize((picture.width // 2, picture.height // 2), Image.Resampling.LANCZOS)


def grids(folder: Path, name: str) -> Image.Image | None:
    """The recipes side by side, seed 0: without truncation above, at 0.5 below."""
    found = [recipe for recipe in RECIPES if (folder / f"{name}-{recipe.lower()}-0.jpg").exists()]
    if not found:
        return None
    side, head, gap = Image.open(folder / f"{name}-{found[0].lower()}-0.jpg").width, 24, 10
    sheet = Image.new("RGB", (len(found) * (side + gap) - gap, 2 * (side + gap) - gap + head), "white")
    pen = ImageDraw.Draw(sheet)
    for column, recipe in enumerate(found):
        pen.text((column * (side + gap), 4), recipe, fill="#222222", font=ImageFont.load_default(size=15))
        for row, suffix in enumerate(("", "-t0.5")):
            picture = Image.open(folder / f"{name}-{recipe.lower()}-0{suffix}.jpg")
            sheet.paste(picture, (column * (side + gap), head + row * (side + gap)))
    return sheet


def verdict(results: Sequence[Result], name: str) -> list[str]:
    """What a recipe has on the one before it, at the last step, by KID against held-out photos, seed by seed."""
    lines = []
    for better, worse, what in STEPWISE:
        theirs = {r["seed"]: r for r in of(results, name, worse)}
        pairs = [(r, theirs[r["seed"]]) for r in of(results, name, better) if r["seed"] in theirs]
        if not pairs:
            continue
        won = sum(score(a, "held-out", "kid") < score(b, "held-out", "kid") for a, b in pairs)
        ratio = statistics.mean(score(a, "held-out", "kid") for a, _ in pairs) / statistics.mean(
            score(b, "held-out", "kid") for _, b in pairs
        )
        word = "held" if won == len(pairs) else "did not hold" if won == 0 else "undecided"
        seen = f"KID times {ratio:.2f}, better in {won} of {len(pairs)}"
        lines.append(f"- {name}: {what} ({better} against {worse}): {seen}: **{word}**")
    return lines


def cost(results: Sequence[Result]) -> list[str]:
    lines = []
    for name in SETS:
        with_cr, without = of(results, name, "TC+AD+CR"), of(results, name, "TC+AD")
        if with_cr and without:
            ratio = statistics.mean(r["seconds_per_step"] for r in with_cr) / statistics.mean(
                r["seconds_per_step"] for r in without
            )
            lines.append(f"- {name}: CR makes a step {100 * (ratio - 1):.0f} % longer")
    return lines


def main() -> None:
    folder = HERE / "results"
    results = load(folder)
    one = results[0]
    words = [
        "# The study: what the tables say\n",
        "Written by `report.py` from `results`. TC: MineGAN from a pretrained source. AD: DiffAugment. CR: consistency",
        f"regularization. Scratch: none of them. {STEPS} steps, batch 16, 64 px, the defaults of `fewgan train`;",
        f"{PICTURES} pictures a score. Distance: {one['score_name']}, not FID, comparable within one table.",
        f"Mean ± standard deviation over seeds. Computed in {one['precision']} on {one['threads']} thread each",
        f"({one['machine']}; torch {one['torch'].split('+')[0]}); other work ran beside, so seconds compare within a",
        "table.\n",
    ]
    for name, about in ABOUT.items():
        if not any(result["set"] == name for result in results):
            continue
        words += [f"## {name}: {about}\n", *table(results, name), ""]
        for kind, picture in (
            ("curves", curves(results, name)),
            ("sweep", sweep(results, name)),
            ("grids", grids(folder, name)),
        ):
            if picture is not None:
                file = f"{name}-{kind}.{'jpg' if kind == 'grids' else 'png'}"
                picture.save(HERE / file, optimize=True, quality=90)
                words.append(f"![{name}, {kind}]({file})\n")
    words += ["## Which claims held\n"]
    for name in ABOUT:
        words += verdict(results, name)
    words += ["", *cost(results)]
    notes = HERE / "NOTES.md"
    if notes.exists():
        words += ["", notes.read_text().strip()]
    (HERE / "RESULTS.md").write_text("\n".join(words) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
