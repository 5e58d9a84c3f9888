"""Weights of stylegan2-ada-pytorch, and of stylegan3's StyleGAN2 configuration, from and to state dicts.

The names are those of our own modules. Everything that decides the function is derived from the tensors, but for what
leaves no trace in them, which the arguments tell that the networks were constructed with: the clamp of activations, and
how many images share a standard deviation. Without arguments: no clamp, four images.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from fewgan.plugin import UsageError
from fewgan_stylegan2.discriminator import Discriminator, DiscriminatorShape
from fewgan_stylegan2.generator import Generator, GeneratorShape, sides
from fewgan_stylegan2.resampling import low_pass

State = Mapping[str, Tensor]
Arguments = Mapping[str, Any]

SIZES = (8, 16, 32, 64, 128, 256, 512, 1024, 2048)
# What other values of these arguments would make is another function than ours.
_FIXED = {
    "img_channels": 3,
    "lr_multiplier": 0.01,
    "activation": "lrelu",
    "resample_filter": [1, 3, 3, 1],
    "use_noise": True,
    "kernel_size": 3,
    "mbstd_num_channels": 1,
}
# stylegan3 hands the arguments of the synthesis network to the generator itself, and clamps unless told otherwise.
_STYLEGAN3 = ("fused_modconv_default", "channel_base", "channel_max", "num_fp16_res")
_STYLEGAN3_CLAMP = 256.0


@dataclass(frozen=True, kw_only=True)
class Converted:
    """Networks found in a file: enough to build them, and their state dicts, float32. notes: for the user to see."""

    generator_shape: GeneratorShape
    generator: dict[str, Tensor]
    discriminator_shape: DiscriminatorShape | None = None
    discriminator: dict[str, Tensor] | None = None
    notes: tuple[str, ...] = ()


def is_official(state: Mapping[str, Any]) -> bool:
    """Whether these are the tensors of a StyleGAN2 generator in the official names."""
    return {"mapping.fc0.weight", "synthesis.b4.const", "synthesis.b4.conv1.weight"} <= state.keys()


def is_official_discriminator(state: Mapping[str, Any]) -> bool:
    """Whether these are the tensors of a StyleGAN2 discriminator in the official names."""
    return {"b4.conv.weight", "b4.fc.weight", "b4.out.weight", "b8.conv0.weight"} <= state.keys()


def from_official(
    generator: State,
    discriminator: State | None = None,
    *,
    generator_arguments: Arguments | None = None,
    discriminator_arguments: Arguments | None = None,
    file: str = "the generator",
    discriminator_file: str = "the discriminator",
) -> Converted:
    """Networks from official state dicts and the keyword arguments of their classes, nested or flat.

    Raises UsageError, which names the file and the tensor that is missing, misshapen, not finite or unknown, or the
    argument that makes another network.
    """
    given = generator_arguments or {}
    clamp = _clamp(given, file, _STYLEGAN3_CLAMP if any(name in given for name in _STYLEGAN3) else None)
    _check_arguments(given, file)
    generator_shape = derive_generator(generator, clamp, file)
    with torch.device("meta"):
        network = Generator(generator_shape)
    weights = fitted(generator, network, file)
    if discriminator is None:
        return Converted(generator_shape=generator_shape, generator=weights)
    given = discriminator_arguments or {}
    _check_arguments(given, discriminator_file)
    clamp = _clamp(given, discriminator_file, clamp)
    group = _group(given, discriminator_file)
    discriminator_shape = derive_discriminator(discriminator, clamp, group, discriminator_file)
    with torch.device("meta"):
        critic = Discriminator(discriminator_shape)
    return Converted(
        generator_shape=generator_shape,
        generator=weights,
        discriminator_shape=discriminator_shape,
        discriminator=fitted(discriminator, critic, discriminator_file),
    )


def derive_generator(state: State, clamp: float | None, file: str) -> GeneratorShape:
    """The shape of an official generator."""
    size = _size(state, re.compile(r"synthesis\.b(\d+)\.conv1\.weight"), file)
    layers = _count(state, "mapping.fc")
    first = _tensor(state, "mapping.fc0.weight", 2, file)
    classes, embedded = _embedding(state, file)
    if first.shape[1] <= embedded:
        raise UsageError(f"{file}: tensor mapping.fc0.weight is {list(first.shape)}, which leaves no room for z")
    w_dim = _tensor(state, "synthesis.b4.conv1.affine.weight", 2, file).shape[1]
    return GeneratorShape(
        size=size,
        channels={side: len(_tensor(state, f"synthesis.b{side}.conv1.weight", 4, file)) for side in sides(size)},
        classes=classes,
        z_dim=first.shape[1] - embedded,
        w_dim=w_dim,
        mapping_layers=layers,
        embedded=embedded if classes and embedded != w_dim else None,
        hidden=len(first) if layers > 1 and len(first) != w_dim else None,
        clamp=clamp,
    )


def derive_discriminator(state: State, clamp: float | None, group: int, file: str) -> DiscriminatorShape:
    """The shape of an official discriminator."""
    size = _size(state, re.compile(r"b(\d+)\.fromrgb\.weight"), file)
    if any(f"b{side}.fromrgb.weight" in state for side in sides(size)[:-1]):
        raise UsageError(f"{file}: is a discriminator of the `skip` architecture; resnet and orig can be read")
    channels = {side: len(_tensor(state, f"b{side}.conv0.weight", 4, file)) for side in sides(size)[1:]}
    channels[4] = len(_tensor(state, "b4.conv.weight", 4, file))
    classes, embedded = _embedding(state, file)
    projected = len(_tensor(state, "b4.out.weight", 2, file)) if classes else 0
    layers = _count(state, "mapping.fc") if classes else 8
    hidden = len(_tensor(state, "mapping.fc0.weight", 2, file)) if classes and layers > 1 else projected
    return DiscriminatorShape(
        size=size,
        channels=dict(sorted(channels.items())),
        classes=classes,
        architecture="resnet" if f"b{size}.skip.weight" in state else "orig",
        group=group,
        mapping_layers=layers,
        embedded=embedded if classes and embedded != projected else None,
        hidden=hidden if classes and hidden != projected else None,
        projected=projected if classes and projected != channels[4] else None,
        clamp=clamp,
    )


def fitted(state: State, network: nn.Module, file: str) -> dict[str, Tensor]:
    """The tensors of the network's state dict, float32, checked; `network` may be on the meta device.

    What a file may leave out is made up: the low-pass filter, and constant noise, from a seed. Raises UsageError.
    """
    made = torch.Generator().manual_seed(0)
    result: dict[str, Tensor] = {}
    expected = network.state_dict()
    for name, tensor in expected.items():
        found = state.get(name)
        if found is None:
            if name.endswith("resample_filter"):
                found = low_pass()
            elif name.endswith("noise_const"):
                found = torch.randn(tensor.shape, generator=made)
            else:
                raise UsageError(f"{file}: tensor {name} is missing ({list(tensor.shape)} expected)")
        if not isinstance(found, Tensor) or found.shape != tensor.shape:
            shape = list(found.shape) if isinstance(found, Tensor) else "no tensor"
            raise UsageError(f"{file}: tensor {name} is {shape}, {list(tensor.shape)} expected")
        found = found.detach().to(torch.float32).contiguous()
        if not torch.isfinite(found).all():
            raise UsageError(f"{file}: tensor {name} holds NaN or infinity; the file is damaged")
        if name.endswith("resample_filter") and not torch.allclose(found, low_pass(), atol=1e-4):
            raise UsageError(f"{file}: {name} is another filter than [1, 3, 3, 1], which is the only one known")
        result[name] = found
    extra = next((name for name in state if name not in expected), None)
    if extra is not None:
        raise UsageError(f"{file}: tensor {extra} belongs to no part of a StyleGAN2 of this shape")
    return result


def to_official(network: Generator | Discriminator) -> tuple[dict[str, Tensor], dict[str, Any] | None]:
    """A state dict that the official class of that name loads, and the keyword arguments to construct the class with.

    The arguments are those of stylegan3's `networks_stylegan2.py`, flat; None where its channel rule, min(channel_base
    // side, channel_max), does not give these channels.
    """
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    shape = network.shape
    rule = channel_rule(shape.channels)
    if rule is None or shape.embedded or shape.hidden:
        return state, None
    arguments: dict[str, Any] = {
        "c_dim": shape.classes,
        "img_resolution": shape.size,
        "img_channels": 3,
        "channel_base": rule[0],
        "channel_max": rule[1],
        "conv_clamp": shape.clamp,
        "mapping_kwargs": {"num_layers": shape.mapping_layers},
    }
    if isinstance(shape, GeneratorShape):
        return state, {"z_dim": shape.z_dim, "w_dim": shape.w_dim, **arguments}
    arguments |= {"architecture": shape.architecture, "epilogue_kwargs": {"mbstd_group_size": shape.group}}
    return state, arguments | ({"cmap_dim": shape.projected} if shape.projected else {})


def channel_rule(channels: Mapping[int, int]) -> tuple[int, int] | None:
    """(base, max) such that min(base // side, max) gives the channels at each side."""
    most = max(channels.values())
    base = max(count * side for side, count in channels.items())
    given = {side: min(base // side, most) for side in channels}
    return (base, most) if given == dict(channels) else None


def _tensor(state: State, name: str, dimensions: int, file: str) -> Tensor:
    """The tensor of that name, which must have so many dimensions."""
    tensor = state.get(name)
    if not isinstance(tensor, Tensor):
        raise UsageError(f"{file}: tensor {name} is missing; this is not a whole StyleGAN2 network")
    if tensor.dim() != dimensions or 0 in tensor.shape:
        raise UsageError(f"{file}: tensor {name} is {list(tensor.shape)}; {dimensions} dimensions expected")
    return tensor


def _size(state: State, pattern: re.Pattern[str], file: str) -> int:
    found = [int(match[1]) for name in state if (match := pattern.fullmatch(name))]
    if not found or max(found) not in SIZES:
        raise UsageError(f"{file}: holds no StyleGAN2 network of {SIZES[0]} to {SIZES[-1]} px")
    return max(found)


def _count(state: State, prefix: str) -> int:
    count = 0
    while f"{prefix}{count}.weight" in state:
        count += 1
    return count


def _embedding(state: State, file: str) -> tuple[int, int]:
    """(classes, width of their embedding), 0 and 0 for an unconditional network."""
    if "mapping.embed.weight" not in state:
        return 0, 0
    width, classes = _tensor(state, "mapping.embed.weight", 2, file).shape
    return classes, width


def _all(arguments: Arguments) -> Iterator[tuple[str, Any]]:
    """Arguments and those of parts within them, one level after the other."""
    for name, value in arguments.items():
        yield name, value
    for value in arguments.values():
        if isinstance(value, Mapping):
            yield from _all(value)


def _check_arguments(arguments: Arguments, file: str) -> None:
    for name, value in _all(arguments):
        known = _FIXED.get(name)
        same = list(value) == known if isinstance(known, list) and isinstance(value, list | tuple) else value == known
        if name in _FIXED and not same:
            raise UsageError(f"{file}: was made with {name} = {value!r}; only {known!r} is known")
        if name == "architecture" and value not in ("skip", "resnet", "orig"):
            raise UsageError(f"{file}: was made with architecture = {value!r}, which is not known")


def _argument(arguments: Arguments, name: str, default: Any) -> Any:
    return next((value for found, value in _all(arguments) if found == name), default)


def _clamp(arguments: Arguments, file: str, default: float | None) -> float | None:
    value = _argument(arguments, "conv_clamp", default)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise UsageError(f"{file}: was made with conv_clamp = {value!r}, which is no positive number")
    return float(value)


def _group(arguments: Arguments, file: str) -> int:
    value = _argument(arguments, "mbstd_group_size", 4)
    if value is None:  # the whole batch
        return 2**16
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise UsageError(f"{file}: was made with mbstd_group_size = {value!r}, which is no positive whole number")
    return value
