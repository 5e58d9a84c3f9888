"""How a training begins: a config settled against dataset and source, a run folder, a state; new or resumed."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fewgan import __version__, device, distributed, registry, run
from fewgan.errors import UsageError
from fewgan.photos import dataset
from fewgan.plugin import Networks
from fewgan.screen import Screen
from fewgan.sources import known
from fewgan.sources import load as source
from fewgan.sources.model import Model
from fewgan.training import checkpoint, players
from fewgan.training.average import Average
from fewgan.training.checkpoint import State
from fewgan.training.config import Config


@dataclass
class Session:
    """A training that is ready to step. record: the content of config.json."""

    config: Config
    record: dict[str, Any]
    photos: Tensor
    labels: Tensor
    state: State

    @property
    def device(self) -> torch.device:
        return self.state.players.device


def begin(config: Config, screen: Screen) -> Session:
    """A new training, nothing written yet. Raises UsageError for a request that cannot be served."""
    target = _device(config, screen)
    _check_share(config)
    data = dataset.load(Path(config.data))
    config = _settle_source(config, screen)
    model = _source(config, screen)
    config = _settle_size(config, data, model)
    classes = _classes(data, model, screen)
    torch.manual_seed(config.seed)
    plugin, options = config.architecture.plugin()
    networks = plugin.build(options, size=config.size, classes=classes)
    config = _settle_training(config, networks)
    state = _state(config, networks, target, model)
    _check_space(config, state, Path(config.out))
    photos, labels = _photos(config, data, screen, target)
    record = _record(config, data, classes)
    return Session(config, record, photos, labels, state)


def create_folder(session: Session) -> Path:
    """Makes the run folder `NNNNN-<dataset>-<arch>-<plugins>` and writes config.json; once for all processes."""
    return Path(distributed.told(_create_folder(session) if distributed.rank() == 0 else None))


def _create_folder(session: Session) -> Path:
    config = session.config
    others = [choice.name for choice in config.choices if choice.name != registry.default(choice.kind)]
    name = "-".join([Path(config.data).resolve().name, config.architecture.name, *others])
    folder = run.create(Path(config.out), name)
    run.write_json(folder / "config.json", session.record)
    return folder


def resume(
    folder: Path, screen: Screen, *, steps: int | None, device_name: str | None, changes: Mapping[str, Any]
) -> Session:
    """A training as its newest checkpoint left it. steps: a new goal. changes: config fields that may go with it."""
    record = run.read_config(folder)
    config = Config.from_dict(record)
    given = {"steps": steps, "device": device_name, **changes}
    config = dataclasses.replace(config, **{name: value for name, value in given.items() if value is not None})
    if not run.checkpoints(folder):
        raise UsageError(f"{folder}: has no checkpoint to resume from; start it again with 'fewgan train'")
    target = _device(config, screen)
    _check_share(config)
    data = dataset.load(Path(record["data_path"]))
    if data.fingerprint != record["fingerprint"]:
        raise UsageError(f"{data.folder}: not the photos that {folder} was trained on; prepare them again as they were")
    plugin, options = config.architecture.plugin()
    networks = source.build_empty(plugin, options, size=config.size, classes=record["network_classes"])
    state = _state(config, networks, target, None, new=False)
    _restore(folder, state, screen)
    _check_space(config, state, folder)
    photos, labels = _photos(config, data, screen, target)
    record |= config.as_dict()
    if distributed.rank() == 0:
        run.cut_metrics(folder, state.step)
        run.write_json(folder / "config.json", record)
    return Session(config, record, photos, labels, state)


def _restore(folder: Path, state: State, screen: Screen) -> None:
    """The newest checkpoint that is whole; one that is damaged is set aside."""
    found = run.checkpoints(folder)
    while True:
        _, path = found.pop()
        try:
            return checkpoint.restore(path, state)
        except run.Damaged as error:
            if not found:
                raise
            screen.warn(f"{error}; going on from the save before it, step {found[-1][0]}")
            if distributed.rank() == 0:
                path.rename(path.with_suffix(".damaged"))


def _check_space(config: Config, state: State, folder: Path) -> None:
    saves = (config.steps - state.step) // config.save_every + 1 if config.keep_generators else 0
    taken = sum(path.stat().st_size for _, path in run.checkpoints(folder))  # and about to be replaced
    if distributed.rank() == 0:
        run.check_space(folder, checkpoint.space(state, saves) - taken)


def _device(config: Config, screen: Screen) -> torch.device:
    target = device.resolve(config.device)
    if config.precision == "bf16" and device.slow_in_bfloat16(target):
        screen.warn("--precision bf16: this CPU is many times slower in bfloat16 than in float32; leave it out")
    return target


def _check_share(config: Config) -> None:
    processes = distributed.world()
    if config.batch_size % processes:
        raise UsageError(
            f"--batch-size {config.batch_size}: cannot be shared by {processes} processes; give a multiple of that"
        )


def _settle_source(config: Config, screen: Screen) -> Config:
    needs = config.transfer.plugin()[0].needs_source
    if needs and config.source is None:
        screen.note(f"Source: {known.DEFAULT}, {known.sources()[known.DEFAULT]['summary']}; --source takes another")
        return dataclasses.replace(config, source=known.DEFAULT)
    if not needs and config.source is not None:
        raise UsageError(
            f"--source {config.source}: --transfer {config.transfer.name} starts without one; "
            "add a --transfer that uses it"
        )
    return config


def _source(config: Config, screen: Screen) -> Model | None:
    if config.source is None:
        return None
    model = source.load(config.source, screen)
    for note in model.config.get("notes", ()):
        screen.note(f"Source: {note}")
    if model.discriminator is None:
        screen.note(f"Source: {config.source} has no discriminator; D starts fresh")
    if model.mapper is not None:
        screen.note(f"Source: the mapper of {config.source} ({model.config['transfer']['name']}) is not carried over")
    return model


def _settle_size(config: Config, data: dataset.Dataset, model: Model | None) -> Config:
    if model is None:
        return dataclasses.replace(config, size=config.size or data.size)
    size = model.generator.size
    if config.size not in (None, size):
        raise UsageError(
            f"--size {config.size}: the source {config.source} is {size} px; leave --size out or take another source"
        )
    if config.architecture.name != model.architecture.name:
        raise UsageError(
            f"--arch {config.architecture.name}: the source {config.source} is a "
            f"{model.architecture.name}; add --arch {model.architecture.name}"
        )
    defaults = registry.choose("architectures", config.architecture.name)
    for name, value in config.architecture.options.items():
        theirs = model.architecture.options.get(name, defaults.options[name])  # a run of before the option was there
        if value not in (defaults.options[name], theirs):
            flag = f"--{config.architecture.name}-{name.replace('_', '-')}"
            raise UsageError(
                f"{flag} {value}: the source {config.source} has {theirs}, and its networks are taken as they are"
            )
    return dataclasses.replace(config, size=size, architecture=model.architecture)


def _classes(data: dataset.Dataset, model: Model | None, screen: Screen) -> int:
    """How many classes the networks know; 0: unconditional."""
    wanted = len(data.classes)
    if model is None:
        return wanted
    known: int = model.generator.classes
    if known == 0:
        if wanted:
            screen.note("Source: it has no classes, so those of the dataset are not used")
        return 0
    if known != max(wanted, 1):
        screen.note(
            f"Source: {known} classes there, {wanted or 'none'} here; each class starts from the mean of the source's"
        )
    return max(wanted, 1)


def _settle_training(config: Config, networks: Networks) -> Config:
    defaults = networks.defaults
    on = {choice.name for choice in config.regularizers}
    added = tuple(
        registry.choose("regularizers", name)
        for name in defaults.regularizers
        if name not in on and name not in config.no_regularizers
    )
    return dataclasses.replace(
        config,
        regularizers=config.regularizers + added,
        loss=config.loss or defaults.loss,
        d_steps=config.d_steps or defaults.discriminator_steps,
        lr_g=defaults.generator_learning_rate if config.lr_g is None else config.lr_g,
        lr_d=defaults.discriminator_learning_rate if config.lr_d is None else config.lr_d,
        planned_steps=config.steps,
    )


def _state(config: Config, networks: Networks, target: torch.device, model: Model | None, new: bool = True) -> State:
    game = players.assemble(config, networks)
    keeps = getattr(game.transfer, "keeps_source", False)
    if model is None and keeps and config.source is not None:
        model = source.load(config.source)
    if new and model is not None:
        source.transfer_weights(model, networks)
    for module in game.modules.values():
        # channels_last: the layout in which convolutions run fastest, on CPUs as on GPUs.
        module.to(target).to(memory_format=torch.channels_last)
        module.train()
    if model is not None and (new or keeps) and hasattr(game.transfer, "start"):
        game.transfer.start(networks, [model.to(target)])
    distributed.alike(game.modules.values())
    if distributed.world() > 1:
        game.random = torch.Generator(target)
    return State(game, Average(game), players.optimizers(game, config))


def _photos(config: Config, data: dataset.Dataset, screen: Screen, target: torch.device) -> tuple[Tensor, Tensor]:
    """The photos to train on and their labels; on the GPU where they take less than a quarter of its free memory."""
    if config.size is not None and config.size < data.size:
        screen.note(f"Photos: reduced once from {data.size} to {config.size} px, the size of the networks")
    photos, labels = dataset.photos(data, held_out=False, size=config.size)
    if len(photos) < config.batch_size:
        screen.note(f"Photos: {len(photos)}, fewer than --batch-size {config.batch_size}, so a batch shows some twice")
    if target.type == "cuda" and 4 * photos.nbytes < torch.cuda.mem_get_info(target)[0]:
        return photos.to(target), labels.to(target)
    return photos, labels


def _record(config: Config, data: dataset.Dataset, classes: int) -> dict[str, Any]:
    return {
        "format": run.FORMAT,
        "fewgan": __version__,
        "torch": torch.__version__,
        **config.as_dict(),
        "data_path": str(data.folder.resolve()),
        "fingerprint": data.fingerprint,
        "photos": int((~data.held_out).sum()),
        "classes": list(data.classes),
        "network_classes": classes,
    }
