"""What a training is asked for, settled against dataset, source, architecture and machine: nothing is left open."""

from __future__ import annotations

import dataclasses
import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fewgan import device, distributed, registry, run
from fewgan.errors import UsageError
from fewgan.networks import Networks
from fewgan.options import fields_of, flag
from fewgan.photos import dataset
from fewgan.screen import Screen, safe
from fewgan.sources import known, load, transfer
from fewgan.sources.model import Model
from fewgan.training.config import Config


def precision(config: Config, target: torch.device, screen: Screen, resumed: bool = False) -> str:
    """fp32 or bf16. auto: bf16 where the device is known to be faster in it."""
    if config.precision == "bf16" and device.slow_in_bfloat16(target):
        screen.warn("--precision bf16: this CPU is many times slower in bfloat16 than in float32; use --precision fp32")
    if config.precision != "auto" or resumed:
        return config.precision
    chosen = "bf16" if device.fast_in_bfloat16(target) else "fp32"
    if chosen == "bf16":
        screen.note(f"Precision: bf16, in which this {target.type.upper()} is faster; --precision fp32 turns it off")
    return chosen


def check_batch(config: Config) -> None:
    """Raises UsageError where the batch does not divide by the processes."""
    processes = distributed.world_size()
    if config.batch_size % processes:
        raise UsageError(
            f"--batch-size {config.batch_size}: must be divisible by the number of processes ({processes})"
        )


def with_source(config: Config, screen: Screen) -> Config:
    """With the default source where the transfer needs one. Raises UsageError for a source without use."""
    needs = config.transfer.plugin()[0].needs_source
    if needs and config.source is None:
        screen.note(f"Source: {known.DEFAULT}, {known.sources()[known.DEFAULT]['summary']}; choose another by --source")
        return dataclasses.replace(config, source=known.DEFAULT)
    if not needs and config.source is not None:
        raise UsageError(
            f"--source {config.source}: has no effect with --transfer {config.transfer.name}; add a --transfer that "
            "uses a source"
        )
    return config


def load_source(config: Config, screen: Screen) -> Model | None:
    """The source's model, None without a source; notes its licences."""
    if config.source is None:
        return None
    model = load.load(config.source, screen)
    for note in model.config.get("notes", ()):
        screen.note(f"Source: {note}")
    for one in model.config[known.LICENCES]:
        screen.note(
            f"Source: the licence of {one['source']}, which goes with what is trained from it: {one['licence']}"
        )
    if not model.has_discriminator:
        screen.note(f"Source: {config.source} has no discriminator; D is initialised from scratch")
    if model.mapper is not None:
        screen.note(f"Source: the mapper of {config.source} ({model.config['transfer']['name']}) is not used")
    return model


def with_size(config: Config, data: dataset.Dataset, model: Model | None) -> Config:
    """With the size and architecture of the source, else the dataset's size. Raises UsageError where they conflict."""
    if model is None:
        return dataclasses.replace(config, size=config.size or data.size)
    size = model.generator.size
    if config.size not in (None, size):
        raise UsageError(
            f"--size {config.size}: the source {config.source} is {size} px; leave --size out or take another source"
        )
    if size > data.size:
        raise UsageError(
            f"{safe(str(data.folder))} holds photos of {data.size} px, and the source {config.source} is {size} px: "
            f"prepare them with --size {size}, or take another source"
        )
    theirs = model.architecture
    defaults = registry.choose(theirs.kind, theirs.name)
    options = defaults.options
    if config.architecture.name == theirs.name:
        options = config.architecture.options
    elif config.architecture != registry.choose(theirs.kind, registry.default(theirs.kind) or ""):
        raise UsageError(
            f"--arch {config.architecture.name}: the source {config.source} is of the architecture "
            f"{theirs.name}; leave --arch and the options of {config.architecture.name} out"
        )
    own = {item.name: options[item.name] for item in fields_of(theirs.plugin()[0].options) if not item.network}
    for name, value in options.items():
        their = theirs.options.get(name, defaults.options[name])  # a run from before the option existed
        if name not in own and value not in (defaults.options[name], their):
            words = f"{theirs.name}-{name}"
            given, has = _on_the_line(words, value), _on_the_line(words, their)
            has = f"the default of {has}" if their is None else has
            raise UsageError(f"{given}: the source {config.source} has {has}, and keeps it; leave {given} out")
    return dataclasses.replace(
        config, size=size, architecture=dataclasses.replace(theirs, options=theirs.options | own)
    )


def _on_the_line(words: str, value: Any) -> str:
    """An option with its value, as a command line has it."""
    if isinstance(value, bool):
        return flag(words if value else f"no-{words}")
    return flag(words) if value is None else f"{flag(words)} {value}"


def classes(data: dataset.Dataset, model: Model | None, screen: Screen) -> int:
    """How many classes the networks have; 0: unconditional."""
    wanted = len(data.classes)
    if model is None:
        return wanted
    if model.generator.classes == 0:
        if wanted:
            screen.note("Source: it has no classes, so those of the dataset are not used")
        return 0
    if note := transfer.about_classes(model.generator.classes, model.classes, data.classes):
        screen.note(f"Source: {note}")
    return max(wanted, 1)


def networks(config: Config, data: dataset.Dataset, classes: int) -> Networks:
    """The architecture's networks. Raises UsageError where it has none of that size."""
    try:
        return config.architecture.networks(size=config.size, classes=classes)
    except UsageError as error:
        if config.source is not None or f"has no {config.size} px" not in str(error):
            raise
        raise UsageError(f"{error} (the photos have {data.size} px and are not enlarged)") from None


def with_defaults(config: Config, networks: Networks) -> Config:
    """With what the architecture decides where the command line does not: loss, rates, batch, regularizers."""
    defaults = networks.defaults
    on = {choice.name for choice in config.regularizers}
    added = tuple(
        registry.choose("regularizers", name)
        for name in defaults.regularizers
        if name not in on and name not in config.no_regularizers
    )
    # A name of a source is meant where it is; a path is meant from here, and a resume may come from elsewhere.
    place = None if config.source is None else Path(config.source)
    return dataclasses.replace(
        config,
        regularizers=config.regularizers + added,
        loss=config.loss or defaults.loss,
        d_steps=config.d_steps or defaults.discriminator_steps,
        lr_g=defaults.generator.learning_rate if config.lr_g is None else config.lr_g,
        lr_d=defaults.discriminator.learning_rate if config.lr_d is None else config.lr_d,
        planned_steps=config.steps,
        source=str(place.resolve()) if place is not None and place.exists() else config.source,
        features=config.features and _from_here(config.features),
    )


def _from_here(choice: registry.Choice) -> registry.Choice:
    """Files among the options by their whole path."""
    found = {
        name: str(Path(value).resolve())
        for name, value in choice.options.items()
        if isinstance(value, str) and Path(value).suffix and Path(value).is_file()
    }
    return dataclasses.replace(choice, options=choice.options | found)


def photos(config: Config, data: dataset.Dataset, screen: Screen, target: torch.device) -> tuple[Tensor, Tensor]:
    """The photos to train on and their labels; on the GPU where they take less than a quarter of its free memory."""
    if config.size is not None and config.size < data.size:
        screen.note(f"Photos: downscaled from {data.size} to {config.size} px to match the networks")
    photos, labels = dataset.photos(data, held_out=False, size=config.size)
    if len(photos) < config.batch_size:
        screen.note(f"Photos: {len(photos)}, fewer than --batch-size {config.batch_size}: photos repeat within a batch")
    if target.type == "cuda" and 4 * photos.nbytes < torch.cuda.mem_get_info(target)[0]:
        return photos.to(target), labels.to(target)
    return photos, labels


def _machine(target: torch.device) -> str:
    """What the run was started on, for a person."""
    name = torch.cuda.get_device_name(target) if target.type == "cuda" else target.type.upper()
    return (
        f"{platform.system()} {platform.machine()}, {name}, {os.cpu_count()} cores, {torch.get_num_threads()} threads"
    )


def record(
    config: Config, data: dataset.Dataset, classes: int, source: Model | None, target: torch.device
) -> dict[str, Any]:
    """What config.json says. licences: of the weights that the run descends from."""
    return {
        "format": run.FORMAT,
        "fewgan": version("fewgan"),
        "torch": torch.__version__,
        "machine": _machine(target),
        **config.as_dict(),
        "data_path": str(data.folder.resolve()),
        "fingerprint": data.fingerprint,
        "photos": int((~data.held_out).sum()),
        "classes": list(data.classes),
        "class_counts": data.class_counts.tolist(),
        "network_classes": classes,
        "crop": data.crop,
        "aspect": data.aspect,
        known.LICENCES: [] if source is None else source.config[known.LICENCES],
    }
