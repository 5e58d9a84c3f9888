"""The names and facts of the published state dicts, of generators and discriminators.

Three facts leave no trace in tensors: how a map comes from the one before (told by its channels and, with
cross-attention, by its side), the windows of discriminators without a bias (4, as published), and the side of the image
(told by the positions and the patches).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from itertools import pairwise
from math import isqrt

import torch
from torch import Tensor, nn

from fewgan.plugin import UsageError
from fewgan_transgan.discriminator import Discriminator
from fewgan_transgan.generator import CLASS_WIDTH, Generator
from fewgan_transgan.shapes import HEADS, DiscriminatorShape, GeneratorShape, Run, Scale, Stage

State = Mapping[str, Tensor]
INDEX = "relative_position_index"  # a buffer that follows from the side of the window
_UNUSED = re.compile(rf".*\.{INDEX}|.*\.cross_attention\.noise_strength_1")
_SMOOTHED_SIDE = 128  # with cross-attention, maps from this side on are smoothed before they are shuffled


def read_generator(state: State, file: str) -> tuple[GeneratorShape, int, dict[str, Tensor]]:
    """A state dict under the published names -> shape, classes, and the state dict under the names here.

    Raises UsageError naming the file and the tensor that is missing, unknown or of another shape.
    """
    facts = _Facts(state, file)
    prefixes = _stage_names("upsample_blocks.0.block.0.mlp.fc1.weight" in state)
    cross = "embedding_transform.weight" in state
    classes = facts.shape("class_embed.weight", 2)[0] if "class_embed.weight" in state else 0
    stages: list[Stage] = []
    while f"pos_embed_{len(stages) + 1}" in state:
        number = len(stages)
        side, width = facts.map(f"pos_embed_{number + 1}")
        prefix = prefixes(number)
        depth = facts.count(f"{prefix}.block")
        table = f"{prefix}.block.0.attn.relative_position_bias_table"
        window = facts.window(table) if depth else side
        up = "" if number == 0 else "bicubic" if stages[-1].width == width else "shuffle"
        if cross and up == "shuffle" and side >= _SMOOTHED_SIDE:
            up = "smooth-shuffle"
        stages.append(Stage(side=side, width=width, depth=depth, window=window, up=up))
    if len(stages) < 2:
        raise UsageError(f"{file}: tensor pos_embed_{len(stages) + 1} is missing")
    for before, stage in pairwise(stages):
        fits = before.width in (stage.width, 4 * stage.width) and stage.side == 2 * before.side
        if not fits or stage.side % stage.window:
            raise UsageError(f"{file}: the sides, channels and windows of its maps do not belong together")
    given = facts.shape("l1.weight", 2)[1] - (CLASS_WIDTH if classes else 0)
    shape = GeneratorShape(
        latent_dim=given,
        stages=tuple(stages),
        norm=facts.norm(),
        noise=facts.has(".attn.noise_strength_1"),
        cross=cross,
        heads=facts.heads(),
    )
    if any(stage.width % shape.heads for stage in stages) or given < 1:
        raise UsageError(f"{file}: its channels are not divisible by its {shape.heads} heads")
    expected = _empty(lambda: Generator(shape, classes))
    return shape, classes, _translated(facts, expected, lambda name: generator_name(name, shape))


def read_discriminator(state: State, file: str) -> tuple[DiscriminatorShape, int, dict[str, Tensor]]:
    """As `read_generator`."""
    facts = _Facts(state, file)
    bias = facts.has(".attn.relative_position_bias_table")
    classes = facts.shape("class_embed.weight", 2)[0] if "class_embed.weight" in state else 0
    count = sum(f"fRGB_{number}.weight" in state for number in range(1, 10))
    sides = [facts.map(f"pos_embed_{number}")[0] for number in range(1, count + 1)]
    if count < 2:
        raise UsageError(f"{file}: tensor fRGB_{count + 1}.weight is missing")
    size = sides[-1] * facts.shape(f"fRGB_{count}.weight", 4)[2]
    scales = []
    for index, side in enumerate(sides):
        width, _, kernel, _ = facts.shape(f"fRGB_{index + 1}.weight", 4)
        stride = size // side
        runs = []
        for prefix in (_run_name(index, 0), _run_name(index, 1)):
            if depth := facts.count(prefix):
                window = facts.window(f"{prefix}.0.attn.relative_position_bias_table") if bias else None
                inner = 4 if index < count - 1 and not prefix.endswith(f"{index + 1}1") else side
                runs.append(Run(depth=depth, window=inner if window is None else window))
        padding = max(kernel - stride, 0) // 2
        scales.append(Scale(kernel=kernel, stride=stride, padding=padding, width=width, runs=tuple(runs)))
    shape = DiscriminatorShape(
        size=size,
        scales=tuple(scales),
        norm=facts.norm(),
        noise=facts.has(".attn.noise_strength_1"),
        bias=bias,
        heads=facts.heads(),
    )
    halved = all(2 * after == before for before, after in pairwise(sides))
    windowed = all(side % run.window == 0 for side, scale in zip(sides, scales, strict=True) for run in scale.runs)
    if not halved or not windowed or any(width % shape.heads for width in shape.widths):
        raise UsageError(f"{file}: the sides, channels and windows of its maps do not belong together")
    expected = _empty(lambda: Discriminator(shape, classes))
    return shape, classes, _translated(facts, expected, discriminator_name)


def write(network: nn.Module) -> dict[str, Tensor]:
    """The state dict of either network under the published names, with the buffers that the published code has."""
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    found, indices = {}, dict[int, Tensor]()
    for name, tensor in state.items():
        published = generator_name(name, network.shape) if isinstance(network, Generator) else discriminator_name(name)
        found[published] = tensor
        if published.endswith("relative_position_bias_table"):
            side = _side(len(tensor))
            indices.setdefault(side, relative_position_index(side))
            found[published.replace("relative_position_bias_table", INDEX)] = indices[side]
        if published.endswith("cross_attention.proj.weight"):
            found[published.replace("proj.weight", "noise_strength_1")] = torch.zeros(())
    return found


def relative_position_index(side: int) -> Tensor:
    """Rows of the bias table, int64 [side², side²], for query and key."""
    place = torch.arange(side)
    apart = place[:, None] - place + side - 1
    rows = apart[:, None, :, None] * (2 * side - 1) + apart[None, :, None, :]
    return rows.reshape(side * side, side * side)


def generator_name(name: str, shape: GeneratorShape) -> str:
    """The published name of a generator's tensor."""
    first, *rest = name.split(".")
    if first == "output":
        return f"deconv.0.{rest[0]}"
    if first != "stages":
        return name
    number = int(rest[0])
    if rest[1] == "position":
        return f"pos_embed_{number + 1}"
    return ".".join([_stage_names(len(shape.stages) == 3)(number), *rest[1:]])


def discriminator_name(name: str) -> str:
    """The published name of a discriminator's tensor."""
    first, *rest = name.split(".")
    if first == "linear":
        return f"head.{rest[0]}"
    if first == "last_block":
        return ".".join(["last_block.0", *rest])
    if first != "scales":
        return name
    number = int(rest[0])
    if rest[1] == "embed":
        return f"fRGB_{number + 1}.{rest[2]}"
    if rest[1] == "position":
        return f"pos_embed_{number + 1}"
    return ".".join([_run_name(number, int(rest[2])), *rest[3:]])


def _stage_names(three: bool) -> Callable[[int], str]:
    """The published names of a generator's stages: the networks of 32 and 48 px have names of their own."""
    if not three:
        return lambda number: f"blocks_{number + 1}"
    return lambda number: "blocks" if number == 0 else f"upsample_blocks.{number - 1}"


def _run_name(scale: int, run: int) -> str:
    return f"blocks_{scale + 1}{'1' if run else ''}"


def _side(rows: int) -> int:
    """w of a table of (2w − 1)² rows."""
    return (isqrt(rows) + 1) // 2


def _empty(build: Callable[[], nn.Module]) -> dict[str, Tensor]:
    with torch.device("meta"):
        return build().state_dict()


def _translated(facts: _Facts, expected: State, rename: Callable[[str], str]) -> dict[str, Tensor]:
    found, known = {}, set()
    for name, tensor in expected.items():
        published = rename(name)
        known.add(published)
        found[name] = facts.tensor(published)
        if found[name].shape != tensor.shape:
            raise UsageError(
                f"{facts.file}: tensor {published} is {list(found[name].shape)}, {list(tensor.shape)} expected"
            )
    for name in facts.state:
        if name not in known and not _UNUSED.fullmatch(name):
            raise UsageError(f"{facts.file}: tensor {name} is not part of this network")
    return found


class _Facts:
    """A state dict that says which tensor is missing or of another shape."""

    def __init__(self, state: State, file: str) -> None:
        self.state, self.file = state, file

    def has(self, end: str) -> bool:
        return any(name.endswith(end) for name in self.state)

    def tensor(self, name: str) -> Tensor:
        if name not in self.state:
            raise UsageError(f"{self.file}: tensor {name} is missing")
        return self.state[name]

    def shape(self, name: str, axes: int) -> torch.Size:
        shape = self.tensor(name).shape
        if len(shape) != axes or 0 in shape:
            raise UsageError(f"{self.file}: tensor {name} is {list(shape)}; {axes} axes expected")
        return shape

    def map(self, name: str) -> tuple[int, int]:
        """Side and channels of a position embedding."""
        _, tokens, width = self.shape(name, 3)
        side = round(tokens**0.5)
        if side * side != tokens:
            raise UsageError(f"{self.file}: tensor {name} is of {tokens} tokens, which are no square")
        return side, width

    def window(self, table: str) -> int:
        return _side(int(self.shape(table, 2)[0]))

    def count(self, prefix: str) -> int:
        """Blocks of that prefix."""
        count = 0
        while f"{prefix}.{count}.mlp.fc1.weight" in self.state:
            count += 1
        return count

    def norm(self) -> str:
        return "ln" if self.has(".norm1.norm.weight") else "pn"

    def heads(self) -> int:
        tables = [name for name in self.state if name.endswith("relative_position_bias_table")]
        return int(self.shape(tables[0], 2)[1]) if tables else HEADS
