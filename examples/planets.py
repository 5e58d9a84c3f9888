"""Renders photo-like planets: pictures without rights of others, in eight classes, as many as wanted.

    python examples/planets.py OUT --count 100 --classes ringed --size 64 --seed 0

writes OUT/<class>/000000.png and so on. Needs numpy and pillow. A picture depends on its class, seed and number alone;
another size shows the same planet with more or less detail. From Python: `render("ocean", seed=7, size=256)`.

Lengths are in planet radii, x to the right, y up, z to the viewer. Points are float arrays [P, 3], colours linear light.
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

Array = np.ndarray
LATTICE = 32  # random values along an edge of the cube that noise is read from; it repeats after that


class Noise:
    """Octaves of smooth noise in space, about -1 to 1. Octaves finer than a pixel are left out: they would only alias."""

    def __init__(self, rng: np.random.Generator, finest: float) -> None:
        self.values = rng.uniform(-1, 1, LATTICE**3).astype(np.float32)
        self.turn, self.shift = _rotation(rng), rng.uniform(0, LATTICE, 3)
        self.finest = finest  # cycles a radius

    def one(self, points: Array) -> Array:
        """Trilinear between lattice values, eased by a quintic so that no edges show: [P, 3] to [P]."""
        cell = np.floor(points)
        part = (points - cell).astype(np.float32)
        part = part * part * part * (part * (part * 6 - 15) + 10)
        low = cell.astype(np.int32) % LATTICE
        high = (low + 1) % LATTICE
        near, far = low * (LATTICE**2, LATTICE, 1), high * (LATTICE**2, LATTICE, 1)
        x, y, z = part.T
        rows = [
            (lambda a, b: a + (b - a) * z)(self.values[i + j + near[:, 2]], self.values[i + j + far[:, 2]])
            for i in (near[:, 0], far[:, 0])
            for j in (near[:, 1], far[:, 1])
        ]
        front, back = rows[0] + (rows[1] - rows[0]) * y, rows[2] + (rows[3] - rows[2]) * y
        return front + (back - front) * x

    def __call__(self, points: Array, scale: float, octaves: int = 9, fall: float = 0.5, ridged: bool = False) -> Array:
        """Sum of octaves from `scale` cycles a radius on, each `fall` times the last; ridged: sharp crests, 0 to 1."""
        total, weight, sums = np.zeros(len(points), np.float32), 1.0, 0.0
        at = points * scale + self.shift
        for _ in range(octaves):
            if sums and scale > self.finest:
                break
            one = self.one(at)
            total += weight * ((1 - np.abs(one * 1.6).clip(0, 1)) ** 2 if ridged else one)
            sums += weight
            at, scale, weight = at @ self.turn * 2.03, scale * 2.03, weight * fall
        return total / sums * (1 if ridged else 1.5)


@dataclass
class Surface:
    """What light meets at P points: albedo [P, 3], height [P] (relief), own light [P, 3], gloss [P], cloud cover [P]."""

    albedo: Array
    height: Array | float = 0.0
    glow: Array | float = 0.0
    gloss: Array | float = 0.0
    clouds: Array | float = 0.0
    air: tuple[float, float, float] = (0, 0, 0)  # colour of the rim of air
    depth: float = 0.0  # of the air, in radii


@dataclass
class View:
    """Where the planet stands in the picture and how it is lit; drawn once, before anything that depends on size."""

    centre: Array
    radius: float  # share of the picture's side
    light: Array
    axes: Array  # rows: the planet's own x, y (north), z in the viewer's
    rings: Rings | None = None
    sky: Array = field(default_factory=lambda: np.zeros(3))


def _rotation(rng: np.random.Generator) -> Array:
    return np.linalg.qr(rng.normal(size=(3, 3)))[0]


def _mix(low: Array, high: Array, share: Array) -> Array:
    """Colours [P, 3] from `low` to `high` by `share` [P], cut to 0 … 1."""
    share = np.clip(share, 0, 1)[:, None]
    return np.asarray(low) * (1 - share) + np.asarray(high) * share


def _step(low: float, high: float, value: Array) -> Array:
    """0 below `low`, 1 above `high`, smooth between; `low` may be the larger one."""
    share = np.clip((value - low) / (high - low), 0, 1)
    return share * share * (3 - 2 * share)


def _ramp(colours: Array, value: Array) -> Array:
    """Colours [K, 3] along a line, read at `value` [P] from 0 to 1."""
    spots = np.linspace(0, 1, len(colours))
    return np.stack([np.interp(value, spots, colours[:, channel]) for channel in range(3)], 1)


def _hue(*colours: str) -> Array:
    """Hexadecimal sRGB to linear light, [K, 3]."""
    return (np.array([list(bytes.fromhex(colour)) for colour in colours]) / 255) ** 2.2


def _any(rng: np.random.Generator, palettes: list[Array]) -> Array:
    """One of the palettes, a little lighter or darker, warmer or colder."""
    return palettes[rng.integers(len(palettes))] * rng.uniform(0.85, 1.15) * rng.uniform(0.93, 1.07, 3)


def _craters(rng: np.random.Generator, points: Array, count: int) -> tuple[Array, Array]:
    """Height and freshness (bright floors and rims) of craters; small ones are many, as on the Moon."""
    height, fresh = np.zeros(len(points)), np.zeros(len(points))
    centres = rng.normal(size=(count, 3))
    sizes = 0.05 * (1 - rng.random(count) * 0.985) ** -0.45
    age = rng.random(count)
    for centre, size, old in zip(centres, sizes, age, strict=True):
        away = np.sqrt(np.maximum(2 - 2 * points @ (centre / np.linalg.norm(centre)), 0)) / size
        near = np.flatnonzero(away < 2.2)
        far = away[near]
        height[near] += size * (np.where(far < 1, far**2 - 1, 0) * 0.8 + 0.5 * np.exp(-(((far - 1.05) / 0.28) ** 2)))
        fresh[near] += (1 - old) ** 3 * np.exp(-(far**2) / 1.6)
    return height, fresh


def rocky(rng: np.random.Generator, noise: Noise, points: Array) -> Surface:
    """Grey and brown, dark plains, craters of all sizes."""
    dark, light = _any(rng, [_hue("4a4541", "a39b90"), _hue("54463b", "b29a80"), _hue("45484d", "9ea2a6")])
    plains = noise(points, 1.1, fall=0.55)
    height, fresh = _craters(rng, points, int(rng.integers(90, 200)))
    grain = noise(points + 7, 5)
    albedo = _mix(dark, light, 0.5 + 0.75 * plains + 0.18 * grain + 0.5 * fresh)
    return Surface(albedo, height + 0.03 * grain)


def desert(rng: np.random.Generator, noise: Noise, points: Array) -> Surface:
    """Ochre to rust, dune fields stretched along the winds, canyons, small white caps, thin dusty air."""
    low, mid, high = _any(
        rng, [_hue("6b3217", "bd6a33", "e3ac71"), _hue("7d4a22", "c98f4c", "efd09a"), _hue("571f12", "a44a28", "d08a5c")]
    )
    warped = points + 0.25 * noise(points + 3, 1.3)[:, None]
    dunes = noise(warped * (1, 2.6, 1), 1.5)
    canyons = _step(0.72, 0.95, noise(points + 11, 1.2, 4, ridged=True))
    albedo = _ramp(np.stack([low, mid, high]), 0.52 + 0.55 * dunes) * (1 - 0.55 * canyons[:, None])
    cap = rng.uniform(0.9, 0.97)
    ice = _step(cap, cap + 0.04, np.abs(points[:, 1]) + 0.05 * dunes)
    dust = _step(0.3, 0.9, noise(warped + 17, 1.4)) * 0.35
    return Surface(
        _mix(albedo, _hue("f3ece4")[0], ice), 0.10 * dunes - 0.09 * canyons, clouds=dust, air=(0.8, 0.45, 0.25), depth=0.03
    )


def ocean(rng: np.random.Generator, noise: Noise, points: Array) -> Surface:
    """Blue seas that mirror the sun, green and brown land, white caps and clouds, blue air."""
    deep, shallow = _any(rng, [_hue("06235c", "1f6d9c"), _hue("0a2f66", "2f8aa0"), _hue("081b4d", "1c5a9a")])
    relief = noise(points, 1.25, fall=0.52) - rng.uniform(-0.12, 0.18)
    land = _step(-0.01, 0.05, relief)
    green, sand, stone = _hue("2f5a25", "a08a55", "6e5a45")
    dry = noise(points + 5, 1.8, 4) + 0.9 * (0.45 - np.abs(np.abs(points[:, 1]) - 0.35))
    ground = _mix(_mix(green, sand, _step(0.0, 0.5, dry)), stone, _step(0.3, 0.65, relief))
    sea = _mix(deep, shallow, _step(-0.22, 0.0, relief))
    cold = np.abs(points[:, 1]) + 0.10 * noise(points + 9, 3, 4)
    cap = rng.uniform(0.78, 0.93)
    ice = _step(cap, cap + 0.05, cold)
    whirl = points + 0.35 * np.stack([noise(points + 13 * i, 1.5, 2) for i in (1, 2, 3)], 1)
    cover = rng.uniform(0.0, 0.22)
    clouds = _step(cover, cover + 0.55, noise(whirl * (1, 1.7, 1), 1.7, fall=0.6))
    albedo = _mix(_mix(sea, ground, land), _hue("f4f8fb")[0], ice)
    return Surface(albedo, 0.10 * land * relief, 0.0, (1 - land) * (1 - ice), clouds * 0.95, (0.25, 0.5, 1.0), 0.055)


def ice(rng: np.random.Generator, noise: Noise, points: Array) -> Surface:
    """White to pale blue, long dark cracks over smooth plains, a glint."""
    white, blue, crack = _any(
        rng, [_hue("eef4f8", "a8c8dc", "7d5a48"), _hue("f4f1ea", "b9c7cc", "8a5b3c"), _hue("e2f1f4", "8fc3d2", "3f6f88")]
    )
    albedo = _mix(white, blue, 0.4 + 0.9 * noise(points, 1.2))
    warped = points + 0.3 * np.stack([noise(points + 5 * i, 1.1, 2) for i in (1, 2, 3)], 1)
    wide = _step(0.80, 0.97, noise(warped * (1.2, 0.8, 1), 1.3, 1, ridged=True))
    fine = _step(0.80, 0.97, noise(warped + 8, 2.9, 1, ridged=True))
    cracks = np.maximum(wide, 0.6 * fine)
    return Surface(
        _mix(albedo, crack, 0.8 * cracks), -0.05 * cracks + 0.02 * noise(points + 4, 4), gloss=0.15, air=(0.5, 0.7, 0.9), depth=0.012
    )


def lava(rng: np.random.Generator, noise: Noise, points: Array) -> Surface:
    """Black crust, broken by glowing rivers and lakes that light the night side too."""
    crust = _any(rng, [_hue("2b2523")[0], _hue("33261f")[0], _hue("26262b")[0]])
    warped = points + 0.22 * np.stack([noise(points + 5 * i, 1.7, 3) for i in (1, 2, 3)], 1)
    veins = noise(warped, 1.6, 3, fall=0.6, ridged=True)
    heat = _step(rng.uniform(0.48, 0.58), 0.95, veins) + 0.8 * _step(0.42, 0.75, noise(points + 21, 1.1, 4))
    hot = _ramp(np.array([[0, 0, 0], [0.35, 0.02, 0.0], [1.0, 0.16, 0.01], [1.5, 0.6, 0.08], [1.6, 1.2, 0.5]]), heat)
    ash = 0.5 + 0.5 * noise(points + 2, 3)
    return Surface(
        crust * (0.5 + ash[:, None]), -0.12 * heat + 0.08 * ash, hot, air=(0.9, 0.25, 0.08), depth=0.035
    )


def _bands(rng: np.random.Generator, noise: Noise, points: Array, colours: Array, waves: float, blur: float) -> Array:
    """Belts and zones of a gas planet, torn by turbulence: [P, 3]."""
    swirl = noise(points * (1, 2.2, 1), 1.6, fall=0.55) * 0.075 * waves + noise(points * (1, 3, 1) + 9, 5) * 0.022 * waves
    latitude = points[:, 1] + swirl
    belts = sum(
        rng.uniform(0.4, 1) / order**0.7 * np.sin(order * blur * latitude + rng.uniform(0, 6.3)) for order in (1, 2, 3, 5)
    )
    return _ramp(colours[rng.permutation(len(colours))], np.clip(0.5 + 0.36 * belts, 0, 1))


def gas(rng: np.random.Generator, noise: Noise, points: Array) -> Surface:
    """A warm giant: cream, tan and brown belts with ragged edges."""
    colours = _any(
        rng,
        [
            _hue("f0e2c4", "c99b66", "8f5b38", "e6c89a", "b5794a"),
            _hue("f5ead8", "d8b183", "a6663e", "efd3a8", "7d4a30"),
            _hue("efe0b0", "c8a860", "96753c", "e8cf8c", "b08d4c"),
        ],
    )
    return Surface(_bands(rng, noise, points, colours, 1.0, 6.5), air=(0.9, 0.75, 0.5), depth=0.025)


def storm(rng: np.random.Generator, noise: Noise, points: Array) -> Surface:
    """A cold giant, blue to violet, wound up around one great eye and some small ones."""
    colours = _any(
        rng,
        [
            _hue("123a7c", "2d6fc0", "7fb8e6", "1d4f9c"),
            _hue("2b1f6b", "5a46b0", "a99be0", "3d2f8c"),
            _hue("0b5a66", "1f93a0", "8fd8d2", "12707c"),
        ],
    )
    eyes = []
    points = points.copy()
    for number in range(int(rng.integers(2, 5))):
        # The great eye is turned to the viewer: half of them would be behind the planet otherwise.
        spread = (0.55, 0.4) if number == 0 else (1.0, 0.7)
        x, y = rng.uniform(-spread[0], spread[0]), rng.uniform(-spread[1], spread[1])
        eye = np.array([x, y, np.sqrt(max(1 - x * x - y * y, 0.05))])
        reach = rng.uniform(0.30, 0.46) if number == 0 else rng.uniform(0.08, 0.16)
        away = np.sqrt((((points - eye) * (0.75, 1.25, 0.75)) ** 2).sum(1)) / reach
        angle = 3.4 * np.exp(-(away**2) * 1.2)  # wound up towards the middle
        offset = points - eye
        cos, sin = np.cos(angle), np.sin(angle)
        turned = np.stack([offset[:, 0] * cos - offset[:, 1] * sin, offset[:, 0] * sin + offset[:, 1] * cos, offset[:, 2]], 1)
        points = eye + turned
        eyes.append((away, number))
    albedo = _bands(rng, noise, points, colours, 1.5, 5.0)
    bright = _hue("f2f4f8")[0]
    for away, number in eyes:
        albedo = _mix(albedo, bright, 0.75 * np.exp(-(((away - 0.62) / 0.2) ** 2)) * (1.0 if number == 0 else 0.8))
        albedo = albedo * (1 - 0.45 * np.exp(-((away / 0.36) ** 2)))[:, None]
    wisps = _step(0.35, 0.9, noise(points * (1, 4, 1) + 15, 2.0)) * 0.6
    return Surface(albedo, clouds=wisps, air=(0.35, 0.55, 1.0), depth=0.045)


def ringed(rng: np.random.Generator, noise: Noise, points: Array) -> Surface:
    """A pale giant with soft belts; its rings are part of the view."""
    colours = _any(
        rng,
        [
            _hue("efdcae", "dcbd84", "c29d64", "f5e8c8"),
            _hue("d9c3a0", "b9946a", "e8d8ba", "a67c58"),
            _hue("cfd9d6", "9fb6b8", "e2e8e0", "84a0a6"),
            _hue("e8c8a8", "cf9670", "f0dcc4", "b87c5c"),
        ],
    )
    return Surface(_bands(rng, noise, points, colours, 0.35, 5.0), air=(0.9, 0.8, 0.6), depth=0.02)


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
        wave = sum(rng.uniform(0.3, 1) * np.sin(2 * np.pi * (k * spots + rng.random())) / k**0.5 for k in (2, 3, 5, 9, 17))
        opacity = np.clip(0.68 + 0.2 * wave, 0.08, 0.97) * _step(-0.05, 0.2 + 0.3 * rng.random(), spots)
        for _ in range(int(rng.integers(1, 3))):
            opacity *= 1 - 0.95 * np.exp(-(((spots - rng.uniform(0.35, 0.9)) / rng.uniform(0.02, 0.045)) ** 2))
        pair = _any(rng, [_hue("c9ab80", "efe0c4"), _hue("9c9288", "dcd6ce"), _hue("b48a6a", "e6cdb2"), _hue("98a4ac", "d6e2e8")])
        colours = _mix(pair[0], pair[1], 0.5 + 0.35 * np.roll(wave, 40))
        return cls((rng.uniform(1.2, 1.4), rng.uniform(1.95, 2.3)), opacity, colours)

    def read(self, distance: Array) -> tuple[Array, Array]:
        """Opacity [P] and colour [P, 3] at distances [P]."""
        inner, outer = self.edges
        at = (distance - inner) / (outer - inner)
        inside = np.clip(np.minimum(at, 1 - at) * 40 + 0.5, 0, 1)
        spots = np.linspace(0, 1, len(self.opacity))
        return np.interp(at, spots, self.opacity) * inside, _ramp(self.colours, np.clip(at, 0, 1))


SURFACES = {
    "rocky": rocky, "desert": desert, "ocean": ocean, "ice": ice, "lava": lava, "gas": gas, "storm": storm, "ringed": ringed,
}  # fmt: skip
CLASSES = tuple(SURFACES)


def _view(rng: np.random.Generator, name: str) -> View:
    """Centre, radius, sunlight and axis: three quarters lit on average, never quite from behind."""
    around, height = rng.uniform(0, 2 * np.pi), rng.uniform(0.3, 0.85)
    light = np.array([np.cos(around) * np.sqrt(1 - height**2), np.sin(around) * np.sqrt(1 - height**2), height])
    lean, nod = (rng.normal(0, 0.35), rng.uniform(0.16, 0.5) * rng.choice([-1, 1])) if name == "ringed" else rng.normal(0, 0.25, 2)
    roll = np.array([[np.cos(lean), np.sin(lean), 0], [-np.sin(lean), np.cos(lean), 0], [0, 0, 1]])
    pitch = np.array([[1, 0, 0], [0, np.cos(nod), np.sin(nod)], [0, -np.sin(nod), np.cos(nod)]])
    radius = rng.uniform(0.19, 0.235) if name == "ringed" else rng.uniform(0.30, 0.42)
    centre = 0.5 + rng.uniform(-0.04, 0.04, 2)
    sky = _hue(("0a0c18", "120a16", "08121a", "0d0d10")[rng.integers(4)])[0] * rng.uniform(0.3, 1.6)
    return View(centre, radius, light, pitch @ roll, Rings.drawn(rng) if name == "ringed" else None, sky)


def _space(rng: np.random.Generator, noise: Noise, view: View, plane: Array, side: int) -> Array:
    """The sky [side * side, 3]: a faint nebula, and stars a pixel of a 64-pixel picture wide."""
    depth = np.concatenate([plane * 0.7, np.full((len(plane), 1), 9.0)], 1)
    light = view.sky * (1 + 1.2 * noise(depth, 0.7, 4))[:, None].clip(0.2, 3)
    count = int(rng.integers(15, 45))
    spots, power = rng.random((count, 2)), 0.03 * (1 - rng.random(count) * 0.98) ** -0.9
    tints = 1 + rng.normal(0, 0.12, (count, 3))
    wide = max(side / 64 * 0.42, 0.6)
    reach, sky = int(np.ceil(3 * wide)), light.reshape(side, side, 3)
    for (x, y), strong, tint in zip(spots * side, power, tints, strict=True):
        top, left = max(int(y) - reach, 0), max(int(x) - reach, 0)
        patch = sky[top : int(y) + reach + 1, left : int(x) + reach + 1]
        rows, columns = np.ogrid[top : top + patch.shape[0], left : left + patch.shape[1]]
        patch += (strong * np.exp(-((rows + 0.5 - y) ** 2 + (columns + 0.5 - x) ** 2) / (2 * wide**2)))[..., None] * tint
    return light


def _shade(surface: Surface, normals: Array, relief: Array, view: View, shadow: Array) -> Array:
    """Light from a surface [P, 3]: Lambert with a soft terminator, relief, clouds, glint, air, and the surface's own glow."""
    bent = normals - relief
    bent /= np.linalg.norm(bent, axis=1, keepdims=True)
    facing = normals @ view.light
    day = (_step(-0.06, 0.2, facing) * np.clip(bent @ view.light * 0.92 + 0.06, 0, None) * shadow)[:, None]
    above = (np.clip(facing + 0.05, 0, None) * shadow)[:, None]
    half = view.light + (0, 0, 1)
    glint = np.clip(normals @ (half / np.linalg.norm(half)), 0, 1) ** 45 * surface.gloss * (facing > 0) * 1.1
    clouds = np.asarray(surface.clouds)[..., None]
    light = (surface.albedo * day + glint[:, None] * np.array([1, 0.95, 0.85])) * (1 - clouds) + clouds * above * 0.93
    rim = (1 - normals[:, 2]) ** 3 * min(surface.depth * 14, 1)
    return light * 1.35 + 0.75 * rim[:, None] * above * np.array(surface.air) + surface.glow


def render(name: str, seed: int, size: int = 64) -> Image.Image:
    """One planet of class `name` (see CLASSES) as an RGB picture of size x size pixels.

    Raises KeyError for an unknown class and ValueError for a size below 8.
    """
    if size < 8:
        raise ValueError("size must be at least 8")
    surface_of = SURFACES[name]
    rng = np.random.default_rng([CLASSES.index(name), seed])
    view = _view(rng, name)
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
    sun = 1 - _step(1.03, 0.97, beside) * (along < 0)
    strength = 0.55 + 0.5 * abs(north @ view.light)
    light *= (1 - opacity)[:, None]
    light += (opacity * sun * strength)[:, None] * colours


def _save(out: Path, size: int, seed: int, work: tuple[str, int]) -> None:
    name, number = work
    render(name, seed * 1_000_000 + number, size).save(out / name / f"{number:06d}.png")


def main() -> None:
    parser = argparse.ArgumentParser(description="Renders photo-like planets into OUT/<class>/000000.png.")
    parser.add_argument("out", type=Path)
    parser.add_argument("--count", type=int, default=100, help="pictures of each class [100]")
    parser.add_argument("--classes", nargs="+", choices=CLASSES, default=CLASSES, metavar="CLASS", help=" ".join(CLASSES))
    parser.add_argument("--size", type=int, default=64, help="pixels a side [64]")
    parser.add_argument("--seed", type=int, default=0, help="another seed, other planets [0]")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes [one a core]")
    chosen = parser.parse_args()
    for name in chosen.classes:
        (chosen.out / name).mkdir(parents=True, exist_ok=True)
    works = [(name, number) for name in chosen.classes for number in range(chosen.count)]
    with ProcessPoolExecutor(chosen.workers) as pool:
        list(pool.map(partial(_save, chosen.out, chosen.size, chosen.seed), works, chunksize=16))
    print(f"{len(works)} pictures in {chosen.out}")


if __name__ == "__main__":
    main()
