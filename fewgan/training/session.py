"""How a training begins: a config settled against dataset and source, a run folder, a state; new or resumed."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fewgan import device, distributed, registry, run, storage
from fewgan.errors import UsageError
from fewgan.files import write_json
from fewgan.layers import Frozen
from fewgan.networks import Networks
from fewgan.photos import dataset
from fewgan.sampling.generate import truncates
from fewgan.sampling.stored import fingerprint
from fewgan.scoring.scorer import Scorer
from fewgan.screen import Screen, command, counted
from fewgan.sources import load, transfer
from fewgan.sources.empty import build_empty
from fewgan.sources.model import Model
from fewgan.training import checkpoint, settle
from fewgan.training.average import Average
from fewgan.training.checkpoint import State
from fewgan.training.config import Config
from fewgan.training.players import Players, apply_schedules, assemble, optimizers


@dataclass
class Session:
    """A training that is ready to step. record: the content of config.json. data: where photos and labels come from.

    scorer: of its pictures while it trains; None without --score-every.
    """

    config: Config
    record: dict[str, Any]
    data: dataset.Dataset
    photos: Tensor
    labels: Tensor
    state: State
    scorer: Scorer | None = None

    @property
    def device(self) -> torch.device:
        return self.state.players.device

    @property
    def memory_format(self) -> torch.memory_format:
        return device.memory_format(self.device)

    @property
    def images_per_step(self) -> int:
        """Photos shown to D in one step, over all processes."""
        return self.config.batch_size * self.config.grad_accumulation * (self.config.d_steps or 1)


def begin(config: Config, screen: Screen) -> Session:
    """A new training, nothing written yet. Raises UsageError for a request that cannot be served."""
    asked = config.as_dict()
    target = device.resolve(config.device)
    distributed.bind(target)
    config = dataclasses.replace(config, precision=settle.precision(config, target, screen))
    settle.check_batch(config)
    data = dataset.load(Path(config.data))
    config = settle.with_source(config, screen)
    model = settle.load_source(config, screen)
    config = settle.with_size(config, data, model)
    classes = settle.classes(data, model, screen)
    torch.manual_seed(config.seed)
    networks = settle.networks(config, data, classes).with_discriminator()
    config = settle.with_defaults(config, networks)
    players = assemble(config, networks)
    source_weights = fingerprint(model.generator.state_dict()) if model is not None and players.keeping else None
    state = _state(config, players, networks, target, data, source=model, new=True)
    if asked["loss"] is not None and (name := state.players.loss_plugin_name) is not None:
        raise UsageError(f"--loss {asked['loss']}: {name} brings a loss of its own; leave --loss out")
    _check_space(config, state, Path(config.out))
    photos, labels = settle.photos(config, data, screen, target)
    record = settle.record(config, data, classes, model, target) | {
        "asked": asked,
        "learned_from": _pretrained_parts(state),
        "truncates": truncates(networks.generator),
        "source_weights": source_weights,
        "loss_of": state.players.loss_plugin_name,
    }
    return Session(config, record, data, photos, labels, state, _scorer(config, target))


def _scorer(config: Config, target: torch.device) -> Scorer | None:
    if config.score_every is None or config.features is None:
        return None
    return Scorer.of(config.features, target)


def _pretrained_parts(state: State) -> list[str]:
    """What the frozen parts of the run are: features of the same weights must not score it."""
    parts = [part for module in state.players.modules.values() for part in module.modules() if isinstance(part, Frozen)]
    return sorted({part.identity_text for part in parts})


def create_folder(session: Session, folder: Path | None) -> Path:
    """Makes the run folder `NNNNN-<dataset>-<arch>-<plugins>` and writes config.json; once for all processes.

    folder: one without a checkpoint, of the same command, to start again in; None: a new one.
    """
    if distributed.rank() == 0:
        config = session.config
        if folder is None:
            others = [choice.name for choice in config.choices[1:] if choice.name != registry.default(choice.kind)]
            name = "-".join([dataset.name_of(Path(config.data)), config.architecture.name, *others])
            folder = run.create(Path(config.out), name)
        else:
            run.cut_metrics(folder, -1)
        session.record["data_relative"] = _relative(session.record["data_path"], folder)
        write_json(folder / "config.json", session.record)
    return Path(distributed.broadcast_object(folder))


def resume(folder: Path, screen: Screen, given: Mapping[str, Any]) -> Session:
    """A training as its newest checkpoint left it.

    given: config fields that replace the run's. steps: a new goal, no fewer than are made; data: the dataset in another
    place.
    """
    record = run.read_config(folder)
    config = Config.from_dict(record, folder / "config.json")
    if config.score_every is None and "patience" in given:
        raise UsageError(f"--patience: {folder} was started without --score-every and has no scores; leave it out")
    config = dataclasses.replace(config, **given)
    if not run.checkpoints(folder):
        raise UsageError(f"{folder}: has no checkpoint to resume from; start it again with 'fewgan train'")
    target = device.resolve(config.device)
    distributed.bind(target)
    config = dataclasses.replace(config, precision=settle.precision(config, target, screen, resumed=True))
    settle.check_batch(config)
    photos_of = _dataset(folder, record, given.get("data"))
    build = partial(config.architecture.networks, size=config.size, classes=record["network_classes"])
    networks = build_empty(build).with_discriminator()
    players = assemble(config, networks)
    source = _kept_source(config, players, record.get("source_weights"))
    state = _state(config, players, networks, target, photos_of, source=source, new=False)
    _restore(folder, state, screen)
    if "steps" in given and config.steps < state.step:
        made = counted(state.step, "step")
        raise UsageError(f"--steps {config.steps}: {folder} has made {made} already; give {state.step} or more")
    _check_space(config, state, folder)
    photos, labels = settle.photos(config, photos_of, screen, target)
    record |= config.as_dict()
    record |= {"data_path": str(photos_of.folder.resolve())}
    record |= {"data_relative": _relative(record["data_path"], folder)}
    if distributed.rank() == 0:
        run.cut_metrics(folder, state.step)
        write_json(folder / "config.json", record)
    distributed.barrier()  # all ranks count the same scores
    work = Session(config, record, photos_of, photos, labels, state, _scorer(config, target))
    # The rates of the last step, whose line of metrics may still be missing.
    before, planned = state.images_seen - work.images_per_step, config.planned * work.images_per_step
    apply_schedules(state.players, state.optimizers, before, planned)
    return work


def _dataset(folder: Path, record: Mapping[str, Any], given: str | None) -> dataset.Dataset:
    """The one given, else the run's own; with the photos that it was trained on. Raises UsageError."""
    found = dataset.load(Path(given)) if given is not None else dataset.of_run(record, folder)
    again = command("fewgan", "train", "DATASET", "--resume", str(folder))
    if found is None:
        raise UsageError(f"{record['data_path']}: the dataset of {folder} is not there; name it, as in '{again}'")
    if found.fingerprint == record["fingerprint"]:
        return found
    raise UsageError(
        f"{found.folder}: not the photos that {folder} was trained on; name their dataset, as in '{again}', or prepare "
        "them again with the same options"
    )


def _relative(data_path: str, folder: Path) -> str | None:
    try:
        return os.path.relpath(data_path, folder.resolve())
    except ValueError:  # another drive
        return None


def _restore(folder: Path, state: State, screen: Screen) -> None:
    """The newest checkpoint that is whole; a damaged one is set aside. Rank 0 reads it first and chooses for all."""
    found = run.checkpoints(folder)
    while found:
        step, path = found.pop()
        problem: str | None = None
        if distributed.rank() == 0:
            try:
                checkpoint.restore(path, state)
            except storage.Damaged as error:
                problem = str(error)
        problem = distributed.broadcast_object(problem)
        if problem is None:
            if distributed.rank() > 0:
                checkpoint.restore(path, state)
            return
        if not found:
            raise storage.Damaged(problem)
        screen.warn(f"{problem}; resuming from the checkpoint before it, step {found[-1][0]} instead of {step}")
        if distributed.rank() == 0:
            path.rename(path.with_suffix(".damaged"))
        distributed.barrier()


def _check_space(config: Config, state: State, folder: Path) -> None:
    generators = (config.steps - state.step) // config.save_every + 1 if config.keep_generators else 0
    taken = sum(path.stat().st_size for _, path in run.checkpoints(folder))  # and about to be replaced
    if distributed.rank() == 0:
        storage.check_space(folder, checkpoint.space(state, generators) - taken)


def _kept_source(config: Config, players: Players, weights: str | None) -> Model | None:
    """The source of a run where a plugin keeps it. weights: its fingerprint, None of a run that has none.

    Raises UsageError where it is another one by now.
    """
    if not players.keeping or config.source is None:
        return None
    model = load.load(config.source)
    if weights not in (None, fingerprint(model.generator.state_dict())):
        raise UsageError(
            f"{config.source}: its generator is not the one that the run began with, which {players.keeping[0]} still "
            "needs; put that one back"
        )
    return model


def _state(
    config: Config,
    players: Players,
    networks: Networks,
    target: torch.device,
    data: dataset.Dataset,
    *,
    source: Model | None,
    new: bool,
) -> State:
    """Networks and plugins on their device, alike in all processes, with the source's weights where it is given."""
    if source is not None:
        transfer.copy_weights(source, networks, data.classes)
    for module in players.modules.values():
        module.to(target).to(memory_format=device.memory_format(target))
        module.train()
    starting = [plugin for _, name, plugin in players.plugins if new or name in players.keeping]
    hooks = [plugin.start for plugin in starting if callable(getattr(plugin, "start", None))]
    if source is not None and hooks:
        source.to(target)
        for start in hooks:
            start(networks, [source])
    distributed.broadcast_parameters(players.modules.values())
    if distributed.world_size() > 1:
        players.random = torch.Generator(target)
    if networks.generator.classes == len(data.classes) > 1:
        players.frequencies = data.class_counts.to(target, torch.float32)
    return State(players, Average(players), optimizers(players, config))
