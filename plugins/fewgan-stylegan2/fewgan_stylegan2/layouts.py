"""Which files hold which network, from what the core finds in a folder; and files for others."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from fewgan.plugin import Networks, Pretrained, UsageError
from fewgan_stylegan2 import rosinality, studiogan
from fewgan_stylegan2.architecture import Options, text
from fewgan_stylegan2.files import (
    Converted,
    channel_rule,
    from_official,
    is_official,
    is_official_discriminator,
    to_official,
)

ARGUMENTS = "arguments.pth"


def read(files: Mapping[str, Any]) -> Pretrained | None:
    """The averaged generator of the last file by name that holds one, and the discriminator beside it."""
    for name in sorted(files, key=lambda name: (_rank(name), *studiogan.rank(name), name), reverse=True):
        content = files[name]
        if not isinstance(content, Mapping):
            continue
        if (found := rosinality.whole(content)) is not None:
            return _pretrained(rosinality.from_rosinality(found, name))
        for label, state in _networks(name, content):
            if is_official(state):
                return _pretrained(_official(files, label, state))
    return None


def _rank(name: str) -> int:
    """Averages first, and of a pickle's networks G before others; a discriminator says so in its name."""
    part = name.rpartition(":")[2].lower()
    return 2 if "ema" in part else 0 if part == "d" else 1


def _networks(name: str, content: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The file's own tensors, then those of dicts in it under the names of networks, and of StudioGAN's."""
    yield name, content
    if (state := studiogan.state_dict(content)) is not None:
        yield name, state
    for part in ("G_ema", "G", "D"):
        if isinstance(content.get(part), Mapping):
            yield f"{name}:{part}", content[part]


def _official(files: Mapping[str, Any], label: str, state: Mapping[str, Tensor]) -> Converted:
    others = dict(_critics(files, label))
    critic = next(iter(others), None)
    written = _arguments(files)
    found = from_official(
        state,
        others.get(critic or ""),
        generator_arguments=getattr(state, "arguments", written),
        discriminator_arguments=getattr(others.get(critic or ""), "arguments", written),
        file=label,
        discriminator_file=critic or "",
    )
    ours, theirs = found.generator_shape, found.discriminator_shape
    if theirs is not None and (ours.size, ours.classes) != (theirs.size, theirs.classes):
        raise UsageError(
            f"{critic}: is of {theirs.size} px and {theirs.classes} classes, {label} of {ours.size} px and "
            f"{ours.classes}; remove the one that does not belong"
        )
    left = [name for name in files if critic is None and studiogan.is_discriminator(_state_of(files[name]))]
    if left:
        return dataclasses.replace(found, notes=(*found.notes, f"{left[0]} judges by classes in its own way; not used"))
    return found


def _state_of(content: Any) -> Any:
    return content.get("state_dict") if isinstance(content, Mapping) else None


def _critics(files: Mapping[str, Any], label: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Discriminators: of the file that holds the generator too, where that holds several networks; else of any."""
    file, several, _ = label.rpartition(":")
    for name in sorted(files, key=lambda name: (*studiogan.likeness(name, label), name), reverse=True):
        if several and name.rpartition(":")[0] != file and name != file:
            continue
        if isinstance(files[name], Mapping):
            yield from (
                (place, found) for place, found in _networks(name, files[name]) if is_official_discriminator(found)
            )


def _arguments(files: Mapping[str, Any]) -> dict[str, Any]:
    """What `write` put beside state dicts; {} where it is not there."""
    content = files.get(ARGUMENTS, {})
    given = {}
    for name, convert in (("conv_clamp", float), ("mbstd_group_size", int)):
        value = content.get(name)
        if isinstance(value, Tensor) and value.numel() == 1:
            given[name] = convert(value.item())
    return given


def _pretrained(found: Converted) -> Pretrained:
    """Whole shapes in the hidden options; in the others what they can say, for the messages that name them."""
    shape, critic = found.generator_shape, found.discriminator_shape
    options: dict[str, Any] = {"generator_shape": text(shape), "mapping_layers": shape.mapping_layers}
    options |= {"latent_dim": shape.z_dim, "clamp": shape.clamp or 0.0}
    rule = channel_rule(shape.channels)
    if rule is not None:
        options |= {"channel_base": rule[0], "channel_max": rule[1]}
    if critic is not None:
        options |= {"discriminator_shape": text(critic), "architecture": critic.architecture, "group": critic.group}
    return Pretrained(
        options=Options(**options),
        size=shape.size,
        classes=shape.classes,
        generator=found.generator,
        discriminator=found.discriminator,
        notes=found.notes,
    )


def write(networks: Networks) -> dict[str, dict[str, Any]]:
    generator: Any = networks.generator
    discriminator: Any = networks.discriminator
    files: dict[str, dict[str, Any]] = {"G_ema.pth": to_official(generator)[0]}
    arguments = {} if generator.shape.clamp is None else {"conv_clamp": torch.tensor(float(generator.shape.clamp))}
    if discriminator is not None:
        files["D.pth"] = to_official(discriminator)[0]
        arguments["mbstd_group_size"] = torch.tensor(discriminator.shape.group)
    return files | ({ARGUMENTS: arguments} if arguments else {})
