"""What a training step costs, whole: python plugins/fewgan-projected/benchmarks/steps.py --sizes 64 128 256

Runs `fewgan train` for each variant in turn, BigGAN of width 16 from scratch or fastgan, one D step, on noise, and
prints a Markdown table: seconds of a step and the highest resident memory, as metrics.jsonl has them for the last ten
steps; seconds also as a ratio to the plain run of the same turn. The median of the rounds counts.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

BIGGAN = ["--biggan-width", "16"]
SIDE = ["--visionaided-side", "128"]
VARIANTS = {
    "plain": BIGGAN,
    "`--visionaided`": [*BIGGAN, "--visionaided"],
    "`--visionaided --visionaided-separable`": [*BIGGAN, "--visionaided", "--visionaided-separable"],
    "`--visionaided --visionaided-alone`": [*BIGGAN, "--visionaided", "--visionaided-alone"],
    "`--visionaided --visionaided-side 128`": [*BIGGAN, "--visionaided", *SIDE],
    "`--visionaided --visionaided-alone --visionaided-side 128`": [
        *BIGGAN,
        "--visionaided",
        "--visionaided-alone",
        *SIDE,
    ],
    "`--arch fastgan`": ["--arch", "fastgan"],
    "`--arch fastgan --no-fastgan-separable`": ["--arch", "fastgan", "--no-fastgan-separable"],
}


def fewgan(*words: object) -> str:
    command = [sys.executable, "-m", "fewgan", *map(str, words)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def measure(dataset: Path, out: Path, options: list[str], arguments: argparse.Namespace) -> tuple[float, float]:
    """Seconds, and MiB."""
    words = ["--steps", arguments.steps, "--d-steps", 1, "--batch-size", arguments.batch, "--sample-every", 10**6]
    fewgan("train", dataset, *options, *words, "--precision", arguments.precision, "--out", out, "--quiet")
    run = max(out.glob("0*"))
    last = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
    return last["seconds_per_step"], last["peak_memory_bytes"] / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[64])
    parser.add_argument("--steps", type=int, default=20, help="of each run; a multiple of ten")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--precision", default="auto")
    arguments = parser.parse_args()
    print("| size | | seconds a step | of plain | MiB |\n|---:|---|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as place:
        for size in arguments.sizes:
            photos, dataset = Path(place, f"photos-{size}"), Path(place, f"data-{size}")
            photos.mkdir()
            random = np.random.default_rng(0)
            for number in range(32):
                noise = Image.fromarray(random.integers(0, 256, (9, 9, 3), dtype=np.uint8))
                noise.resize((size, size), Image.Resampling.BICUBIC).save(photos / f"{number}.png")
            fewgan("prepare", photos, "--size", size, "--out", dataset)
            variants = {name: words for name, words in VARIANTS.items() if size < 128 or SIDE[0] not in words}
            found: dict[str, list[tuple[float, float]]] = {name: [] for name in variants}
            for turn in range(arguments.rounds):
                for index, (name, options) in enumerate(variants.items()):
                    out = Path(place, f"runs-{size}-{turn}-{index}")
                    found[name].append(measure(dataset, out, options, arguments))
            plain = [seconds for seconds, _ in found["plain"]]
            for name, turns in found.items():
                ratio = statistics.median(one / other for (one, _), other in zip(turns, plain, strict=True))
                seconds, memory = (statistics.median(column) for column in zip(*turns, strict=True))
                print(f"| {size} | {name} | {seconds:.3f} | {ratio:.2f} | {memory:,.0f} |", flush=True)


if __name__ == "__main__":
    main()
