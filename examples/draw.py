"""Draws JPEGs to try fewgan on, where no photos are at hand: moonlit hills, each one different.

    python examples/draw.py FOLDER [COUNT]

Needs numpy and pillow. The same count gives the same pictures.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

SIDE = 160
DUSK = np.array([[28, 24, 60], [70, 40, 80], [20, 46, 80], [90, 50, 50]], dtype=float)
GLOW = np.array([[240, 150, 90], [250, 190, 120], [130, 170, 190], [240, 120, 120]], dtype=float)


def ridge(rng: np.random.Generator, level: float, roughness: float) -> np.ndarray:
    """Heights of a line of hills, as a share of the side from the top: a few waves, the shorter the lower."""
    x = np.linspace(0, 1, SIDE)
    height = np.full(SIDE, level)
    for octave in range(1, 6):
        height += roughness / octave**1.4 * np.sin(2 * np.pi * (octave * x * rng.uniform(0.6, 1.4) + rng.uniform()))
    return height


def draw(seed: int) -> Image.Image:
    """One picture: a sky from dusk to glow, a moon with its halo, stars, three ridges that darken towards the front."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    hue = rng.integers(len(DUSK))
    top, bottom = DUSK[hue] * rng.uniform(0.7, 1.3), GLOW[hue] * rng.uniform(0.85, 1.05)
    sky = top + (bottom - top) * rows[..., None] ** rng.uniform(0.9, 1.8)

    y, x, radius = rng.uniform(0.15, 0.4), rng.uniform(0.2, 0.8), rng.uniform(0.06, 0.13)
    distance = np.hypot(rows - y, columns - x)[..., None]
    sky += 90 * np.exp(-((distance / (2.5 * radius)) ** 2))
    disc = np.clip((radius - distance) * SIDE, 0, 1)
    sky = sky * (1 - disc) + np.array([255, 246, 220]) * disc

    stars = rng.random((SIDE, SIDE, 1)) > 0.9985
    sky += 160 * stars * (rows[..., None] < 0.45)

    land = bottom * 0.75
    for level, roughness in ((0.58, 0.05), (0.7, 0.06), (0.84, 0.05)):
        land = land * rng.uniform(0.45, 0.6) + np.array([4, 6, 14])
        inside = np.clip((rows - ridge(rng, level + rng.uniform(-0.03, 0.03), roughness)) * SIDE, 0, 1)[..., None]
        sky = sky * (1 - inside) + land * inside
    return Image.fromarray(np.clip(sky, 0, 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(0.6))


def main() -> None:
    folder, count = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 200
    folder.mkdir(parents=True, exist_ok=True)
    for seed in range(count):
        draw(seed).save(folder / f"hills-{seed:04d}.jpg", quality=92)
    print(f"{count} pictures in {folder}")


if __name__ == "__main__":
    main()
