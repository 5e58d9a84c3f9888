"""The study: does transfer help with few photos, and do DiffAugment and CR add to it?

    python examples/study/study.py --work ./study --photos ./targets --source ./biggan64-photos --jobs 2

Trains the recipes on the sets until KID has not improved for a third of the steps, scores the kept generators against
training and held-out photos, sweeps the truncation, and leaves one JSON and two grids a run in a folder of
examples/study/results. What is there already is not done again, and a training that was stopped is resumed, so the
same command goes on where it ended. `report.py` beside it makes RESULTS.md of the results.

Needs fewgan, fewgan-efficientnet[lite2] and, for their recipes, the packages in plugins/ installed. Sets whose photos
or source are not at hand are left out with a note.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RESULTS = HERE / "results"
STEPS, PICTURES = 3000, 500
EVERY, PATIENCE = 250, 4  # steps between scores; scores without a better one after which a run ends
# Not those that `--visionaided` and FastGAN's discriminator learn from.
FEATURES = ["--features", "efficientnet", "--efficientnet-variant", "2"]
TRUNCATIONS = "0.2,0.4,0.6,0.8,1,1.5,2"
SCRATCH, FASTGAN = "scratch", "FastGAN"  # the recipes without a source
MINE, AUGMENT = ["--transfer", "minegan"], ["--aug", "diffaugment"]
RECIPES = {
    SCRATCH: [],
    "TC": MINE,
    "TC+AD": [*MINE, *AUGMENT],
    "TC+AD+CR": [*MINE, *AUGMENT, "--cr"],
}
# Methods of the packages in plugins/, each in the place of a part of the above or beside it.
# At its published speed ADA's p would need 500,000 photos to go from 0 to 1, and a run shows D 96,000.
PACKAGES = {
    "TC+ADA": [*MINE, "--aug", "ada", "--ada-speed", "20"],
    "TC+AD+CR+VA": [*MINE, *AUGMENT, "--cr", "--visionaided", "--d-steps", "1"],
    FASTGAN: ["--arch", "fastgan"],
}
# One setting of the above changed, to see what an order depends on.
CHANGED = {
    "TC+AD-cutout": [*MINE, *AUGMENT, "--diffaugment-policy", "color,translation"],
    "TC+AD+CR+1D": [*MINE, *AUGMENT, "--cr", "--d-steps", "1"],
    "TC+AD+CR1": [*MINE, *AUGMENT, "--cr", "--cr-weight", "1"],
    "TC+AD+CR+4e-4": [*MINE, *AUGMENT, "--cr", "--lr-d", "4e-4"],
}
ALL = RECIPES | PACKAGES | CHANGED


@dataclass(frozen=True)
class Photos:
    """A set: where its photos are, how many of them are trained on, the source, its width (scratch has the same)."""

    folder: str
    train: int
    source: str | None  # None: the one given with --source
    width: int
    seeds: tuple[int, ...]


SETS = {
    "obama": Photos("obama", 100, None, 16, (0, 1, 2)),
    "sunflowers": Photos("sunflowers", 400, None, 16, (0,)),
    "ringed": Photos("ringed", 100, "embedded", 20, (0,)),
}


@dataclass(frozen=True)
class Run:
    photos: str
    recipe: str
    seed: int

    @property
    def name(self) -> str:
        return f"{self.photos}-{self.recipe.lower()}-{self.seed}"


def runs(sets: list[str], recipes: list[str], seeds: int) -> Iterator[Run]:
    """Seed by seed, so that the first complete set of recipes is there early."""
    for name in sets:
        for seed in SETS[name].seeds[:seeds]:
            for recipe in recipes:
                if recipe in RECIPES or seed == 0:
                    yield Run(name, recipe, seed)


def fewgan(*arguments: object, log: Path, threads: int = 1) -> str:
    """Runs one command; its standard output. Raises RuntimeError with the last line of what it said."""
    command = [sys.executable, "-m", "fewgan", *map(str, arguments)]
    done = subprocess.run(
        command, env={**os.environ, "OMP_NUM_THREADS": str(threads)}, capture_output=True, text=True, check=False
    )
    with log.open("a", encoding="utf-8") as file:
        file.write(f"$ fewgan {' '.join(command[3:])}\n{done.stderr}{done.stdout}")
    if done.returncode:
        raise RuntimeError(f"fewgan {arguments[0]}: {(done.stderr.strip() or '?').splitlines()[-1]} (see {log})")
    return done.stdout


def render(folder: Path, *flags: object) -> Path:
    """The folder with planets, which are made unless they are there."""
    if not folder.is_dir():
        subprocess.run([sys.executable, HERE.parent / "planets.py", folder, *map(str, flags)], check=True)
    return folder


def prepare(photos: Path, data: Path, train: int) -> None:
    """A dataset, unless it is there: so many photos to train on, all others held out."""
    if (data / "dataset.json").exists():
        return
    everything = ["prepare", photos, "--size", 64, "--out", data, "--force", "--json"]
    log = data.with_name(f"{data.name}.log")
    count = json.loads(fewgan(*everything, log=log))["count"]
    fewgan(*everything, "--holdout", count - train, log=log)


def trained(out: Path, data: Path, *flags: object, every: int, log: Path, threads: int = 1) -> Path:
    """The run in `out`: new, resumed or already there. every: steps between checkpoints, all of which are kept."""
    saves = ["--save-every", every, "--sample-every", every, "--keep-generators"]
    fewgan("train", data, "--out", out, *flags, *saves, "--continue", "--quiet", log=log, threads=threads)
    (folder,) = out.glob("0*")
    return folder


def scores(run: Path, seed: int, *flags: object, log: Path, threads: int = 1) -> dict[str, Any]:
    scoring = [*FEATURES, "--count", PICTURES, "--seed", seed, "--json", "--quiet"]
    found: dict[str, Any] = json.loads(fewgan("fid", run, *scoring, *flags, log=log, threads=threads))
    return found


def grid(run: Path, path: Path, *flags: object, log: Path, threads: int = 1) -> None:
    sheet = ["--grid", "--count", 16, "--format", "jpeg", "--out", path]
    fewgan("sample", run, *sheet, *flags, log=log, threads=threads)


def work_on(run: Run, chosen: argparse.Namespace, threads: int) -> None:
    """Trains one run (or what is missing of it), scores it, and writes its result."""
    result = RESULTS / f"{run.name}.json"
    if result.exists():
        return
    photos, out = SETS[run.photos], chosen.work / "runs" / run.name
    out.mkdir(parents=True, exist_ok=True)
    log = out / "log.txt"
    without = {SCRATCH: ["--biggan-width", photos.width], FASTGAN: []}
    start = without.get(run.recipe, ["--source", photos.source or chosen.source])
    common = ["--seed", run.seed, "--precision", chosen.precision, "--steps", chosen.steps]
    ends = ["--score-every", EVERY, "--patience", PATIENCE, *FEATURES]
    flags = [*start, *ALL[run.recipe], *common, *ends]
    folder = trained(out, chosen.work / run.photos, *flags, every=EVERY, log=log, threads=threads)

    curve = scores(folder, run.seed, "--snapshots", log=log, threads=threads)
    steps = max(row["step"] for row in curve["rows"])
    report = {"set": run.photos, "recipe": run.recipe, "seed": run.seed, "steps": steps, "rows": curve["rows"]}
    report["memorising"], report["score_name"] = curve["memorising"], curve["score_name"]  # of the best generator
    if run.seed == 0 and run.photos == "obama" and run.recipe != FASTGAN:
        sweep = scores(folder, run.seed, "--truncation", TRUNCATIONS, log=log, threads=threads)
        report["sweep"] = sweep["rows"]
    metrics = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    config = json.loads((folder / "config.json").read_text())
    report |= {
        "seconds_per_step": statistics.median(line["seconds_per_step"] for line in metrics),
        "peak_memory_bytes": max(line["peak_memory_bytes"] for line in metrics),
        "logits": [
            (line["step"], line["logit_real"], line.get("logit_held_out"), line["logit_fake"]) for line in metrics
        ],
        "signs": [sign for line in metrics for sign in line.get("signs", [])],
        "photos": config["photos"],
        "flags": " ".join(ALL[run.recipe]),
        "precision": chosen.precision,
        "threads": threads,
        "jobs": chosen.jobs,
        "torch": config["torch"],
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
    }
    if run.seed == 0:
        grid(folder, RESULTS / f"{run.name}.jpg", log=log, threads=threads)
        truncated = [] if run.recipe == FASTGAN else ["--truncation", 0.5]  # FastGAN's latents cannot be truncated
        grid(folder, RESULTS / f"{run.name}-t0.5.jpg", *truncated, log=log, threads=threads)
    temporary = result.with_suffix(".tmp")
    temporary.write_text(json.dumps(report) + "\n", encoding="utf-8")
    temporary.replace(result)


def cores() -> int:
    """Those that this process may use: `taskset` leaves some to others."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def main() -> None:
    parser = argparse.ArgumentParser(description="Trains and scores the recipes of the study, resumable run by run.")
    parser.add_argument("--work", type=Path, default=Path("study"), help="datasets, planets and runs [./study]")
    parser.add_argument("--photos", type=Path, help="folder with the folders of photos (obama, sunflowers)")
    parser.add_argument("--source", type=Path, help="the pretrained BigGAN for the photos")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--recipes", nargs="+", choices=ALL, default=list(RECIPES))
    parser.add_argument("--seeds", type=int, default=3, help="of each set, at most [3]")
    parser.add_argument("--steps", type=int, default=STEPS, help=f"of every run [{STEPS}]")
    parser.add_argument("--jobs", type=int, default=1, help="runs side by side, which share the cores [1]")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    chosen = parser.parse_args()
    chosen.work.mkdir(parents=True, exist_ok=True)
    RESULTS.mkdir(parents=True, exist_ok=True)
    sets = [
        name for name in chosen.sets if name == "ringed" or (chosen.photos and chosen.source and chosen.photos.is_dir())
    ]
    for name in chosen.sets:
        if name not in sets:
            print(f"{name}: left out, needs --photos and --source", file=sys.stderr)
        elif name == "ringed":
            planets = render(chosen.work / "planets", "--count", 600, "--classes", name)
            prepare(planets / name, chosen.work / name, SETS[name].train)
        else:
            prepare(chosen.photos / SETS[name].folder, chosen.work / name, SETS[name].train)
    threads = max(cores() // chosen.jobs, 1)

    def one(run: Run) -> str | None:
        try:
            work_on(run, chosen, threads)
        except (RuntimeError, OSError) as error:
            return f"{run.name}: {error}"
        print(f"{run.name}: done", flush=True)
        return None

    with ThreadPoolExecutor(chosen.jobs) as pool:
        failed = [error for error in pool.map(one, runs(sets, chosen.recipes, chosen.seeds)) if error]
    sys.exit("\n".join(failed) or 0)


if __name__ == "__main__":
    main()
