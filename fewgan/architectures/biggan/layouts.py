"""Foreign layouts of BigGAN weights. Everything is derived from the tensors; config files beside them are not read.

BigGAN-PyTorch: `G_ema.pth` (or `G.pth`) and `D.pth`, plain state dicts, in the names of `networks.py`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from fewgan.architectures.biggan import Options, build
from fewgan.architectures.biggan.networks import (
    DISCRIMINATOR_CHANNELS,
    GENERATOR_CHANNELS,
    discriminator_sizes,
    generator_sizes,
)
from fewgan.plugin import Networks, Pretrained, UsageError

State = Mapping[str, Tensor]


def read(files: Mapping[str, Any]) -> Pretrained | None:
    """The networks in a BigGAN-PyTorch folder, or None where the files are of another layout.

    Raises UsageError naming the file and the tensor that is missing, extra or of another shape.
    """
    generator_file = next((name for name in ("G_ema.pth", "G.pth") if name in files), None)
    if generator_file is None:
        return None
    generator = _tensors(files[generator_file])
    if generator is None or "linear.weight" not in generator or "output_layer.2.weight" not in generator:
        return None
    notes = (
        [] if generator_file == "G_ema.pth" else ["the source has no averaged generator (G_ema.pth); G.pth is taken"]
    )
    discriminator = _tensors(files["D.pth"]) if "D.pth" in files else None

    try:
        options, size, classes = _derive(generator, discriminator)
    except (KeyError, IndexError, StopIteration, ZeroDivisionError) as error:
        raise UsageError(f"{generator_file}: tensor {error} is missing; this is not a whole BigGAN generator") from None
    with torch.device("meta"):
        networks = build(options, size=size, classes=classes)
    generator = _check(generator, networks.generator, generator_file)
    if discriminator is not None:
        discriminator = _check(discriminator, networks.discriminator, "D.pth")
    return Pretrained(
        options=options,
        size=size,
        classes=classes,
        generator=generator,
        discriminator=discriminator,
        notes=tuple(notes),
    )


def write(networks: Networks) -> dict[str, dict[str, Tensor]]:
    """The files of a BigGAN-PyTorch folder."""
    return {"G_ema.pth": _state(networks.generator), "D.pth": _state(networks.discriminator)}


def _state(network: Any) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}


def _tensors(content: Any) -> dict[str, Tensor] | None:
    if not isinstance(content, Mapping) or not content:
        return None
    if not all(isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in content.items()):
        return None
    return {name.removeprefix("module."): tensor for name, tensor in content.items()}  # DataParallel's prefix


def _derive(generator: State, discriminator: State | None) -> tuple[Options, int, int]:
    size = _size(generator, GENERATOR_CHANNELS, extra=1, file="the generator")
    channels = GENERATOR_CHANNELS[size]
    width = generator["output_layer.2.weight"].shape[1] // channels[-1]
    blocks = len(channels) - 1
    condition = generator["blocks.0.0.bn1.gain.weight"].shape
    chunk = generator["linear.weight"].shape[1]

    # Tables in each layer: [classes, channels] and no spectral norm. One shared embedding: [channels, condition], with.
    shared = "blocks.0.0.bn1.gain.u0" in generator
    if not shared:
        classes, embedding_dim, hierarchical = condition[0], 128, False
    elif "shared.weight" in generator:
        classes, embedding_dim = generator["shared.weight"].shape
        hierarchical = condition[1] != embedding_dim
    else:
        classes, embedding_dim, hierarchical = 0, 128, True

    attention = _attention(generator, generator_sizes(size))
    discriminator_width, discriminator_attention = None, None
    if discriminator is not None:
        if _size(discriminator, DISCRIMINATOR_CHANNELS, extra=0, file="D.pth") != size:
            raise UsageError(
                f"D.pth is not for {size} px as the generator is; the two files belong to different networks"
            )
        multiplier = DISCRIMINATOR_CHANNELS[size][-1]
        discriminator_width = discriminator["linear.weight"].shape[1] // multiplier
        discriminator_attention = _attention(discriminator, discriminator_sizes(size))
        known = len(discriminator["embed.weight"]) if "embed.weight" in discriminator else 0
        if known != classes:
            raise UsageError(
                f"D.pth knows {known} classes, the generator {classes}; the two files do not belong together"
            )
    options = Options(
        width=width,
        attention=attention,
        latent_dim=chunk * (blocks + 1) if hierarchical else chunk,
        embedding_dim=embedding_dim,
        hierarchical=hierarchical,
        shared_embedding=shared,
        discriminator_width=None if discriminator_width == width else discriminator_width,
        discriminator_attention=None if discriminator_attention == attention else discriminator_attention,
    )
    return options, size, classes


def _size(state: State, tables: Mapping[int, tuple[int, ...]], extra: int, file: str) -> int:
    found = {int(match[1]) for match in (re.match(r"blocks\.(\d+)\.", name) for name in state) if match}
    for size, channels in tables.items():
        if len(channels) - extra == len(found):
            return size
    known = ", ".join(f"{len(channels) - extra} ({size} px)" for size, channels in tables.items())
    raise UsageError(f"{file} has {len(found)} blocks; BigGAN has {known}")


def _attention(state: State, sides: list[int]) -> str:
    found = {side for index, side in enumerate(sides) if f"blocks.{index}.1.theta.weight" in state}
    return ",".join(str(side) for side in sorted(found)) or "none"


def _check(state: dict[str, Tensor], network: Any, file: str) -> dict[str, Tensor]:
    """The state dict in the network's names; raises UsageError at the first tensor that does not fit."""
    module: nn.Module = network
    expected = module.state_dict()
    for name, tensor in expected.items():
        if name not in state:
            raise UsageError(f"{file}: tensor {name} is missing ({list(tensor.shape)} expected)")
        if state[name].shape != tensor.shape:
            raise UsageError(f"{file}: tensor {name} is {list(state[name].shape)}, {list(tensor.shape)} expected")
        if not torch.isfinite(state[name]).all():
            raise UsageError(f"{file}: tensor {name} holds NaN or infinity; the file is damaged")
    extra = next((name for name in state if name not in expected), None)
    if extra is not None:
        raise UsageError(
            f"{file}: tensor {extra} {list(state[extra].shape)} belongs to no part of a BigGAN of this size"
        )
    return {name: state[name].to(expected[name].dtype) for name in expected}
