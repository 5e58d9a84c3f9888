"""Renders photo-like planets: pictures without rights of others, in eight classes, as many as wanted.

    python examples/planets.py OUT --count 100 --classes ringed --size 64 --seed 0

writes OUT/<class>/000000.png and so on. Needs numpy and pillow. A picture depends on its class, seed and number alone;
another size shows the same planet with more or less detail. From Python: `render("ocean", seed=7, size=256)`.
"""

from __future__ import annotations

import argparse
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image
from surfaces import CLASSES, SURFACES, Array, Noise, Surface, any_of, hue, mix, ramp, step


@dataclass
class View:
    """Where the planet stands in the picture and how it is lit; drawn once, before anything that depends on size."""

    centre: Array
    radius: float  # share of the picture's side
    light: Array
    axes: Array  # rows: the planet's own x, y (north), z in the viewer's
    rings: Rings | None = None
    sky: Array = field(default_factory=lambda: np.zeros(3))


@dataclass
class Rings:
    """Rings in the plane of the equator: opacity and colour by distance from the centre, in radii."""

    edges: tuple[float, float]
    opacity: Array
    colours: Array

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> Rings:
        """Ringlets of many widths, one or two clear gaps, thin towards the planet."""
        spots = np.linspace(0, 1, 256)
        wave = sum(
            rng.uniform(0.3, 1) * np.sin(2 * np.pi * (k * spots + rng.random())) / k**0.5 for k in (2, 3, 5, 9, 17)
        )
        opacity = np.clip(0.68 + 0.2 * wave, 0.08, 0.97) * step(-0.05, 0.2 + 0.3 * rng.random(), spots)
        for _ in range(int(rng.integers(1, 3))):
            opacity *= 1 - 0.95 * np.exp(-(((spots - rng.uniform(0.35, 0.9)) / rng.uniform(0.02, 0.045)) ** 2))
        pair = any_of(
            rng,
            [hue("c9ab80", "efe0c4"), hue("9c9288", "dcd6ce"), hue("b48a6a", "e6cdb2"), hue("98a4ac", "d6e2e8")],
        )
        colours = mix(pair[0], pair[1], 0.5 + 0.35 * np.roll(wave, 40))
        return cls((rng.uniform(1.2, 1.4), rng.uniform(1.95, 2.3)), opacity, colours)

    def read(self, distance: Array) -> tuple[Array, Array]:
        """Opacity [P] and colour [P, 3] at distances [P]."""
        inner, outer = self.edges
        at = (distance - inner) / (outer - inner)
        inside = np.clip(np.minimum(at, 1 - at) * 40 + 0.5, 0, 1)
        spots = np.linspace(0, 1, len(self.opacity))
        return np.interp(at, spots, self.opacity) * inside, ramp(self.colours, np.clip(at, 0, 1))


def _view(rng: np.random.Generator, ringed: bool) -> View:
    """Centre, radius, sunlight and axis: three quarters lit on average, never quite from behind."""
    around, height = rng.uniform(0, 2 * np.pi), rng.uniform(0.3, 0.85)
    light = np.array([np.cos(around) * np.sqrt(1 - height**2), np.sin(around) * np.sqrt(1 - height**2), height])
    lean, nod = (
        (rng.normal(0, 0.35), rng.uniform(0.16, 0.5) * rng.choice([-1, 1])) if ringed else rng.normal(0, 0.25, 2)
    )
    roll = np.array([[np.cos(lean), np.sin(lean), 0], [-np.sin(lean), np.cos(lean), 0], [0, 0, 1]])
    pitch = np.array([[1, 0, 0], [0, np.cos(nod), np.sin(nod)], [0, -np.sin(nod), np.cos(nod)]])
    radius = rng.uniform(0.19, 0.235) if ringed else rng.uniform(0.30, 0.42)
    centre = 0.5 + rng.uniform(-0.04, 0.04, 2)
    sky = hue(("0a0c18", "120a16", "08121a", "0d0d10")[rng.integers(4)])[0] * rng.uniform(0.3, 1.6)
    return View(centre, radius, light, pitch @ roll, Rings.drawn(rng) if ringed else None, sky)


def _space(rng: np.random.Generator, noise: Noise, view: View, plane: Array, side: int) -> Array:
    """The sky [side * side, 3]: a faint nebula, and stars a pixel of a 64-pixel picture wide."""
    depth = np.concatenate([plane * 0.7, np.full((len(plane), 1), 9.0)], 1)
    light = view.sky * (1 + 1.2 * noise(depth, 0.7, 4))[:, None].clip(0.2, 3)
    count = int(rng.integers(15, 45))
    spots, power = rng.random((count, 2)), 0.03 * (1 - rng.random(count) * 0.98) ** -0.9
    tints = 1 + rng.normal(0, 0.12, (count, 3))
    wide = max(side / 64 * 0.42, 0.6)
    reach, sky, places = int(np.ceil(3 * wide)), light.reshape(side, side, 3), np.arange(side) + 0.5
    for (x, y), strong, tint in zip(spots * side, power, tints, strict=True):
        top, left = max(int(y) - reach, 0), max(int(x) - reach, 0)
        patch = sky[top : int(y) + reach + 1, left : int(x) + reach + 1]
        rows, columns = places[top : top + len(patch), None], places[left : left + patch.shape[1]]
        away = (rows - y) ** 2 + (columns - x) ** 2
        patch += (strong * np.exp(-away / (2 * wide**2)))[..., None] * tint
    return light


def _shade(surface: Surface, normals: Array, relief: Array, view: View, shadow: Array) -> Array:
    """Light from a surface [P, 3]: Lambert with a soft terminator, relief, clouds, glint, air, its own glow."""
    bent = normals - relief
    bent /= np.linalg.norm(bent, axis=1, keepdims=True)
    facing = normals @ view.light
    day = (step(-0.06, 0.2, facing) * np.clip(bent @ view.light * 0.92 + 0.06, 0, None) * shadow)[:, None]
    above = (np.clip(facing + 0.05, 0, None) * shadow)[:, None]
    half = view.light + np.array([0, 0, 1])
    glint = np.clip(normals @ (half / np.linalg.norm(half)), 0, 1) ** 45 * surface.gloss * (facing > 0) * 1.1
    clouds = np.asarray(surface.clouds)[..., None]
    light = (surface.albedo * day + glint[:, None] * np.array([1, 0.95, 0.85])) * (1 - clouds) + clouds * above * 0.93
    rim = (1 - normals[:, 2]) ** 3 * min(surface.depth * 14, 1)
    return light * 1.35 + 0.75 * rim[:, None] * above * np.array(surface.air) + surface.glow


def render(name: str, seed: int, size: int = 64, rings: bool = False) -> Image.Image:
    """One planet of class `name` (see CLASSES) as an RGB picture of size x size pixels.

    rings: around planets of the other classes, too; `ringed` always has them.
    Raises KeyError for an unknown class and ValueError for a size below 8.
    """
    if size < 8:
        raise ValueError("size must be at least 8")
    surface_of = SURFACES[name]
    rng = np.random.default_rng([CLASSES.index(name), seed])
    view = _view(rng, rings or name == "ringed")
    fine = 2 if size <= 256 else 1  # supersampling
    side = size * fine
    pixel = 1 / (view.radius * side)  # in radii
    noise = Noise(rng, 0.6 / (pixel * fine))

    spots = (np.arange(side) + 0.5) / side
    x, y = np.meshgrid((spots - view.centre[0]) / view.radius, (view.centre[1] - spots) / view.radius)
    plane = np.stack([x.ravel(), y.ravel()], 1)
    away = np.hypot(plane[:, 0], plane[:, 1])
    light = _space(np.random.default_rng([CLASSES.index(name), seed, 1]), noise, view, plane, side)

    # A margin around the disc is shaded as its edge is, so that slopes and the smooth edge are right there.
    near = away < 1 + 3 * pixel
    flat = plane[near] / np.maximum(away[near], 1)[:, None]
    normals = np.concatenate([flat, np.sqrt(np.maximum(1 - (flat**2).sum(1, keepdims=True), 0))], 1)
    surface = surface_of(rng, noise, normals @ view.axes.T)

    height = np.zeros(side * side)
    height[near] = surface.height
    rows, columns = np.gradient(height.reshape(side, side), pixel)
    fade = np.clip(normals[:, 2:] * 2.5, 0, 1)  # the picture plane stretches slopes without limit at the edge
    relief = np.stack([columns.ravel()[near], -rows.ravel()[near], np.zeros(near.sum())], 1) * fade
    shadow = np.ones(near.sum())
    if view.rings:
        shadow = 1 - 0.85 * _cast(view.rings, normals, view)

    outside = np.exp(-np.clip(away - 1, 0, None) / max(surface.depth, 1e-6))
    lit = np.clip((plane / np.maximum(away, 1e-6)[:, None]) @ view.light[:2] + 0.35, 0, 1)
    light += 0.55 * ((away > 1) * outside * lit)[:, None] * np.array(surface.air)
    cover = np.clip((1 - away[near]) / pixel + 0.5, 0, 1)[:, None]
    light[near] = light[near] * (1 - cover) + cover * _shade(surface, normals, relief, view, shadow)
    if view.rings:
        _draw_rings(view.rings, light, plane, view)

    light = light.reshape(size, fine, size, fine, 3).mean((1, 3))
    shown = (1 - np.exp(-1.55 * light)) / (1 - np.exp(-1.55))  # highlights roll off as on film
    return Image.fromarray((np.clip(shown, 0, 1) ** (1 / 2.2) * 255 + 0.5).astype(np.uint8))


def _cast(rings: Rings, normals: Array, view: View) -> Array:
    """How much sunlight the rings take from each point of the sphere."""
    north = view.axes[1]
    along = -(normals @ north) / (north @ view.light if abs(north @ view.light) > 0.05 else 0.05)
    opacity, _ = rings.read(np.linalg.norm(normals + along[:, None] * view.light, axis=1))
    return np.where(along > 0, opacity, 0)


def _draw_rings(rings: Rings, light: Array, plane: Array, view: View) -> None:
    """The rings over `light`, in front of the planet or behind it, with the planet's shadow on them."""
    north = view.axes[1]
    points = np.concatenate([plane, -(plane @ north[:2] / north[2])[:, None]], 1)
    opacity, colours = rings.read(np.linalg.norm(points, axis=1))
    opacity = opacity * ~((points[:, 2] < 0) & ((plane**2).sum(1) < 1))
    along = points @ view.light
    beside = np.linalg.norm(points - along[:, None] * view.light, axis=1)
    sun = 1 - step(1.03, 0.97, beside) * (along < 0)
    strength = 0.55 + 0.5 * abs(north @ view.light)
    light *= (1 - opacity)[:, None]
    light += (opacity * sun * strength)[:, None] * colours


def _save(out: Path, size: int, seed: int, rings: bool, work: tuple[str, int]) -> None:
    name, number = work
    render(name, seed * 1_000_000 + number, size, rings).save(out / name / f"{number:06d}.png")


def main() -> None:
    parser = argparse.ArgumentParser(description="Renders photo-like planets into OUT/<class>/000000.png.")
    parser.add_argument("out", type=Path)
    parser.add_argument("--count", type=int, default=100, help="pictures of each class [100]")
    parser.add_argument(
        "--classes", nargs="+", choices=CLASSES, default=CLASSES, metavar="CLASS", help=" ".join(CLASSES)
    )
    parser.add_argument("--rings", action="store_true", help="around planets of every class")
    parser.add_argument("--size", type=int, default=64, help="pixels a side [64]")
    parser.add_argument("--seed", type=int, default=0, help="another seed, other planets [0]")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes [one a core]")
    chosen = parser.parse_args()
    for name in chosen.classes:
        (chosen.out / name).mkdir(parents=True, exist_ok=True)
    works = [(name, number) for name in chosen.classes for number in range(chosen.count)]
    with ProcessPoolExecutor(chosen.workers) as pool:
        list(pool.map(partial(_save, chosen.out, chosen.size, chosen.seed, chosen.rings), works, chunksize=16))
    print(f"{len(works)} pictures in {chosen.out}")


if __name__ == "__main__":
    main()
