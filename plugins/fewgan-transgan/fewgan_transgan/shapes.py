"""What the networks are built from, and the shapes of the published ones. No torch.

Tokens are the pixels of a square map, row by row. Attention is within windows of the map; a window as wide as the map
is all of it.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, TypeVar

from fewgan.plugin import UsageError

HEADS = 4  # of every attention that was published
GLOBAL_SIDE = 48  # the largest map of a generator without windows; published: 32 and 48
UPS = ("", "bicubic", "shuffle", "smooth-shuffle")


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Blocks of a generator on one map. up: how its map comes from the one before, one of UPS; "" for the first."""

    side: int
    width: int
    depth: int
    window: int
    up: str


@dataclass(frozen=True, kw_only=True)
class GeneratorShape:
    """norm: ln (LayerNorm) or pn (PixelNorm). noise: of attention. cross: blocks start with cross-attention to z."""

    latent_dim: int
    stages: tuple[Stage, ...]
    norm: str = "ln"
    noise: bool = False
    cross: bool = False
    heads: int = HEADS

    @property
    def size(self) -> int:
        return self.stages[-1].side


@dataclass(frozen=True, kw_only=True)
class Run:
    """Blocks of a discriminator with windows of one size."""

    depth: int
    window: int


@dataclass(frozen=True, kw_only=True)
class Scale:
    """One patch embedding of the image, of `width` channels, and the blocks on its map."""

    kernel: int
    stride: int
    padding: int
    width: int
    runs: tuple[Run, ...]


@dataclass(frozen=True, kw_only=True)
class DiscriminatorShape:
    """bias: attention has a relative position bias. Each map has half the side of the one before."""

    size: int
    scales: tuple[Scale, ...]
    norm: str = "ln"
    noise: bool = True
    bias: bool = True
    heads: int = HEADS

    @property
    def sides(self) -> list[int]:
        return [self.size // scale.stride for scale in self.scales]

    @property
    def widths(self) -> list[int]:
        """Channels of the tokens at each scale: those of the embeddings so far."""
        return list(accumulate(scale.width for scale in self.scales))


def generator_shape(
    size: int, *, width: int, depths: tuple[int, ...], window: int = 16, cross: bool = False, **rest: Any
) -> GeneratorShape:
    """The scheme of all published generators, from 8 px (12 px for 48) up.

    The last three maps, or the last two of three, come from the one before by pixel shuffle, which takes a quarter of
    the channels; the others by interpolation.

    Windows begin above 48 px. With cross-attention the first stage has no blocks, and the maps from 128 px on are
    smoothed first (CelebA-HQ). Raises UsageError, one line, for what does not fit.
    """
    sides = [12 if size == 48 else 8]
    while sides[-1] < size:
        sides.append(2 * sides[-1])
    if len(depths) != len(sides):
        given = ",".join(map(str, depths))
        maps = ", ".join(map(str, sides))
        raise UsageError(f"--transgan-depths {given}: give {len(sides)} numbers, for the maps of {maps} px")
    shuffles = min(3, len(sides) - 1)
    if width % (unit := HEADS * 4**shuffles):
        raise UsageError(f"--transgan-width {width}: must be divisible by {unit} at {size} px")
    stages = []
    for index, (side, depth) in enumerate(zip(sides, depths, strict=True)):
        shuffled = index - (len(sides) - 1 - shuffles)
        up = "" if index == 0 else "bicubic" if shuffled <= 0 else "shuffle"
        if cross and up == "shuffle" and side > 64:
            up = "smooth-shuffle"
        inner = side if side <= GLOBAL_SIDE else window
        if side % inner:
            raise UsageError(f"--transgan-window {window}: must divide {side}")
        deep = 0 if cross and index == 0 else depth
        stages.append(Stage(side=side, width=width // 4 ** max(shuffled, 0), depth=deep, window=inner, up=up))
    return GeneratorShape(stages=tuple(stages), cross=cross, **rest)


def discriminator_shape(kind: str, size: int, *, width: int, depth: int, patch: int, **rest: Any) -> DiscriminatorShape:
    """kind: `two` scales (32 and 48 px), `church` or `celebahq` (three). patch: side of a token of the first map.

    Raises UsageError, one line, for what does not fit.
    """
    unit = 32 if kind == "church" else 16
    if width % unit:
        raise UsageError(f"--transgan-d-width {width}: must be divisible by {unit} at {size} px")
    side = size // patch
    if size % (patch * 2 ** (1 if kind == "two" else 2)):
        raise UsageError(f"transgan: D has no {size} px network with patches of {patch} px")

    def scale(number: int, share: float, *runs: tuple[int, int]) -> Scale:
        stride = patch * 2**number
        # CelebA-HQ's first patches overlap.
        kernel = 2 * stride if kind == "celebahq" and number == 0 else stride
        made = tuple(Run(depth=deep, window=window) for deep, window in runs if deep)
        return Scale(kernel=kernel, stride=stride, padding=(kernel - stride) // 2, width=int(width * share), runs=made)

    if kind == "two":
        scales = [scale(0, 3 / 4, (depth, side)), scale(1, 1 / 4, (depth, side // 2))]
    elif kind == "church":
        inner = 16 if side % 16 == 0 else side
        scales = [
            scale(0, 3 / 4, (depth - 1, inner), (1, side)),
            scale(1, 1 / 8, (depth, side // 2)),
            scale(2, 1 / 8, (depth + 1, side // 4)),
        ]
    else:
        scales = [
            scale(0, 1 / 4, (depth, 4)),
            scale(1, 1 / 4, (depth - 1, 4), (1, side // 2)),
            scale(2, 1 / 2, (depth + 1, side // 4)),
        ]
    return DiscriminatorShape(size=size, scales=tuple(scales), **rest)


def as_text(shape: GeneratorShape | DiscriminatorShape) -> str:
    return json.dumps(dataclasses.asdict(shape))


def generator_from_text(text: str) -> GeneratorShape:
    """`as_text` back. Raises UsageError for a damaged text."""
    with _damage():
        content = json.loads(text)
        stages = tuple(_record(Stage, part) for part in content["stages"])
        shape = _record(GeneratorShape, content | {"stages": stages})
        if not _fits_generator(shape):
            raise ValueError
        return shape


def discriminator_from_text(text: str) -> DiscriminatorShape:
    """As `generator_from_text`."""
    with _damage():
        content = json.loads(text)
        runs = [tuple(_record(Run, run) for run in part["runs"]) for part in content["scales"]]
        scales = (_record(Scale, part | {"runs": own}) for part, own in zip(content["scales"], runs, strict=True))
        shape = _record(DiscriminatorShape, content | {"scales": tuple(scales)})
        if not _fits_discriminator(shape):
            raise ValueError
        return shape


@contextmanager
def _damage() -> Iterator[None]:
    try:
        yield
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise UsageError("transgan: the shape of the networks in this file is damaged") from None


Record = TypeVar("Record", Stage, Run, Scale, GeneratorShape, DiscriminatorShape)


def _record(kind: type[Record], content: dict[str, Any]) -> Record:
    """A dataclass whose fields have the types that their annotations name."""
    types = {"int": int, "str": str, "bool": bool}
    for field in dataclasses.fields(kind):
        expected = types.get(str(field.type))
        value = content.get(field.name, field.default)
        if expected is not None and type(value) is not expected:
            raise TypeError
        if expected is int and not 0 <= value <= 1 << 16:
            raise ValueError
    return kind(**content)


def _fits_generator(shape: GeneratorShape) -> bool:
    stages = shape.stages
    sound = len(stages) > 1 and shape.heads > 0 and shape.norm in ("ln", "pn") and shape.latent_dim > 0
    for number, stage in enumerate(stages):
        sound = sound and stage.window > 0 and stage.side % stage.window == 0 and 0 < stage.side <= 1024
        sound = sound and stage.width > 0 and stage.width % shape.heads == 0 and stage.depth < 100
        if number:
            before = stages[number - 1]
            share = {"bicubic": 1, "shuffle": 4, "smooth-shuffle": 4}[stage.up]
            sound = sound and stage.side == 2 * before.side and before.width == share * stage.width
    return sound


def _fits_discriminator(shape: DiscriminatorShape) -> bool:
    sound = bool(shape.scales) and shape.heads > 0 and shape.norm in ("ln", "pn") and 0 < shape.size <= 1024
    for number, (scale, width) in enumerate(zip(shape.scales, shape.widths, strict=True)):
        sound = sound and scale.stride > 0 and shape.size % scale.stride == 0
        if not sound:
            return False
        side = shape.size // scale.stride
        sound = (shape.size + 2 * scale.padding - scale.kernel) // scale.stride + 1 == side
        sound = sound and scale.width > 0 and width % shape.heads == 0
        sound = sound and all(run.window > 0 and side % run.window == 0 and run.depth < 100 for run in scale.runs)
        sound = sound and (number == 0 or 2 * side == shape.sides[number - 1])
    return sound
