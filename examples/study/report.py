"""RESULTS.md, curves and grids from examples/study/results: run it after study.py, or while it runs.

python examples/study/report.py
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image, ImageDraw, ImageFont
from study import HERE, PACKAGES, PICTURES, RECIPES, SCRATCH, STEPS

from fewgan.scoring.curve import Line, Panel, draw

Result = dict[str, Any]
ABOUT = {
    "obama": "100 photos of one face, low variety; 90 held out",
    "sunflowers": "400 photos of sunflowers, high variety; about 290 held out",
    "ringed": "100 rendered ringed planets; about 5,000 others held out",
}
ROUNDS = {
    "first": "First round: the weight of CR as published, 10",
    "second": "Second round: the weight of CR beside an augmentation is 0.3",
}
BASE = "TC+AD"  # what the packages' methods change a part of
STEPWISE = [("TC", SCRATCH, "transfer"), (BASE, "TC", "DiffAugment"), ("TC+AD+CR", BASE, "CR")]
STEPWISE += [
    ("FD+AD", BASE, "Freeze-D in the place of MineGAN"),
    ("TC+ADA", BASE, "ADA in the place of DiffAugment"),
    ("TC+AD+LeCam", BASE, "LeCam"),
]
NUMBERS: dict[str, tuple[int, Callable[[Result], float]]] = {  # column -> digits, value
    "KID, held out": (3, lambda r: score(r, "held-out", "kid")),
    "KID, trained on": (3, lambda r: score(r, "train", "kid")),
    "distance, held out": (1, lambda r: score(r, "held-out", "frechet_distance")),
    "distance, trained on": (1, lambda r: score(r, "train", "frechet_distance")),
    "precision": (3, lambda r: score(r, "held-out", "precision")),
    "recall": (3, lambda r: score(r, "held-out", "recall")),
    "nearer to a photo than photos are, %": (1, lambda r: 100 * r["memorising"]["closer"]),
    "logit gap": (2, lambda r: statistics.mean(gap for step, gap in r["gap"] if step > r["steps"] - 100)),
    "seconds a step": (2, lambda r: r["seconds_per_step"]),
    "peak memory, GB": (2, lambda r: r["peak_memory_bytes"] / 1e9),
}


@dataclass(frozen=True)
class Part:
    """What stands in one table: a set, some recipes, the results of a round and, where it has none, of the first."""

    name: str
    round: str
    recipes: Sequence[str]
    results: Sequence[Result]

    @property
    def label(self) -> str:
        return f"{self.round}-{self.name}" + ("-packages" if set(self.recipes) & set(PACKAGES) else "")

    def of(self, recipe: str) -> list[Result]:
        return [result for result in self.results if result["recipe"] == recipe]

    def shown(self) -> list[str]:
        return [recipe for recipe in self.recipes if self.of(recipe)]


def load(name: str) -> list[Result]:
    return [
        {**json.loads(path.read_text()), "round": name} for path in sorted((HERE / "results" / name).glob("*.json"))
    ]


def parts(name: str, earlier: Sequence[Result]) -> Iterator[Part]:
    """A part a set, and one for the packages. What an equally long round before it has need not run again."""
    own = load(name)
    for photos in ABOUT:
        new = [result for result in own if result["set"] == photos]
        again, steps = {result["recipe"] for result in new}, {result["steps"] for result in new}
        old = [r for r in earlier if r["set"] == photos and r["recipe"] not in again and r["steps"] in steps]
        results = [*new, *old]
        if again & set(RECIPES):
            yield Part(photos, name, list(RECIPES), results)
        if again & set(PACKAGES):
            yield Part(photos, name, ["TC", BASE, *PACKAGES], results)


def score(result: Result, against: str, field: str, step: int | None = None) -> float:
    """A number of the last step, or of another one."""
    rows = [row for row in result["rows"] if row["against"] == against]
    return float(next(row for row in rows if row["step"] == (step or max(r["step"] for r in rows)))[field])


def spread(values: Sequence[float], digits: int = 3) -> str:
    shown = f"{statistics.mean(values):.{digits}f}"
    return f"{shown} ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else shown


def table(part: Part) -> list[str]:
    lines = [f"| recipe | seeds | {' | '.join(NUMBERS)} |", "|---|---:|" + "---:|" * len(NUMBERS)]
    for recipe in part.shown():
        found = part.of(recipe)
        cells = [spread([value(r) for r in found], digits) for digits, value in NUMBERS.values()]
        mark = "" if found[0]["round"] == part.round else "*"
        lines.append(f"| {recipe}{mark} | {len(found)} | {' | '.join(cells)} |")
    if any(line.split(" |")[0].endswith("*") for line in lines):
        lines += [
            "",
            "\\* Of the first round: nothing of it has changed. Seconds and memory are another machine's.",
        ]
    return lines


def curves(part: Part) -> Image.Image:
    panels = []
    for label, field in (
        ("KID against held-out photos", "kid"),
        ("distance", "frechet_distance"),
        ("precision", "precision"),
    ):
        lines = []
        for recipe in part.shown():
            found = part.of(recipe)
            steps = sorted({row["step"] for result in found for row in result["rows"]})
            points = [(s, statistics.mean(score(r, "held-out", field, s) for r in found)) for s in steps]
            lines.append(Line(recipe, points))
        panels.append(Panel(label, lines))
    return _half(draw(panels, title=f"{part.name}: {ABOUT[part.name]}", x_label="steps"))


def sweep(part: Part) -> Image.Image | None:
    found = [result for recipe in part.shown() for result in part.of(recipe) if "sweep" in result]
    if not any(result["round"] == part.round for result in found):
        return None
    panels = []
    for label, field in (("KID against held-out photos", "kid"), ("precision", "precision")):
        lines = [
            Line(r["recipe"], [(row["truncation"], row[field]) for row in r["sweep"] if row["against"] == "held-out"])
            for r in found
        ]
        panels.append(Panel(label, lines))
    if any("variety" in result for result in found):
        # A line without points where there are none, so that a recipe keeps its colour.
        lines = [
            Line(r["recipe"], [tuple(point) for point in r["variety"]])
            if "variety" in r
            else Line(f"{r['recipe']} (not measured)", [])
            for r in found
        ]
        panels.append(Panel("variety: how far samples differ from each other (photos: 1)", lines))
    return _half(draw(panels, title=f"{part.name}: truncation", x_label="truncation"))


def _half(picture: Image.Image) -> Image.Image:
    return picture.resize((picture.width // 2, picture.height // 2), Image.Resampling.LANCZOS)


def grids(part: Part) -> Image.Image | None:
    """The recipes side by side, seed 0: without truncation above, at 0.5 below."""
    found = {}
    for recipe in part.shown():
        path = HERE / "results" / part.of(recipe)[0]["round"] / f"{part.name}-{recipe.lower()}-0"
        if path.with_name(f"{path.name}.jpg").exists():
            found[recipe] = [Image.open(path.with_name(path.name + end)) for end in (".jpg", "-t0.5.jpg")]
    if not found:
        return None
    side, head, gap = next(iter(found.values()))[0].width, 24, 10
    sheet = Image.new("RGB", (len(found) * (side + gap) - gap, 2 * (side + gap) - gap + head), "white")
    pen = ImageDraw.Draw(sheet)
    for column, (recipe, pictures) in enumerate(found.items()):
        pen.text((column * (side + gap) + 2, 4), recipe, fill="#222222", font=ImageFont.load_default(size=15))
        for row, picture in enumerate(pictures):
            sheet.paste(picture, (column * (side + gap), head + row * (side + gap)))
    return sheet


def verdict(part: Part) -> Iterator[str]:
    """What a recipe has on the one before it, at the last step, by KID against held-out photos, seed by seed."""
    for better, worse, what in STEPWISE:
        theirs = {r["seed"]: r for r in part.of(worse)}
        pairs = [(r, theirs[r["seed"]]) for r in part.of(better) if r["seed"] in theirs]
        if better not in part.recipes or not any(a["round"] == part.round for a, _ in pairs):
            continue
        won = sum(score(a, "held-out", "kid") < score(b, "held-out", "kid") for a, b in pairs)
        ratio = statistics.mean(score(a, "held-out", "kid") for a, _ in pairs) / statistics.mean(
            score(b, "held-out", "kid") for _, b in pairs
        )
        word = "held" if won == len(pairs) else "did not hold" if won == 0 else "undecided"
        word += ", as far as one seed tells" if len(pairs) == 1 else ""
        seen = f"KID times {ratio:.2f}, better in {won} of {len(pairs)}"
        yield f"- {part.name}: {what} ({better} against {worse}): {seen}: **{word}**"


def cost(part: Part) -> Iterator[str]:
    """Of CR, where both sides were measured on one machine."""
    sides = [[r for r in part.of(recipe) if r["round"] == part.round] for recipe in ("TC+AD+CR", BASE)]
    if all(sides) and "TC+AD+CR" in part.recipes:
        with_cr, without = (statistics.mean(r["seconds_per_step"] for r in side) for side in sides)
        yield f"- {part.name}: CR makes a step {100 * (with_cr / without - 1):.0f} % longer"


def picture(part: Part, kind: str, image: Image.Image | None) -> Iterator[str]:
    if image is not None:
        file = f"{part.label}-{kind}.{'jpg' if kind == 'grids' else 'png'}"
        image.save(HERE / file, optimize=True, quality=90)
        yield f"![{part.name}, {kind}]({file})\n"


def main() -> None:
    words = [
        "# The study: what the tables say\n",
        "Written by `report.py` from `results`. TC: MineGAN from a pretrained source. AD: DiffAugment. CR: consistency",
        "regularization. Scratch: none of them. FD: Freeze-D in the place of MineGAN, from the same source. ADA and",
        f"LeCam: the packages of these names. {STEPS} steps unless said, batch 16, 64 px, the defaults of",
        f"`fewgan train`; {PICTURES} pictures a score, other ones for each seed. Distance: Fréchet distance on",
        "EfficientNet-Lite0 features, not FID, comparable within one set. Mean ± standard deviation over seeds. Logit",
        "gap: mean over the last 100 steps.\n",
    ]
    earlier: list[Result] = []
    for name, about in ROUNDS.items():
        found = list(parts(name, earlier))
        if not found:
            continue
        fresh = [result for part in found for result in part.results if result["round"] == name]
        machines = {(r["precision"], r["threads"], r["machine"], r["torch"].split("+")[0]) for r in fresh}
        words += [f"## {about}\n"]
        words += [f"{steps:,} steps.\n" for steps in sorted({r["steps"] for r in fresh}) if steps != STEPS]
        words += [
            f"Computed in {precision} on {threads} thread each ({machine}; torch {torch}); other work ran beside.\n"
            for precision, threads, machine, torch in sorted(machines)
        ]
        for part in found:
            packages = ", the methods of the packages" if part.label.endswith("packages") else ""
            words += [f"### {part.name}: {ABOUT[part.name]}{packages}\n", *table(part), ""]
            for kind, image in (("curves", curves(part)), ("sweep", sweep(part)), ("grids", grids(part))):
                words += picture(part, kind, image)
        words += ["### Which claims held\n"]
        for part in found:
            words += verdict(part)
        costs = [line for part in found for line in cost(part)]
        words += ["", *costs, ""] if costs else [""]
        earlier += load(name)
    notes = HERE / "NOTES.md"
    if notes.exists():
        words += [notes.read_text().strip()]
    (HERE / "RESULTS.md").write_text("\n".join(words) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
