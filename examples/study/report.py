"""RESULTS.md, curves and grids from examples/study/results: run it after study.py, or while it runs.

python examples/study/report.py
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont
from study import ALL, CHANGED, EVERY, FASTGAN, HERE, PATIENCE, PICTURES, RESULTS, SCRATCH, STEPS

from fewgan.scoring.curve import Line, Panel, draw
from fewgan.transfers.minegan import MINER_STEPS

Result = dict[str, Any]
ABOUT = {
    "obama": "100 photos of one face, low variety; 90 held out",
    "sunflowers": "400 photos of sunflowers, high variety; 290 held out",
    "ringed": "100 rendered ringed planets; 500 held out",
}
CLAIMS = [
    ("TC", SCRATCH, "transfer"),
    ("TC+AD", "TC", "DiffAugment"),
    ("TC+AD+CR", "TC+AD", "CR"),
    ("TC+ADA", "TC+AD", "ADA in the place of DiffAugment"),
    ("TC+AD+CR+VA", "TC+AD+CR", "discriminators on features beside D"),
    (FASTGAN, SCRATCH, "FastGAN from scratch"),
    ("TC+AD-cutout", "TC+AD", "DiffAugment without cutout"),
    ("TC+AD+CR+1D", "TC+AD+CR", "one D step in the place of two"),
    ("TC+AD+CR1", "TC+AD+CR", "CR of weight 1 in the place of 0.3"),
    ("TC+AD+CR+4e-4", "TC+AD+CR", "D at twice its rate"),
]
HEAD = f"""# The study

Written by `report.py` from `results`, which `study.py` makes; what it means is said [below](#in-words).

- TC: MineGAN from a pretrained source. AD: DiffAugment. CR: consistency regularization. Scratch: none of them. ADA: in
  the place of DiffAugment. VA: `--visionaided --d-steps 1`. FastGAN: `--arch fastgan`, from scratch. TC+AD-cutout: only
  colour and translation. 1D: `--d-steps 1`. CR1: `--cr-weight 1` (with an augmentation it is 0.3). 4e-4: `--lr-d 4e-4`
  (it is 2e-4).
- At most {STEPS:,} steps, fewer where KID had no better value for {EVERY * PATIENCE:,}; batch 16, 64 px, else the
  defaults of `fewgan train`. A score every {EVERY} steps: {PICTURES} pictures against held-out photos, on features of
  EfficientNet-Lite2, which no D has learned from.
- "Best": the generator of the lowest KID, once {MINER_STEPS} mining steps are over. Distance: Fréchet distance on the
  same features, which is not FID. Coverage, precision: shares of photos, and of samples, near the others. AuthPct:
  samples that are no copies, %. Vendi: variety, in that of the photos. Nearer: samples nearer to a training photo than
  photos are to each other, %. Mean ± standard deviation over seeds.
- Overfitting of D: where its mean logit of held-out photos lies between that of samples (1) and that of training photos
  (0), at the best generator and at the end.
"""


@dataclass(frozen=True)
class Part:
    """One set: its results, recipe by recipe."""

    name: str
    results: Sequence[Result]

    def of(self, recipe: str) -> list[Result]:
        return [result for result in self.results if result["recipe"] == recipe]

    def shown(self) -> list[str]:
        return [recipe for recipe in ALL if self.of(recipe)]


def rows(result: Result, of: str = "rows") -> list[Result]:
    """Against the held-out photos, in the order of the steps."""
    return sorted((row for row in result[of] if row["against"] == "held-out"), key=lambda row: row["step"])


def best(result: Result) -> Result:
    """Of the lowest KID. While MineGAN mines, the pictures are the source's: they are not counted."""
    mined = min(MINER_STEPS, result["steps"] // 4) if "minegan" in result.get("flags", "") else 0
    return min((row for row in rows(result) if row["step"] > mined), key=lambda row: row["kid"])


def overfitting(result: Result, step: int) -> float:
    """Over the steps since the last score: 0 where D takes held-out photos for training photos, 1 where for samples."""
    found = [logits for at, *logits in result["logits"] if step - EVERY < at <= step and logits[1] is not None]
    if not found:
        return float("nan")
    real, held_out, fake = (statistics.mean(values) for values in zip(*found, strict=True))
    return (real - held_out) / (real - fake)


NUMBERS: dict[str, tuple[int, Callable[[Result], float]]] = {  # column -> digits, value
    "best KID": (3, lambda r: best(r)["kid"]),
    "at step": (0, lambda r: best(r)["step"]),
    "KID at the end": (3, lambda r: rows(r)[-1]["kid"]),
    "end": (0, lambda r: r["steps"]),
    "best: distance": (0, lambda r: best(r)["frechet_distance"]),
    "precision": (2, lambda r: best(r)["precision"]),
    "coverage": (2, lambda r: best(r)["coverage"]),
    "Vendi": (2, lambda r: best(r)["vendi_ratio"]),
    "AuthPct": (0, lambda r: 100 * best(r)["authentic"]),
    "nearer": (1, lambda r: 100 * r["memorising"]["closer"]),
    "overfitting: best": (2, lambda r: overfitting(r, best(r)["step"])),
    "overfitting: end": (2, lambda r: overfitting(r, r["steps"])),
}
CURVES = {
    "KID against held-out photos": "kid",
    "coverage": "coverage",
    "Vendi (photos: 1)": "vendi_ratio",
    "AuthPct (samples, no copies)": "authentic",
}
SWEEP = {"KID against held-out photos": "kid", "precision": "precision", "coverage": "coverage", "Vendi": "vendi_ratio"}


def load() -> list[Part]:
    found = [json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))]
    parts = [Part(name, [result for result in found if result["set"] == name]) for name in ABOUT]
    return [part for part in parts if part.results]


def spread(values: Sequence[float], digits: int) -> str:
    shown = f"{statistics.mean(values):,.{digits}f}"
    return f"{shown} ± {statistics.stdev(values):,.{digits}f}" if len(values) > 1 else shown


def table(part: Part) -> Iterator[str]:
    yield f"| recipe | seeds | {' | '.join(NUMBERS)} |"
    yield "|---|---:|" + "---:|" * len(NUMBERS)
    for recipe in part.shown():
        found = part.of(recipe)
        cells = [spread([value(result) for result in found], digits) for digits, value in NUMBERS.values()]
        yield f"| {recipe} | {len(found)} | {' | '.join(cells)} |".replace("nan", "")


def curves(part: Part) -> Image.Image:
    """Means over the seeds, as far as all of them went; of the recipes, and not of changes to one of their settings."""
    panels, recipes = [], [recipe for recipe in part.shown() if recipe not in CHANGED]
    for label, field in CURVES.items():
        lines = []
        for recipe in recipes:
            runs = [{row["step"]: row[field] for row in rows(result)} for result in part.of(recipe)]
            steps = sorted(set.intersection(*map(set, runs)))
            lines.append(Line(recipe, [(step, statistics.mean(run[step] for run in runs)) for step in steps]))
        panels.append(Panel(label, lines))
    lines = []
    for recipe in recipes:
        found = part.of(recipe)
        last = min(result["steps"] for result in found)
        steps = range(EVERY, last + 1, EVERY)
        lines.append(Line(recipe, [(s, statistics.mean(overfitting(r, s) for r in found)) for s in steps]))
    panels.append(Panel("overfitting of D", lines))
    return _half(draw(panels, title=f"{part.name}: {ABOUT[part.name]}", x_label="steps"))


def sweep(part: Part) -> Image.Image | None:
    """Of the best run that was sampled at several truncations."""
    found = [result for result in part.results if "sweep" in result]
    if not found:
        return None
    run = min(found, key=lambda result: best(result)["kid"])
    points = [row for row in run["sweep"] if row["against"] == "held-out"]
    panels = [
        Panel(label, [Line(run["recipe"], [(row["truncation"], row[field]) for row in points])])
        for label, field in SWEEP.items()
    ]
    title = f"{part.name}, {run['recipe']}, step {best(run)['step']:,}: truncation"
    return _half(draw(panels, title=title, x_label="truncation"))


def _half(picture: Image.Image) -> Image.Image:
    return picture.resize((picture.width // 2, picture.height // 2), Image.Resampling.LANCZOS)


def beside(found: dict[str, list[Image.Image]]) -> Image.Image:
    """Columns of square pictures of one size, each under its name."""
    side, head, gap = next(iter(found.values()))[0].width, 24, 10
    lines = max(map(len, found.values()))
    sheet = Image.new("RGB", (len(found) * (side + gap) - gap, lines * (side + gap) - gap + head), "white")
    pen = ImageDraw.Draw(sheet)
    for column, (name, pictures) in enumerate(found.items()):
        pen.text((column * (side + gap) + 2, 4), name, fill="#222222", font=ImageFont.load_default(size=15))
        for row, picture in enumerate(pictures):
            sheet.paste(picture, (column * (side + gap), head + row * (side + gap)))
    return sheet


def grids(part: Part) -> Image.Image:
    """The recipes side by side, seed 0, their best generators: without truncation above, at 0.5 below."""
    found = {}
    for recipe in part.shown():
        stem = f"{part.name}-{recipe.lower()}-0"
        found[recipe] = [Image.open(RESULTS / f"{stem}{end}.jpg") for end in ("", "-t0.5")]
    return beside(found)


def verdict(part: Part) -> Iterator[str]:
    """What a recipe has on the one before it, by the best KID, seed by seed."""
    for better, worse, what in CLAIMS:
        theirs = {r["seed"]: best(r)["kid"] for r in part.of(worse)}
        pairs = [(best(r)["kid"], theirs[r["seed"]]) for r in part.of(better) if r["seed"] in theirs]
        if not pairs:
            continue
        won = sum(a < b for a, b in pairs)
        ratio = statistics.mean(a for a, _ in pairs) / statistics.mean(b for _, b in pairs)
        word = "held" if won == len(pairs) else "did not hold" if won == 0 else "undecided"
        word += ", as far as one seed tells" if len(pairs) == 1 else ""
        seen = f"KID times {ratio:.2f}, better in {won} of {len(pairs)}"
        yield f"- {part.name}: {what} ({better} against {worse}): {seen}: **{word}**"


def picture(out: Path, name: str, kind: str, image: Image.Image | None) -> Iterator[str]:
    if image is not None:
        file = f"{name}-{kind}.{'jpg' if kind == 'grids' else 'png'}"
        image.save(out / file, optimize=True, quality=90)
        yield f"![{name}, {kind}]({file})\n"


def similar(out: Path) -> Iterator[str]:
    """Of similar.py: one face from sources of other things."""
    folder = RESULTS / "similar"
    found = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    if not found:
        return
    found.sort(key=lambda result: best(result)["kid"])
    steps = [row["step"] for row in rows(found[0])]
    yield "## How near the source is\n"
    about = f"obama, TC+AD+CR+VA, {found[0]['steps']:,} steps, from three sources of one size (`similar.py`)"
    yield f"{about}, and from scratch. Below each grid, at the last step, that of its source.\n"
    yield f"| source | its own KID | {' | '.join(f'KID at step {step}' for step in steps)} | best: coverage | Vendi |"
    yield "|---|---:|" + "---:|" * (len(steps) + 2)
    for result in found:
        own = f"{rows(result, 'source_rows')[-1]['kid']:.3f}" if "source_rows" in result else ""
        kids = " | ".join(f"{row['kid']:.3f}" for row in rows(result))
        shares = f"{best(result)['coverage']:.2f} | {best(result)['vendi_ratio']:.2f}"
        yield f"| {result['source']} | {own} | {kids} | {shares} |"
    yield ""
    columns = {}
    for result in found:
        made, source = (folder / f"{kind}{result['source']}.jpg" for kind in ("", "source-"))
        columns[result["source"]] = [Image.open(path) for path in (made, source) if path.exists()]
    yield from picture(out, "similar", "grids", beside(columns))


def main(out: Path = HERE) -> None:
    words = [HEAD]
    parts = load()
    for part in parts:
        words += [f"## {part.name}: {ABOUT[part.name]}\n", *table(part), ""]
        for kind, image in (("curves", curves(part)), ("sweep", sweep(part)), ("grids", grids(part))):
            words += picture(out, part.name, kind, image)
    machines = {
        (r["precision"], r["threads"], r["machine"], r["torch"].split("+")[0]) for p in parts for r in p.results
    }
    words += [
        f"Computed in {p} on {n} thread each ({m}; torch {t}); other work ran beside.\n"
        for p, n, m, t in sorted(machines)
    ]
    words += ["## Which claims held\n", *(line for part in parts for line in verdict(part)), ""]
    words += similar(out)
    words += [(HERE / "NOTES.md").read_text().strip()]
    (out / "RESULTS.md").write_text("\n".join(words) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
