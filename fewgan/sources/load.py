"""A pretrained GAN from anywhere: a run, a generator.safetensors, or files of another code's layout."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fewgan import registry, run
from fewgan.errors import UsageError
from fewgan.plugin import Networks, Plugin, Pretrained
from fewgan.screen import Screen
from fewgan.sources import known
from fewgan.sources.model import DISCRIMINATOR, Model
from fewgan.training.config import Config

FOREIGN = (".pth", ".pt", ".safetensors")


def load(place: str | Path, screen: Screen | None = None) -> Model:
    """A model from a run folder, a generator.safetensors, a folder or file of a foreign layout, or a known name.

    Known names are those of `sources/known.toml`, such as embedded; their files are downloaded where they are not here
    yet. Raises UsageError, one line that names the file and what is wrong with it.
    """
    path = known.locate(place, screen)
    if path.is_dir() and (path / run.GENERATOR).exists():
        return _load_run(path / run.GENERATOR, path)
    if path.is_file() and path.suffix == ".safetensors":
        return _load_run(path, None)
    if path.is_dir() and (path / "checkpoints").is_dir():
        raise UsageError(f"{path}: this run has no {run.GENERATOR} yet; it is written at the first save")
    return _load_foreign(path)


def _load_run(file: Path, folder: Path | None) -> Model:
    tensors, facts = run.read_tensors(file)
    if not isinstance(facts.get("config"), dict):
        raise UsageError(f"{file}: holds no generator written by fewgan")
    content = facts["config"]
    config = Config.from_dict(content)
    plugin, options = config.architecture.plugin()
    networks = build_empty(plugin, options, size=config.size, classes=content["network_classes"])
    transfer_plugin, transfer_options = config.transfer.plugin()
    mapper = transfer_plugin.build(transfer_options, networks=networks).mapper
    for name, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise UsageError(f"{file}: tensor {name} holds NaN or infinity; take an earlier save")
    load_state(networks.generator, run.part(tensors, "generator."), file)
    if mapper is not None:
        load_state(mapper, run.part(tensors, "mapper."), file)
    discriminator = _newest_discriminator(folder) if folder is not None else None
    if discriminator is not None:
        load_state(networks.discriminator, *discriminator)
    return Model(
        folder or file,
        networks,
        config.architecture,
        mapper=mapper,
        has_discriminator=discriminator is not None,
        config=content,
    )


def _newest_discriminator(folder: Path) -> tuple[dict[str, Tensor], Path] | None:
    """That of a run's newest checkpoint that is whole, or that of a source beside its generator."""
    if (folder / DISCRIMINATOR).exists():
        return run.read_tensors(folder / DISCRIMINATOR)[0], folder / DISCRIMINATOR
    for _, path in reversed(run.checkpoints(folder)):
        try:
            return run.read_tensors(path, "discriminator.")[0], path
        except run.Damaged:  # the one before it is nearly as good
            continue
    return None


def build_empty(plugin: Plugin, options: Any, *, size: int | None, classes: int) -> Networks:
    """Networks whose tensors are all about to be loaded: their initialisation, which can take long, is left out."""
    try:
        with torch.device("meta"):
            networks: Networks = plugin.build(options, size=size, classes=classes)
        modules: list[Any] = [networks.generator, networks.discriminator]
        if all(_is_all_state(module) for module in modules):
            for module in modules:
                module.to_empty(device="cpu")
            return networks
    except (NotImplementedError, RuntimeError):  # a network that computes with its values while it is built
        pass
    built: Networks = plugin.build(options, size=size, classes=classes)
    return built


def _is_all_state(module: nn.Module) -> bool:
    """Whether loading a state dict sets every tensor of the module."""
    held = [name for name, _ in (*module.named_parameters(), *module.named_buffers())]
    return set(held) <= module.state_dict().keys()


def load_state(module: Any, state: Mapping[str, Tensor], file: Path) -> None:
    """load_state_dict with one error that names the file and the first tensor that does not fit."""
    expected = module.state_dict()
    for name in [*expected, *state]:
        if name not in state:
            raise UsageError(f"{file}: tensor {name} is missing")
        if name not in expected:
            raise UsageError(f"{file}: tensor {name} is not part of this network")
        if state[name].shape != expected[name].shape:
            raise UsageError(
                f"{file}: tensor {name} is {list(state[name].shape)}, {list(expected[name].shape)} expected"
            )
        if state[name].is_floating_point() != expected[name].is_floating_point():
            raise UsageError(f"{file}: tensor {name} is {state[name].dtype}, {expected[name].dtype} expected")
    module.load_state_dict(dict(state))


class _Files(Mapping[str, Any]):
    """The weight files of a folder, each read when first asked for; only plain tensors are ever unpickled."""

    def __init__(self, path: Path) -> None:
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        self._paths = {file.name: file for file in files if file.is_file() and file.suffix in FOREIGN}
        self._loaded: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._loaded:
            self._loaded[name] = _read_foreign(self._paths[name])
        return self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)


def _read_foreign(path: Path) -> Any:
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(path)
        except (SafetensorError, OSError) as error:
            raise UsageError(f"{path}: cannot be read ({error}); the file is damaged") from None
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises nearly everything here, from EOFError to UnpicklingError
        reason = str(error).strip().split("\n")[0][:120]
        raise UsageError(
            f"{path}: not a file of plain tensors, or damaged ({type(error).__name__}: {reason})"
        ) from None


def _load_foreign(path: Path) -> Model:
    files = _Files(path)
    if not files:
        raise UsageError(f"{path}: neither a run nor a folder with weight files ({', '.join(FOREIGN)})")
    for name in sorted(registry.find("architectures")):
        try:
            plugin = registry.load("architectures", name)
        except UsageError:  # a broken package stops no command that does not choose it
            continue
        try:
            found = plugin.read(files) if plugin.read is not None else None
        except UsageError as error:
            raise UsageError(f"{path}: {error}") from None
        if found is None:
            continue
        return _foreign_model(path, registry.choose("architectures", name, found.options), found)
    raise UsageError(f"{path}: no installed architecture knows the layout of {', '.join(files)}")


def _foreign_model(path: Path, architecture: registry.Choice, found: Pretrained) -> Model:
    plugin, options = architecture.plugin()
    networks = build_empty(plugin, options, size=found.size, classes=found.classes)
    load_state(networks.generator, found.generator, path)
    if found.discriminator is not None:
        load_state(networks.discriminator, found.discriminator, path)
    mapper, config = None, dict[str, Any](notes=list(found.notes))
    if found.transfer is not None and found.mapper is not None:
        transfer = registry.choose("transfers", found.transfer)
        transfer_plugin, transfer_options = transfer.plugin()
        mapper = transfer_plugin.build(transfer_options, networks=networks).mapper
        load_state(mapper, found.mapper, path)
        config["transfer"] = dataclasses.asdict(transfer)
    has_discriminator = found.discriminator is not None
    return Model(path, networks, architecture, mapper=mapper, has_discriminator=has_discriminator, config=config)


def transfer_weights(model: Model, networks: Networks) -> None:
    """Copies the source's weights into networks of the same shape but for the number of classes.

    A tensor with a row (or column) for each class starts at the mean over the source's classes when their number
    differs. A source without a discriminator leaves the built one as it is. Raises UsageError for anything else that
    does not fit.
    """
    classes = (model.generator.classes, networks.generator.classes)
    for theirs, ours in ((model.generator, networks.generator), (model.discriminator, networks.discriminator)):
        if theirs is None:
            continue
        module: Any = ours
        expected = module.state_dict()
        state = {
            name: _remap(tensor, expected[name].shape, classes) if name in expected else tensor
            for name, tensor in theirs.state_dict().items()
        }
        load_state(module, state, model.path)


def _remap(tensor: Tensor, shape: torch.Size, classes: tuple[int, int]) -> Tensor:
    """The mean over the one dimension that counts classes, repeated; the tensor itself where the shapes agree."""
    if tensor.shape == shape or tensor.dim() != len(shape):
        return tensor
    different = [axis for axis, pair in enumerate(zip(tensor.shape, shape, strict=True)) if pair[0] != pair[1]]
    if len(different) != 1 or (tensor.shape[different[0]], shape[different[0]]) != classes:
        return tensor
    return tensor.mean(dim=different[0], keepdim=True).expand(shape).clone()
