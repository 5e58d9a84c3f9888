"""Weights of rosinality/stylegan2-pytorch, which computes the same function under other names.

Converted files hold `g_ema` and `latent_avg`, and often `g` and `d`; training checkpoints hold `g`, `d`, `g_ema`,
optimizer states and settings. Unconditional, four images share a standard deviation, activations are not clamped.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from fewgan.plugin import UsageError
from fewgan_stylegan2.files import Converted, from_official
from fewgan_stylegan2.generator import GeneratorMapping

AVERAGED = 10_000
"""How many w their mean is taken of, where a file has no `latent_avg`."""

_LAYER = {
    "conv.weight": "weight",
    "conv.modulation.weight": "affine.weight",
    "conv.modulation.bias": "affine.bias",
    "noise.weight": "noise_strength",
    "activate.bias": "bias",
    "bias": "bias",  # of a torgb
}
_KERNEL = re.compile(r"(.+\.)?kernel")


def whole(content: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The content of such a file, of which a state dict may be the generator's alone; None for another file."""
    for state, found in ((content, {"g_ema": content}), *((content.get(name), content) for name in ("g_ema", "g"))):
        if isinstance(state, Mapping) and {"style.1.weight", "input.input", "conv1.conv.weight"} <= state.keys():
            return found
    return None


def from_rosinality(content: Mapping[str, Any], file: str = "the file") -> Converted:
    """Networks of a file's content, a dict of state dicts; the averaged generator where there is one.

    Raises UsageError, which names the file and the tensor that is missing, misshapen or unknown.
    """
    notes = []
    name = "g_ema" if isinstance(content.get("g_ema"), Mapping) else "g"
    if name == "g":
        notes.append(f"{file} has no averaged generator (g_ema); g is taken")
    generator = _renamed(content[name], _generator_name, f"{file}: {name}")
    average = content.get("latent_avg")
    if isinstance(average, Tensor):
        generator["mapping.w_avg"] = average.flatten()
    else:
        notes.append(f"{file} has no latent_avg; the mean of {AVERAGED:,} w takes its place")
        width = generator.get("synthesis.b4.conv1.affine.weight", torch.empty(0, 0)).shape[1]
        generator["mapping.w_avg"] = torch.zeros(width)
    if "miner" in content:  # of MineGAN's code for this one
        notes.append(f"{file} has a miner, which is not read: the pictures are those of {name} alone")
    critic = content.get("d")
    discriminator = None
    if isinstance(critic, Mapping):
        size = 4 * 2 ** len({part for name in critic if (part := _block(name))})
        discriminator = _renamed(critic, lambda name: _discriminator_name(name, size), f"{file}: d")
    found = from_official(generator, discriminator, file=f"{file}: {name}", discriminator_file=f"{file}: d")
    if not isinstance(average, Tensor):
        found.generator["mapping.w_avg"] = _average(found)
    return Converted(
        generator_shape=found.generator_shape,
        generator=found.generator,
        discriminator_shape=found.discriminator_shape,
        discriminator=found.discriminator,
        notes=tuple(notes),
    )


@torch.no_grad()
def _average(found: Converted) -> Tensor:
    mapping = GeneratorMapping(found.generator_shape)
    prefix = "mapping."
    mapping.load_state_dict(
        {name.removeprefix(prefix): value for name, value in found.generator.items() if name.startswith(prefix)}
    )
    z = torch.randn(AVERAGED, found.generator_shape.z_dim, generator=torch.Generator().manual_seed(0))
    w: Tensor = mapping(z, None)
    return w.mean(dim=0)


def _renamed(state: Any, rename: Callable[[str], str | None], file: str) -> dict[str, Tensor]:
    result: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if not isinstance(tensor, Tensor):
            raise UsageError(f"{file}: {name} is no tensor")
        if _KERNEL.fullmatch(name):
            continue  # the filter, with its gain
        renamed = rename(name)
        if renamed is None:
            raise UsageError(f"{file}: tensor {name} belongs to no part of a StyleGAN2 generator or discriminator")
        result[renamed] = _reshaped(renamed, tensor)
    return result


def _reshaped(name: str, tensor: Tensor) -> Tensor:
    """Axes of length 1 that the other layout has in front, and behind a bias, are dropped."""
    if name.endswith("noise_strength"):
        return tensor.reshape(()) if tensor.numel() == 1 else tensor
    if name.endswith("torgb.bias"):
        return tensor.flatten()
    if name.endswith("noise_const"):
        return tensor.reshape(tensor.shape[-2:]) if tensor.numel() == tensor.shape[-1] * tensor.shape[-2] else tensor
    if name.endswith("const") or (name.startswith("synthesis.") and tensor.dim() == 5):
        return tensor[0] if len(tensor) == 1 else tensor
    return tensor


_GENERATOR: tuple[tuple[str, Callable[[int], str]], ...] = (
    (r"(conv)1\.(.+)", lambda _: _position(0)),
    (r"convs\.(\d\d?)\.(.+)", lambda index: _position(index + 1)),
    (r"(to_rgb)1\.(.+)", lambda _: "synthesis.b4.torgb"),
    (r"to_rgbs\.(\d\d?)\.(.+)", lambda index: f"synthesis.b{8 * 2**index}.torgb"),
)


def _generator_name(name: str) -> str | None:
    if match := re.fullmatch(r"style\.([1-9]\d?)\.(weight|bias)", name):
        return f"mapping.fc{int(match[1]) - 1}.{match[2]}"
    if name == "input.input":
        return "synthesis.b4.const"
    if match := re.fullmatch(r"noises\.noise_(\d\d?)", name):
        return f"{_position(int(match[1]))}.noise_const"
    for pattern, place in _GENERATOR:
        if (match := re.fullmatch(pattern, name)) and match[2] in _LAYER:
            return f"{place(int(match[1]) if match[1].isdecimal() else 0)}.{_LAYER[match[2]]}"
    return None


def _position(index: int) -> str:
    """The layer of that index, from 0, among those with noise."""
    if index == 0:
        return "synthesis.b4.conv1"
    return f"synthesis.b{8 * 2 ** ((index - 1) // 2)}.conv{(index - 1) % 2}"


def _block(name: str) -> str | None:
    match = re.fullmatch(r"convs\.([1-9])\.conv1\.0\.weight", name)
    return match[1] if match else None


_DISCRIMINATOR: tuple[tuple[str, Callable[[int, int], str]], ...] = (
    (r"convs\.(0)\.(?:0\.(weight)|1\.(bias))", lambda size, _: f"b{size}.fromrgb"),
    (r"convs\.([1-9])\.conv1\.(?:0\.(weight)|1\.(bias))", lambda size, index: f"b{size >> (index - 1)}.conv0"),
    (r"convs\.([1-9])\.conv2\.(?:1\.(weight)|2\.(bias))", lambda size, index: f"b{size >> (index - 1)}.conv1"),
    (r"convs\.([1-9])\.skip\.1\.(weight)", lambda size, index: f"b{size >> (index - 1)}.skip"),
    (r"final_conv\.(?:0\.(weight)|1\.(bias))", lambda size, _: "b4.conv"),
    (r"final_linear\.0\.(weight|bias)", lambda size, _: "b4.fc"),
    (r"final_linear\.1\.(weight|bias)", lambda size, _: "b4.out"),
)


def _discriminator_name(name: str, size: int) -> str | None:
    for pattern, place in _DISCRIMINATOR:
        if match := re.fullmatch(pattern, name):
            groups = [group for group in match.groups() if group is not None]
            return f"{place(size, int(groups[0]) if groups[0].isdecimal() else 0)}.{groups[-1]}"
    return None
