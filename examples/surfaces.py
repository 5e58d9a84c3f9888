"""What the planets of `planets.py` are made of: noise, colours, and a surface for each class.

Lengths are in planet radii, x to the right, y up, z to the viewer; a surface is asked for points on the unit sphere in
the planet's own axes, float [P, 3]. Colours are linear light.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Array = np.ndarray
LATTICE = 32  # a power of 2: random values along an edge of the cube that noise is read from; it repeats after that


class Noise:
    """Octaves of smooth noise in space, about -1 to 1. Those finer than a pixel are left out: they would only alias."""

    def __init__(self, rng: np.random.Generator, finest: float) -> None:
        self.values = rng.uniform(-1, 1, LATTICE**3).astype(np.float32)
        self.turn, self.shift = _rotation(rng), rng.uniform(0, LATTICE, 3)
        self.finest = finest  # cycles a radius

    def one(self, points: Array) -> Array:
        """Trilinear between lattice values, eased by a quintic so that no edges show: [P, 3] to [P]."""
        along = np.ascontiguousarray(points.T)
        cell = np.floor(along)
        part = (along - cell).astype(np.float32)
        x, y, z = part * part * part * (part * (part * 6 - 15) + 10)
        low = cell.astype(np.int32) & (LATTICE - 1)
        high = (low + 1) & (LATTICE - 1)
        strides = np.array([[LATTICE**2], [LATTICE], [1]], np.int32)
        near, far = low * strides, high * strides
        rows = []
        for i in (near[0], far[0]):
            for j in (near[1], far[1]):
                start, end = (self.values.take(i + j + k, mode="clip") for k in (near[2], far[2]))
                rows.append(start + (end - start) * z)
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
    """What light meets at P points: albedo [P, 3], height [P], own light [P, 3], gloss [P], cloud cover [P]."""

    albedo: Array
    height: Array | float = 0.0
    glow: Array | float = 0.0
    gloss: Array | float = 0.0
    clouds: Array | float = 0.0
    air: tuple[float, float, float] = (0, 0, 0)  # colour of the rim of air
    depth: float = 0.0  # of the air, in radii


def _rotation(rng: np.random.Generator) -> Array:
    return np.linalg.qr(rng.normal(size=(3, 3)))[0]


def mix(low: Array, high: Array, share: Array) -> Array:
    """Colours [P, 3] from `low` to `high` by `share` [P], cut to 0 … 1."""
    share = np.clip(share, 0, 1)[:, None]
    return np.asarray(low) * (1 - share) + np.asarray(high) * share


def step(low: float, high: float, value: Array) -> Array:
    """0 below `low`, 1 above `high`, smooth between; `low` may be the larger one."""
    share = np.clip((value - low) / (high - low), 0, 1)
    return share * share * (3 - 2 * share)


def ramp(colours: Array, value: Array) -> Array:
    """Colours [K, 3] along a line, read at `value` [P] from 0 to 1."""
    spots = np.linspace(0, 1, len(colours))
    return np.stack([np.interp(value, spots, colours[:, channel]) for channel in range(3)], 1)


def hue(*colours: str) -> Array:
    """Hexadecimal sRGB to linear light, [K, 3]."""
    return (np.array([list(bytes.fromhex(colour)) for colour in colours]) / 255) ** 2.2


def any_of(rng: np.random.Generator, palettes: list[Array]) -> Array:
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
    dark, light = any_of(rng, [hue("4a4541", "a39b90"), hue("54463b", "b29a80"), hue("45484d", "9ea2a6")])
    plains = noise(points, 1.1, fall=0.55)
    height, fresh = _craters(rng, points, int(rng.integers(90, 200)))
    grain = noise(points + 7, 5)
    albedo = mix(dark, light, 0.5 + 0.75 * plains + 0.18 * grain + 0.5 * fresh)
    return Surface(albedo, height + 0.03 * grain)


def desert(rng: np.random.Generator, noise: Noise, points: Array) -> Surface:
    """Ochre to rust, dune fields stretched along the winds, canyons, small white caps, thin dusty air."""
    low, mid, high = any_of(
        rng,
        [hue("6b3217", "bd6a33", "e3ac71"), hue("7d4a22", "c98f4c", "efd09a"), hue("571f12", "a44a28", "d08a5c")],
    )
    warped = points + 0.25 * noise(points + 3, 1.3)[:, None]
    dunes = noise(warped * (1, 2.6, 1), 1.5)
    canyons = step(0.72, 0.95, noise(points + 11, 1.2, 4, ridged=True))
    albedo = ramp(np.stack([low, mid, high]), 0.52 + 0.55 * dunes) * (1 - 0.55 * canyons[:, None])
    cap = rng.uniform(0.9, 0.97)
    ice = step(cap, cap + 0.04, np.abs(points[:, 1]) + 0.05 * dunes)
    dust = step(0.3, 0.9, noise(warped + 17, 1.4)) * 0.35
    return Surface(
        mix(albedo, hue("f3ece4")[0], ice),
        0.10 * dunes - 0.09 * canyons,
        clouds=dust,
        air=(0.8, 0.45, 0.25),
        depth=0.03,
    )


def ocean(rng: np.random.Generator, noise: Noise, points: Array) -> Surface:
    """Blue seas that mirror the sun, green and brown land, white caps and clouds, blue air."""
    deep, shallow = any_of(rng, [hue("06235c", "1f6d9c"), hue("0a2f66", "2f8aa0"), hue("081b4d", "1c5a9a")])
    relief = noise(points, 1.25, fall=0.52) - rng.uniform(-0.12, 0.18)
    land = step(-0.01, 0.05, relief)
    green, sand, stone = hue("2f5a25", "a08a55", "6e5a45")
    dry = noise(points + 5, 1.8, 4) + 0.9 * (0.45 - np.abs(np.abs(points[:, 1]) - 0.35))
    ground = mix(mix(green, sand, step(0.0, 0.5, dry)), stone, step(0.3, 0.65, relief))
    sea = mix(deep, shallow, step(-0.22, 0.0, relief))
    cold = np.abs(points[:, 1]) + 0.10 * noise(points + 9, 3, 4)
    cap = rng.uniform(0.78, 0.93)
    ice = step(cap, cap + 0.05, cold)
    whirl = points + 0.35 * np.stack([noise(points + 13 * i, 1.5, 2) for i in (1, 2, 3)], 1)
    cover = rng.uniform(0.0, 0.22)
    clouds = step(cover, cover + 0.55, noise(whirl * (1, 1.7, 1), 1.7, fall=0.6))
    albedo = mix(mix(sea, ground, land), hue("f4f8fb")[0], ice)
    return Surface(albedo, 0.10 * land * relief, 0.0, (1 - land) * (1 - ice), clouds * 0.95, (0.25, 0.5, 1.0), 0.055)


def ice(rng: np.random.Generator, noise: Noise, points: Array) -> Surface:
    """White to pale blue, long dark cracks over smooth plains, a glint."""
    white, blue, crack = any_of(
        rng,
        [hue("eef4f8", "a8c8dc", "7d5a48"), hue("f4f1ea", "b9c7cc", "8a5b3c"), hue("e2f1f4", "8fc3d2", "3f6f88")],
    )
    albedo = mix(white, blue, 0.4 + 0.9 * noise(points, 1.2))
    warped = points + 0.3 * np.stack([noise(points + 5 * i, 1.1, 2) for i in (1, 2, 3)], 1)
    wide = step(0.80, 0.97, noise(warped * (1.2, 0.8, 1), 1.3, 1, ridged=True))
    fine = step(0.80, 0.97, noise(warped + 8, 2.9, 1, ridged=True))
    cracks = np.maximum(wide, 0.6 * fine)
    return Surface(
        mix(albedo, crack, 0.8 * cracks),
        -0.05 * cracks + 0.02 * noise(points + 4, 4),
        gloss=0.15,
        air=(0.5, 0.7, 0.9),
        depth=0.012,
    )


def lava(rng: np.random.Generator, noise: Noise, points: Array) -> Surface:
    """Black crust, broken by glowing rivers and lakes that light the night side too."""
    crust = any_of(rng, [hue("2b2523")[0], hue("33261f")[0], hue("26262b")[0]])
    warped = points + 0.22 * np.stack([noise(points + 5 * i, 1.7, 3) for i in (1, 2, 3)], 1)
    veins = noise(warped, 1.6, 3, fall=0.6, ridged=True)
    heat = step(rng.uniform(0.48, 0.58), 0.95, veins) + 0.8 * step(0.42, 0.75, noise(points + 21, 1.1, 4))
    hot = ramp(np.array([[0, 0, 0], [0.35, 0.02, 0.0], [1.0, 0.16, 0.01], [1.5, 0.6, 0.08], [1.6, 1.2, 0.5]]), heat)
    ash = 0.5 + 0.5 * noise(points + 2, 3)
    return Surface(crust * (0.5 + ash[:, None]), -0.12 * heat + 0.08 * ash, hot, air=(0.9, 0.25, 0.08), depth=0.035)


def _bands(
    rng: np.random.Generator, noise: Noise, points: Array, colours: Array, *, waves: float, pace: float
) -> Array:
    """Belts and zones of a gas planet, torn by turbulence of strength `waves`: [P, 3]. pace: belts a radius."""
    wide, fine = noise(points * (1, 2.2, 1), 1.6, fall=0.55), noise(points * (1, 3, 1) + 9, 5)
    latitude = points[:, 1] + (wide * 0.075 * waves + fine * 0.022 * waves)
    belts = np.zeros(len(points))
    for order in (1, 2, 3, 5):
        strength = rng.uniform(0.4, 1) / order**0.7
        belts += strength * np.sin(order * pace * latitude + rng.uniform(0, 6.3))
    return ramp(colours[rng.permutation(len(colours))], np.clip(0.5 + 0.36 * belts, 0, 1))


def gas(rng: np.random.Generator, noise: Noise, points: Array) -> Surface:
    """A warm giant: cream, tan and brown belts with ragged edges."""
    colours = any_of(
        rng,
        [
            hue("f0e2c4", "c99b66", "8f5b38", "e6c89a", "b5794a"),
            hue("f5ead8", "d8b183", "a6663e", "efd3a8", "7d4a30"),
            hue("efe0b0", "c8a860", "96753c", "e8cf8c", "b08d4c"),
        ],
    )
    return Surface(_bands(rng, noise, points, colours, waves=1.0, pace=6.5), air=(0.9, 0.75, 0.5), depth=0.025)


def storm(rng: np.random.Generator, noise: Noise, points: Array) -> Surface:
    """A cold giant, blue to violet, wound up around one great eye and some small ones."""
    colours = any_of(
        rng,
        [
            hue("123a7c", "2d6fc0", "7fb8e6", "1d4f9c"),
            hue("2b1f6b", "5a46b0", "a99be0", "3d2f8c"),
            hue("0b5a66", "1f93a0", "8fd8d2", "12707c"),
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
        x, y, z = offset.T
        points = eye + np.stack([x * cos - y * sin, x * sin + y * cos, z], 1)
        eyes.append((away, number))
    albedo = _bands(rng, noise, points, colours, waves=1.5, pace=5.0)
    bright = hue("f2f4f8")[0]
    for away, number in eyes:
        albedo = mix(albedo, bright, 0.75 * np.exp(-(((away - 0.62) / 0.2) ** 2)) * (1.0 if number == 0 else 0.8))
        albedo = albedo * (1 - 0.45 * np.exp(-((away / 0.36) ** 2)))[:, None]
    wisps = step(0.35, 0.9, noise(points * (1, 4, 1) + 15, 2.0)) * 0.6
    return Surface(albedo, clouds=wisps, air=(0.35, 0.55, 1.0), depth=0.045)


def ringed(rng: np.random.Generator, noise: Noise, points: Array) -> Surface:
    """A pale giant with soft belts; its rings are part of the view."""
    colours = any_of(
        rng,
        [
            hue("efdcae", "dcbd84", "c29d64", "f5e8c8"),
            hue("d9c3a0", "b9946a", "e8d8ba", "a67c58"),
            hue("cfd9d6", "9fb6b8", "e2e8e0", "84a0a6"),
            hue("e8c8a8", "cf9670", "f0dcc4", "b87c5c"),
        ],
    )
    return Surface(_bands(rng, noise, points, colours, waves=0.35, pace=5.0), air=(0.9, 0.8, 0.6), depth=0.02)


SURFACES = {
    "rocky": rocky, "desert": desert, "ocean": ocean, "ice": ice,
    "lava": lava, "gas": gas, "storm": storm, "ringed": ringed,
}  # fmt: skip
CLASSES = tuple(SURFACES)
