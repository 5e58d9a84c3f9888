"""Preparing photos: 12-megapixel JPEGs a second on one core, and memory over many small pictures.

    python examples/benchmarks/prepare.py                        decoding, against decode-then-resize
    python examples/benchmarks/prepare.py --many --count 100000  memory as `fewgan prepare` goes; minutes, Linux

Decoding: `fewgan.photos.decode.decode`, which `fewgan prepare` calls for each photo, against opening the picture whole,
cropping the centred square and resampling it once with Lanczos, in turns in one process; and the mean difference of
the two results in grey levels of 255.
"""

import argparse
import io
import multiprocessing
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from measure import in_turns, machine, ratios, resident, spread, table
from numpy.typing import NDArray
from PIL import Image, features

from fewgan.photos.decode import decode

CAMERA = (4000, 3000)
LOOKS = 10


def camera_photo(seed: int) -> bytes:
    """A JPEG of 12 megapixels with structure at every scale and some grain, as a camera writes it."""
    random = np.random.default_rng(seed)
    width, height = CAMERA
    total = np.zeros((height, width, 3), np.float32)
    for shrink, strength in ((500, 60), (100, 30), (20, 16), (4, 8), (1, 3)):
        grain = random.integers(0, 256, (height // shrink, width // shrink, 3), dtype=np.uint8)
        layer = np.asarray(Image.fromarray(grain).resize(CAMERA, Image.Resampling.BICUBIC), np.float32)
        total += (layer / 127.5 - 1) * strength
    file = io.BytesIO()
    Image.fromarray((total + 128).clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=92)
    return file.getvalue()


def plain(data: bytes, size: int) -> NDArray[np.uint8]:
    """uint8 [size, size, 3]: decode all, crop, resize."""
    with Image.open(io.BytesIO(data)) as image:
        whole = image.convert("RGB")
    side = min(whole.size)
    left, top = (whole.width - side) // 2, (whole.height - side) // 2
    square = whole.crop((left, top, left + side, top + side))
    return np.asarray(square.resize((size, size), Image.Resampling.LANCZOS))


def own(data: bytes, size: int) -> NDArray[np.uint8]:
    return decode(io.BytesIO(data), size).pixels


def every(function: Callable[[bytes, int], NDArray[np.uint8]], photos: list[bytes], size: int) -> list[Any]:
    return [function(photo, size) for photo in photos]


def decoding(sizes: list[int], count: int, rounds: int) -> str:
    photos = [camera_photo(seed) for seed in range(count)]
    print(
        f"\n{count} JPEGs of {CAMERA[0]} x {CAMERA[1]}, {sum(map(len, photos)) / count / 1e6:.1f} MB each.", flush=True
    )
    rows = []
    for size in sizes:
        seconds = in_turns(
            {
                "plain": partial(every, plain, photos, size),
                "fewgan": partial(every, own, photos, size),
            },
            rounds,
        )
        rates = {name: [count / value for value in values] for name, values in seconds.items()}
        pairs = zip(every(plain, photos, size), every(own, photos, size), strict=True)
        difference = np.mean([np.abs(a.astype(int) - b).mean() for a, b in pairs])
        times = ratios(seconds["plain"], seconds["fewgan"])
        row = [f"{size} px", spread(rates["plain"], 1), spread(rates["fewgan"], 1), spread(times, 2)]
        rows.append([*row, f"{difference:.3f}"])
    return table(("to", "plain, photos/s", "fewgan, photos/s", "times faster", "difference, grey levels"), rows)


def small_photo(path: Path, seed: int) -> None:
    noise = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(noise).resize((80, 80), Image.Resampling.BICUBIC).save(path, "JPEG", quality=85)


def write_some(task: tuple[Path, range]) -> None:
    folder, seeds = task
    for seed in seeds:
        small_photo(folder / f"{seed:07d}.jpg", seed)


def children(process: int) -> list[int]:
    found = Path(f"/proc/{process}/task/{process}/children")
    own = [int(word) for word in found.read_text().split()] if found.exists() else []
    return own + [deeper for child in own for deeper in children(child)]


def many(count: int, size: int, workers: int) -> str:
    """The resident size of `fewgan prepare`, its own and that of its workers together, as the photos go by."""
    rows, workers_most = [], 0
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "photos"
        folder.mkdir()
        with multiprocessing.Pool() as pool:
            pool.map(write_some, [(folder, range(first, count, 64)) for first in range(64)])
        command = [sys.executable, "-m", "fewgan", "prepare", folder, "--out", Path(place) / "dataset"]
        command += ["--size", str(size), "--workers", str(workers), "--quiet"]
        started = time.perf_counter()
        with (Path(place) / "errors").open("w+") as errors:
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors, cwd=place)
            done = 0
            while process.poll() is None:
                workers_most = max(workers_most, sum(resident("VmRSS", child) for child in children(process.pid)))
                written = sum(file.stat().st_size for file in Path(place).glob(".fewgan-*.partial/images.safetensors"))
                photos = written // (3 * size * size)
                if photos >= done + count // LOOKS:
                    done = photos
                    megabytes = [resident("VmHWM", process.pid) / 1e6, workers_most / 1e6]
                    seconds = time.perf_counter() - started
                    rows.append([f"{photos:,}", f"{seconds:.1f}", *(f"{value:.0f}" for value in megabytes)])
                time.sleep(0.05)
            errors.seek(0)
            if process.returncode:
                raise SystemExit(errors.read())
        seconds = time.perf_counter() - started
        result = f"{count:,} JPEGs of 80 px to {size} px, {workers} workers: {seconds:.1f} s, {count / seconds:.0f}/s."
    head = ("photos written", "seconds", "highest of the main process, MB", "highest sum of its workers, MB")
    return f"{result}\n\n{table(head, rows)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="64,128,256", help="sides in pixels")
    parser.add_argument("--photos", type=int, default=4, help="12-megapixel JPEGs a turn")
    parser.add_argument("--rounds", type=int, default=7, help="counted turns, after 1 that is not")
    parser.add_argument("--many", action="store_true", help="memory over many small pictures instead")
    parser.add_argument("--count", type=int, default=100_000, help="pictures of --many")
    parser.add_argument("--workers", type=int, default=2, help="processes of --many")
    options = parser.parse_args()
    jpeg = f"libjpeg-turbo {features.version('libjpeg_turbo')}" if features.check("libjpeg_turbo") else "libjpeg"
    print(machine(**{"Pillow": Image.__version__, "JPEG by": jpeg}), flush=True)
    if options.many:
        print(f"\n{many(options.count, 64, options.workers)}")
    else:
        sizes = [int(size) for size in options.sizes.split(",")]
        print(f"\n{decoding(sizes, options.photos, options.rounds)}")


if __name__ == "__main__":
    main()
