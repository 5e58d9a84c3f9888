"""A pretrained GAN from anywhere: a run, a generator.safetensors, or files of another code's layout."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from fewgan import registry, run, storage
from fewgan.errors import UsageError
from fewgan.networks import Networks, Pretrained
from fewgan.screen import Screen, command, one_line
from fewgan.sources import hub, known
from fewgan.sources.empty import SkipInit, build_empty
from fewgan.sources.files import ENDINGS, Unread, WeightFiles, described, is_weights, unwrapped
from fewgan.sources.model import Model
from fewgan.training.config import Config

_OF_A_RUN = "{path}: checkpoints hold no generator to start from; give the run, {run}, or one of its generators/"


def load(place: str | Path | None = None, screen: Screen | None = None) -> Model:
    """A model from a run folder, a generator.safetensors, a folder or file of a foreign layout, or a known name.

    None: the latest run. Of a run that was scored while it trained, the best generator. Known names are those of
    `sources/known.toml`, such as embedded, and of installed architectures; hf:owner/name[@revision] is a repository of
    the Hugging Face Hub; their files are downloaded where they are not here yet. Its config's `licences` are those of
    the weights that it descends from, as far as they are known. Raises UsageError, one line that names the file and
    what is wrong with it.
    """
    place = run.latest() if place is None else place
    path = known.locate(place, screen)
    model = _load(path)
    if hub.is_place(place):
        model.name = hub.name(place)
    if screen is not None and path.is_dir() and (best := path / run.BEST).exists():
        step = storage.read_facts(best)[0].get("step")
        last = f"; the last is {run.GENERATOR}" if (path / run.GENERATOR).exists() else ""
        screen.note(f"Generator: {run.BEST} of step {step}, the one with the best score{last}")
    model.config[known.LICENCES] = known.licences(place, model.config)
    return model


def _load(path: Path) -> Model:
    for name in (run.BEST, run.GENERATOR):
        if (path / name).exists():
            return _load_run(path / name, path)
    if path.is_file() and path.suffix == ".safetensors" and _is_own(path):
        return _load_run(path, None)
    if (path / "checkpoints").is_dir() or run.is_run(path):
        again = command("fewgan", "train", "--resume", str(path))
        how = f"; '{again}' writes it" if run.checkpoints(path) else " yet; it is written with the first checkpoint"
        raise UsageError(f"{path}: this run has no {run.GENERATOR}{how}")
    if (path / "dataset.json").is_file() and (path / "images.safetensors").exists():  # StyleGAN's has no such file
        raise UsageError(f"{path}: is a dataset and no generator; '{command('fewgan', 'train', str(path))}' makes one")
    if path.name == "checkpoints" and run.is_run(path.parent):
        raise UsageError(_OF_A_RUN.format(path=path, run=path.parent))
    own = _own_generators(path)
    if len(own) > 1:
        raise UsageError(f"{path}: holds {len(own)} generators; give one of them, such as {own[-1]}")
    return _load_run(own[0], path) if own else _load_foreign(path)


def _own_generators(folder: Path) -> list[Path]:
    """The generators in a folder that fewgan wrote, whatever they are called."""
    found = []
    for file in sorted(folder.glob("*.safetensors")):
        with suppress(UsageError):  # of another program, or damaged
            if any(name.startswith("generator.") for name in storage.read_facts(file)[1]):
                found.append(file)
    return found


def _is_own(path: Path) -> bool:
    """Whether fewgan wrote a safetensors file. Raises UsageError for a damaged one, as reading it would."""
    try:
        storage.read_facts(path)
        return True
    except storage.Damaged:
        raise
    except UsageError:
        if any(name.startswith("generator.") for name in storage.tensor_names(path)):
            raise  # a later fewgan's, or one whose description was lost
        return False


def _load_run(file: Path, folder: Path | None) -> Model:
    """A generator that fewgan wrote. Neither D nor the transfer's package is needed, unless it brought a mapper."""
    facts, shapes = storage.read_facts(file)
    if not isinstance(facts.get("config"), dict):
        if run.is_run(file.parent.parent):
            raise UsageError(_OF_A_RUN.format(path=file, run=file.parent.parent))
        raise UsageError(f"{file}: holds no generator written by fewgan")
    content = facts["config"]
    config = Config.from_dict(content, file)
    if not storage.part(shapes, "generator."):
        raise UsageError(f"{file}: holds no generator; give the file or the folder that has it")
    config.architecture.plugin()  # imported here, not while tensors are made on the meta device
    build = partial(config.architecture.networks, size=config.size, classes=content["network_classes"])
    _check_header(build, storage.part(shapes, "generator."), file)
    networks = build_empty(build)
    mapper = None
    if any(name.startswith("mapper.") for name in shapes):
        transfer_plugin, transfer_options = config.transfer.plugin()
        networks = networks.with_discriminator()
        mapper = transfer_plugin.build(transfer_options, networks=networks).mapper
        if mapper is None:
            raise UsageError(f"{file}: holds a mapper, and --transfer {config.transfer.name} has none")
    tensors, _ = storage.read_tensors(file)
    storage.check_finite(tensors, file)
    storage.load_state(networks.generator, storage.part(tensors, "generator."), file)
    if mapper is not None:
        storage.load_state(mapper, storage.part(tensors, "mapper."), file)
    # Read when it is asked for: the current folder may be another by then, and a training may have saved a newer one.
    place = folder.absolute() if folder is not None else None
    discriminator = partial(_discriminator_of, networks, place) if place is not None and _files_of_d(place) else None
    return Model(
        folder or file,
        networks,
        config.architecture,
        mapper=mapper,
        discriminator=discriminator,
        config=content | {key: facts[key] for key in ("step",) if key in facts},
    )


def _check_header(build: Callable[[], Networks], shapes: Mapping[str, tuple[int, ...]], file: Path) -> None:
    """Compares the shapes in a file's header with those its config asks for, before anything is allocated."""
    try:
        with torch.device("meta"), SkipInit():  # a random number there would import torch's compiler, for a second
            generator = build().generator
    except (NotImplementedError, RuntimeError):  # a network that computes with its values while it is built
        return
    storage.check_shapes(generator, shapes, file)


def _files_of_d(folder: Path) -> list[tuple[Path, str]]:
    """Where a discriminator is, and the prefix of its tensors there: a source's own file, or checkpoints, newest first.

    Files whose header is damaged are left out, and those that a training has removed meanwhile.
    """
    files = [(folder / run.DISCRIMINATOR, "")] if (folder / run.DISCRIMINATOR).exists() else []
    files += [(path, "discriminator.") for _, path in reversed(run.checkpoints(folder))]
    whole = []
    for path, prefix in files:
        try:
            storage.read_facts(path)
            whole.append((path, prefix))
        except UsageError as error:
            if path.exists() and not isinstance(error, storage.Damaged):
                raise
    return whole


def _discriminator_of(networks: Networks, folder: Path) -> nn.Module:
    """D from the first of a folder's files that is whole; the next one is nearly as good."""
    module: nn.Module = networks.with_discriminator().discriminator
    files = _files_of_d(folder)
    if not files:
        raise UsageError(f"{folder}: its discriminator has been removed since it was loaded")
    for path, prefix in files:
        try:
            state = storage.read_tensors(path, prefix)[0]
        except UsageError as error:
            if path is files[-1][0] or (path.exists() and not isinstance(error, storage.Damaged)):
                raise
            continue
        storage.load_state(module, state, path)
        break
    return module


def _load_foreign(path: Path) -> Model:
    files = WeightFiles(path)
    if not files:
        raise UsageError(f"{path}: {_without_weights(path)}")
    shown = ", ".join(list(files)[:6]) + (", …" if len(files) > 6 else "")
    failed: dict[str, Exception] = {}
    found = _recognised(files, path, failed) or _recognised(_unwrapped(files, path), path, failed, f" within {shown}")
    if found is not None:
        return _foreign_model(path, *found)
    for error in failed.values():
        if isinstance(error, Unread):
            raise error
    whys = {name: one_line(f"{type(error).__name__}: {error}") for name, error in failed.items()}
    broken = "".join(f"; that of {name} fails with {why}" for name, why in whys.items())
    raise UsageError(f"{path}: no installed architecture reads the layout of {shown}{described(files)}{broken}")


def _recognised(
    files: Mapping[str, Any], path: Path, failed: dict[str, Exception], within: str = ""
) -> tuple[registry.Choice, Pretrained] | None:
    """What the first architecture that knows their layout reads in the files, None where none does.

    failed: gets why an architecture failed, Unread where a file cannot be read. within: where the files are from, for
    messages. Raises UsageError where one knows the layout and refuses what the files hold.
    """
    refused: dict[str, str] = {}
    for name in sorted(registry.find("architectures")) if files else ():
        try:
            plugin = registry.load("architectures", name)
        except UsageError:  # a broken package stops no command that does not choose it
            continue
        try:
            found = plugin.read(files) if plugin.read is not None else None
        except Unread as error:
            failed.setdefault(name, error)
            continue
        except UsageError as error:
            refused[name] = str(error)  # another architecture may know them all the same
            continue
        except Exception as error:
            failed.setdefault(name, error)
            continue
        if found is not None:
            return registry.choose("architectures", name, found.options), found
    for name, message in refused.items():
        where = "" if message.startswith(str(path)) else f"{path}: "
        raise UsageError(f"{where}{message} (read as {name}{within})")
    return None


def _unwrapped(files: WeightFiles, path: Path) -> dict[str, Any]:
    try:
        return unwrapped(files)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None


def _without_weights(path: Path) -> str:
    """What a folder without weight files is, and what to do."""
    if runs := run.runs_in(path):
        return f"holds runs; give one of them, such as {runs[-1]}"
    inside = sorted(folder for folder in path.iterdir() if folder.is_dir()) if path.is_dir() else []
    for folder in inside[:100]:
        names = os.listdir(folder) if os.access(folder, os.R_OK | os.X_OK) else []
        if "dataset.json" not in names and (run.is_run(folder) or any(map(is_weights, names))):
            return f"holds no weights itself; did you mean {folder}?"
    return f"neither a run nor a folder with weight files ({', '.join(ENDINGS)})"


def _foreign_model(path: Path, architecture: registry.Choice, found: Pretrained) -> Model:
    networks = build_empty(partial(architecture.networks, size=found.size, classes=found.classes))
    storage.load_state(networks.generator, found.generator, path)
    mapper, config = None, dict[str, Any](notes=list(found.notes))
    if found.transfer is not None and found.mapper is not None:
        transfer = registry.choose("transfers", found.transfer)
        transfer_plugin, transfer_options = transfer.plugin()
        networks = networks.with_discriminator()
        mapper = transfer_plugin.build(transfer_options, networks=networks).mapper
        storage.load_state(mapper, found.mapper, path)
        config["transfer"] = dataclasses.asdict(transfer)
    state = found.discriminator

    def discriminator() -> nn.Module:
        module: nn.Module = networks.with_discriminator().discriminator
        storage.load_state(module, state or {}, path)
        return module

    there = None if state is None else discriminator
    return Model(path, networks, architecture, mapper=mapper, discriminator=there, config=config)
