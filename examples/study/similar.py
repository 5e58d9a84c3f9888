"""The nearer the source, the better: one face learned from faces, from flowers and from planets.

    python examples/study/similar.py --work ./study --photos ./targets --source-photos ./source

Three sources of one size, trained alike on as many pictures each; from each of them, the same 100 photos with the same
seed, and once from scratch. Leaves one JSON and one grid a run, and one grid a source, in results/similar. What is
there already is not done again.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from study import AUGMENT, MINE, RESULTS, grid, prepare, render, scores, trained

PHOTOS = 1100  # of each source, all others held out: there are 1,200 flowers
SOURCES = {"faces": "face", "flowers": "flower", "planets": None, "scratch": None}
WIDTH = ["--biggan-width", "16"]
SOURCE_STEPS, STEPS, EVERY = 1500, 600, 150
# Everywhere: a D that learned beside the feature discriminators is too weak without them.
VISIONAIDED = ["--visionaided", "--d-steps", "1"]
PRECISION = ["--precision", "bf16"]
KINDS = ["rocky", "desert", "ocean", "ice", "lava", "gas", "storm"]
SIMILAR = RESULTS / "similar"


def source_photos(name: str, chosen: argparse.Namespace) -> Path:
    if SOURCES[name]:
        return chosen.source_photos / SOURCES[name]
    return render(chosen.work / "planets-of-seven-kinds", "--count", 172, "--classes", *KINDS)


def work_on(name: str, chosen: argparse.Namespace) -> None:
    work, log = chosen.work, chosen.work / f"similar-{name}.txt"
    result = SIMILAR / f"{name}-{chosen.seed}.json"
    if result.exists():
        return
    report: dict[str, object] = {"source": name, "seed": chosen.seed, "steps": STEPS}
    start: list[object] = [*WIDTH]
    if name != "scratch":
        data = work / f"source-{name}"
        prepare(source_photos(name, chosen), data, PHOTOS)
        recipe = [*WIDTH, *AUGMENT, *VISIONAIDED, *PRECISION, "--steps", SOURCE_STEPS]
        source = trained(work / "sources" / name, data, *recipe, every=EVERY, log=log)
        report["source_steps"], report["source_rows"] = SOURCE_STEPS, scores(source, 0, "--snapshots", log=log)["rows"]
        grid(source, SIMILAR / f"source-{name}.jpg", log=log)
        start = ["--source", source, *MINE]
    recipe = [*start, *AUGMENT, "--cr", *VISIONAIDED, *PRECISION, "--steps", STEPS, "--seed", chosen.seed]
    run = trained(work / "similar" / f"{name}-{chosen.seed}", work / "obama", *recipe, every=EVERY, log=log)
    report["rows"] = scores(run, chosen.seed, "--snapshots", log=log)["rows"]
    grid(run, SIMILAR / f"{name}.jpg", log=log)
    result.write_text(json.dumps(report) + "\n", encoding="utf-8")
    print(f"{name}: done", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Trains the three sources and, from each, one face.")
    parser.add_argument("--work", type=Path, default=Path("study"), help="that of study.py [./study]")
    parser.add_argument("--photos", type=Path, required=True, help="folder with the folder obama")
    parser.add_argument("--source-photos", type=Path, required=True, help="folder with the folders face and flower")
    parser.add_argument("--sources", nargs="+", choices=SOURCES, default=list(SOURCES))
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    SIMILAR.mkdir(parents=True, exist_ok=True)
    chosen.work.mkdir(parents=True, exist_ok=True)
    prepare(chosen.photos / "obama", chosen.work / "obama", 100)
    for name in chosen.sources:
        work_on(name, chosen)


if __name__ == "__main__":
    main()
