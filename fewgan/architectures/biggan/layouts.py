"""Foreign layouts of BigGAN weights. Everything is derived from the tensors; config files beside them are not read.

BigGAN-PyTorch: `G_ema.pth` (or `G.pth`) and `D.pth`, plain state dicts, in the names of `networks.py`; with a suffix,
    such as `G_ema_best.pth`, too. The DiffAugment CIFAR code has the same, and single files of any name for download.
MineGAN's code: the same, and a miner, `M.pth`, with G's suffix.
PyTorch-StudioGAN: see `studiogan.py`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from fewgan.architectures.biggan import studiogan
from fewgan.architectures.biggan.build import Options, build
from fewgan.architectures.biggan.networks import (
    DISCRIMINATOR_CHANNELS,
    GENERATOR_CHANNELS,
    discriminator_sizes,
    generator_sizes,
)
from fewgan.plugin import Networks, Pretrained, UsageError, check_shapes

State = Mapping[str, Tensor]
_FILE = re.compile(r"(G_ema|G|D|M)(_\w+)?(\.(?:pth|pt|bin|safetensors))")


def read(files: Mapping[str, Any]) -> Pretrained | None:
    """The networks in a folder of one of these layouts, or None where the files are of another.

    Raises UsageError naming the file and the tensor that is missing, extra or of another shape.
    """
    names = studiogan.choose(files) or _choose(files)
    if names is None:
        return None
    generator_file, discriminator_file, miner_file = names
    content = _tensors(files[generator_file])
    if content is None:
        return None
    rename = studiogan.translate if studiogan.is_generator(content) else _plain

    def renamed(name: str, state: dict[str, Tensor] | None) -> dict[str, Tensor]:
        if state is None:
            raise UsageError(f"{name}: holds no state dict of tensors")
        try:
            return rename(state)
        except KeyError as error:
            raise UsageError(f"{name}: tensor {error} is missing") from None

    generator = renamed(generator_file, content)
    if not {"linear.weight", "output_layer.2.weight"} <= generator.keys():
        return None
    notes = []
    if "G_ema" not in generator_file and len(files) > 1:
        notes = [f"the source has no averaged generator (G_ema.pth); {generator_file} is taken"]
    discriminator = None
    if discriminator_file is not None:
        discriminator = renamed(discriminator_file, _tensors(files[discriminator_file]))
    miner = _tensors(files[miner_file]) if miner_file is not None else None
    if miner is None and miner_file is not None:
        notes.append(f"{miner_file} is no miner of MineGAN's code and is not read")
    try:
        options, size, classes = derive(generator, None, "D.pth")
    except (KeyError, IndexError, StopIteration, ZeroDivisionError) as error:
        raise UsageError(f"{generator_file}: tensor {error} is missing; this is not a whole BigGAN generator") from None
    if discriminator is not None and discriminator_file is not None:
        try:
            options, _, _ = derive(generator, discriminator, discriminator_file)
        except (KeyError, IndexError, StopIteration, ZeroDivisionError) as error:
            raise UsageError(f"{discriminator_file}: tensor {error} is missing") from None
    if miner is not None:
        # y' of the miner takes the place of the class embedding, and D was trained without labels.
        miner = {name: tensor for name, tensor in miner.items() if not name.startswith("shared.")}
        _check_finite(miner, miner_file or "M.pth")
        classes = min(classes, 1)
        generator, discriminator = _one_class(generator, "shared") or {}, _one_class(discriminator, "embed")
    with torch.device("meta"):
        networks = build(options, size=size, classes=classes)
    generator = _check(generator, networks.generator, generator_file)
    if discriminator is not None:
        discriminator = _check(discriminator, networks.discriminator, discriminator_file or "D.pth")
    return Pretrained(
        options=options,
        size=size,
        classes=classes,
        generator=generator,
        discriminator=discriminator,
        transfer=None if miner is None else "minegan",
        mapper=miner,
        notes=tuple(notes),
    )


def _choose(files: Mapping[str, Any]) -> tuple[str, str | None, str | None] | None:
    """The files of G, D and the miner: the average first; without a suffix, with `best`, with another."""
    if len(files) == 1 and not _FILE.fullmatch(next(iter(files))):
        return next(iter(files)), None, None
    found = [match for match in map(_FILE.fullmatch, files) if match]
    ranked = sorted(found, key=lambda match: (match[1] != "G_ema", bool(match[2]), match[2] != "_best", match[2] or ""))
    match = next((match for match in ranked if match[1] not in ("D", "M")), None)
    if match is None:
        return None

    def beside(*stems: str) -> str | None:
        endings = (match[3], ".pth", ".pt", ".bin", ".safetensors")
        return next((name for stem in stems for ending in endings if (name := stem + ending) in files), None)

    suffix = match[2] or ""
    miners = (other[0] for other in ranked if other[1] == "M")
    miner = beside(f"M{suffix}", "M", "miner", "netM") or next(miners, None)
    return match[0], beside(f"D{suffix}", *(() if suffix else ("discriminator", "netD"))), miner


def _plain(state: State) -> dict[str, Tensor]:
    """The names of networks with one kind of batch norm and one singular value, which compute the same.

    --cross_replica and --mybn have a batch norm within each batch norm; --num_G_SVs has more singular values than the
    one that sigma is.
    """
    passed = re.compile(r".*\.(accumulation_counter|num_batches_tracked|_running_iter|(u|sv)[1-9]\d*)")
    names = {name: re.sub(r"\.bn\.(running|stored)_(mean|var)$", r".stored_\2", name) for name in state}
    return {renamed: state[name] for name, renamed in names.items() if not passed.fullmatch(name)}


def _one_class(state: dict[str, Tensor] | None, table: str) -> dict[str, Tensor] | None:
    """The state with the mean over the classes as its only class."""
    if state is None or f"{table}.weight" not in state:
        return state
    state = {**state, f"{table}.weight": state[f"{table}.weight"].mean(0, keepdim=True)}
    if f"{table}.u0" in state:
        state[f"{table}.u0"] = torch.ones(1, 1)
    return state


def write(networks: Networks) -> dict[str, dict[str, Tensor]]:
    """The files of a BigGAN-PyTorch folder."""
    return {"G_ema.pth": _state(networks.generator), "D.pth": _state(networks.discriminator)}


def _state(network: Any) -> dict[str, Tensor]:
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    gain = state.pop("embed.gain", torch.ones(()))
    if not torch.isclose(gain, torch.ones(()), atol=1e-4):
        raise UsageError(
            "D's class embeddings were remapped from a source with other classes, which this layout cannot hold; "
            "export it as safetensors, with --to safetensors"
        )
    return state


def _tensors(content: Any) -> dict[str, Tensor] | None:
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if not isinstance(content, Mapping) or not content:
        return None
    if not all(isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in content.items()):
        return None
    return {name.removeprefix("module."): tensor for name, tensor in content.items()}  # DataParallel's prefix


def derive(generator: State, discriminator: State | None, discriminator_file: str) -> tuple[Options, int, int]:
    """Options, size and number of classes of networks whose state dicts have the names of BigGAN-PyTorch."""
    size = _size(generator, GENERATOR_CHANNELS, extra=1, file="the generator")
    channels = [len(generator["blocks.0.0.bn1.stored_mean"]), *_outputs(generator)]
    width, own_channels = _width(channels, GENERATOR_CHANNELS[size])
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
    options: dict[str, Any] = {}
    if discriminator is not None:
        if _size(discriminator, DISCRIMINATOR_CHANNELS, extra=0, file=discriminator_file) != size:
            raise UsageError(
                f"{discriminator_file} is not for {size} px as the generator is; the two belong to different networks"
            )
        known = len(discriminator["embed.weight"]) if "embed.weight" in discriminator else 0
        if known != classes:
            raise UsageError(
                f"{discriminator_file} knows {known} classes, the generator {classes}; they do not belong together"
            )
        theirs, own = _width(_outputs(discriminator), DISCRIMINATOR_CHANNELS[size])
        watched = _attention(discriminator, discriminator_sizes(size))
        options = {
            "discriminator_width": None if theirs == width else theirs,
            "discriminator_channels": own,
            "discriminator_attention": None if watched == attention else watched,
        }
    derived = Options(
        width=width,
        channels=own_channels,
        attention=attention,
        latent_dim=chunk * (blocks + 1) if hierarchical else chunk,
        embedding_dim=embedding_dim,
        hierarchical=hierarchical,
        shared_embedding=shared,
        **options,
    )
    return derived, size, classes


def _indices(state: State) -> list[int]:
    return sorted({int(match[1]) for match in (re.match(r"blocks\.(\d+)\.", name) for name in state) if match})


def _outputs(state: State) -> list[int]:
    return [len(state[f"blocks.{index}.0.conv2.bias"]) for index in _indices(state)]


def _width(channels: list[int], table: tuple[int, ...]) -> tuple[int, str | None]:
    """The width by which the published table gives these channels, or the channels themselves where it does not."""
    width = max(channels[-1] // table[-1], 1)
    published = channels == [multiplier * width for multiplier in table]
    return width, None if published else ",".join(map(str, channels))


def _size(state: State, tables: Mapping[int, tuple[int, ...]], extra: int, file: str) -> int:
    found = _indices(state)
    for size, channels in tables.items():
        if len(channels) - extra == len(found):
            return size
    known = ", ".join(f"{len(channels) - extra} ({size} px)" for size, channels in tables.items())
    raise UsageError(f"{file} has {len(found)} blocks; BigGAN has {known}")


def _attention(state: State, sides: list[int]) -> str:
    """The sides that have attention; where they name more blocks than have it, the blocks themselves."""
    found = [index for index in range(len(sides)) if f"blocks.{index}.1.theta.weight" in state]
    named = {sides[index] for index in found}
    if [index for index, side in enumerate(sides) if side in named] != found:
        return ",".join(f"block{index}" for index in found)
    return ",".join(str(side) for side in sorted(named)) or "none"


def _check(state: dict[str, Tensor], network: Any, file: str) -> dict[str, Tensor]:
    """The state dict in the network's names and types; raises UsageError at the first tensor that does not fit."""
    expected, state = network.state_dict(), _whole(state, network)
    check_shapes(network, {name: tuple(tensor.shape) for name, tensor in state.items()}, file)
    _check_finite(state, file)
    return {name: state[name].to(tensor.dtype) for name, tensor in expected.items()}


def _whole(state: State, network: Any) -> dict[str, Tensor]:
    """The state dict with what a file may lack: the gain of D's classes, and singular values, which nothing reads."""
    usual = {
        name: torch.ones(tensor.shape)
        for name, tensor in network.state_dict().items()
        if name == "embed.gain" or name.endswith(".sv0")
    }
    return {**usual, **state}


def _check_finite(state: State, file: str) -> None:
    for name, tensor in state.items():
        if not torch.isfinite(tensor).all():
            raise UsageError(f"{file}: tensor {name} holds NaN or infinity; the file is damaged")
