"""The nearer the source, the better: one face learned from faces, from flowers and from planets.

    python examples/study/similar.py --work ./study --photos ./targets --source-photos ./source

Three sources of one size, trained alike on as many pictures each; from each of them, the same 100 photos with the same
seed, and once from scratch. Leaves results/similar.json, one grid a source and one a run. What is there already in the
work folder is not done again.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

from study import AUGMENT, FEATURES, HERE, MINE, PICTURES, fewgan

PHOTOS = 1100  # of each source, all others held out: there are 1,200 flowers
SOURCES = {"faces": "face", "flowers": "flower", "planets": None, "scratch": None}
WIDTH = ["--biggan-width", "16"]
SOURCE_STEPS, STEPS, EVERY = 1500, 600, 150
# Everywhere: a D that learned beside the feature discriminators is too weak without them.
VISIONAIDED = ["--visionaided", "--d-steps", "1"]


def source_photos(name: str, chosen: argparse.Namespace) -> Path:
    if SOURCES[name]:
        return chosen.source_photos / SOURCES[name]
    folder: Path = chosen.work / "planets-of-seven-kinds"
    if not folder.is_dir():
        kinds = ["--classes", "rocky", "desert", "ocean", "ice", "lava", "gas", "storm"]
        planets = HERE.parent / "planets.py"
        subprocess.run([sys.executable, planets, folder, "--count", "172", "--size", "64", *kinds], check=True)
    return folder


def prepare(folder: Path, out: Path, train: int, log: Path) -> None:
    if not (out / "dataset.json").exists():
        everything = ["prepare", folder, "--size", 64, "--out", out, "--force", "--json"]
        count = json.loads(fewgan(*everything, threads=1, log=log))["count"]
        fewgan(*everything, "--holdout", count - train, threads=1, log=log)


def trained(out: Path, data: Path, *flags: object, log: Path) -> Path:
    """The run in a folder: new, resumed or already there."""
    common = ["--out", out, "--precision", "bf16", "--save-every", EVERY, "--sample-every", EVERY, "--continue"]
    fewgan("train", data, *flags, *common, "--keep-generators", "--quiet", threads=1, log=log)
    (folder,) = out.glob("0*")
    return folder


def scores(run: Path, seed: int, log: Path) -> list[dict[str, object]]:
    scoring = [*FEATURES, "--count", PICTURES, "--seed", seed, "--snapshots", "--json", "--quiet"]
    rows: list[dict[str, object]] = json.loads(fewgan("fid", run, *scoring, threads=1, log=log))["rows"]
    return [row for row in rows if row["against"] == "held-out"]


def grid(run: Path, name: str, log: Path) -> None:
    out = HERE / "results" / "similar" / f"{name}.jpg"
    fewgan("sample", run, "--grid", "--count", 16, "--format", "jpeg", "--out", out, threads=1, log=log)


def work_on(name: str, chosen: argparse.Namespace) -> None:
    work, log = chosen.work, chosen.work / f"similar-{name}.txt"
    result = HERE / "results" / "similar" / f"{name}-{chosen.seed}.json"
    if result.exists():
        return
    report: dict[str, object] = {"source": name, "seed": chosen.seed, "steps": STEPS}
    start: list[object] = WIDTH
    if name != "scratch":
        prepare(source_photos(name, chosen), work / f"source-{name}", PHOTOS, log)
        recipe = [*WIDTH, *AUGMENT, *VISIONAIDED, "--steps", SOURCE_STEPS]
        source = trained(work / "sources" / name, work / f"source-{name}", *recipe, log=log)
        report["source_steps"], report["source_rows"] = SOURCE_STEPS, scores(source, 0, log)
        grid(source, f"source-{name}", log)
        start = ["--source", source, *MINE]
    recipe = [*start, *AUGMENT, "--cr", *VISIONAIDED, "--steps", STEPS, "--seed", chosen.seed]
    run = trained(work / "similar" / f"{name}-{chosen.seed}", work / "obama", *recipe, log=log)
    report["rows"] = scores(run, chosen.seed, log)
    grid(run, name, log)
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
    (HERE / "results" / "similar").mkdir(parents=True, exist_ok=True)
    chosen.work.mkdir(parents=True, exist_ok=True)
    prepare(chosen.photos / "obama", chosen.work / "obama", 100, chosen.work / "obama.log")
    for name in chosen.sources:
        work_on(name, chosen)


if __name__ == "__main__":
    main()
