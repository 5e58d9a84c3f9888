"""The state of a training as named tensors, and back: networks, average, optimizers, plugins.

Optimizer moments are stored by parameter name, so that they survive another order of parameters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fewgan import run, storage
from fewgan.errors import UsageError
from fewgan.training.average import Average
from fewgan.training.meter import Meter
from fewgan.training.players import Players

KEPT = 2
FACTS: dict[str, type] = {"step": int, "images_seen": int, "failing": list}


@dataclass
class State:
    """A training between two steps. step: G updates made. images_seen: photos shown to D over all processes."""

    players: Players
    average: Average
    optimizers: dict[str, torch.optim.Optimizer]
    step: int = 0
    images_seen: int = 0
    meter: Meter = field(default_factory=Meter)

    @property
    def modules(self) -> dict[str, nn.Module]:
        """Every module that a checkpoint holds, by the name that it has there."""
        return self.players.modules | {f"average.{name}": module for name, module in self.average.modules.items()}


def space(state: State, generators: int) -> int:
    """Bytes on disk that a training needs: its checkpoints, one more while it is written, and generators to keep."""
    trained = storage.nbytes(p for module in state.players.modules.values() for p in module.parameters())
    one = storage.nbytes(_named(state.modules).values()) + 2 * trained  # Adam's two moments
    average = storage.nbytes(_named(state.average.modules).values())
    return (KEPT + 1) * one + (3 + generators) * average


def save(folder: Path, state: State, config: Mapping[str, Any], *, keep_generator: bool) -> None:
    """Writes generator.safetensors, then the checkpoint, then drops all checkpoints but the newest two.

    The checkpoint comes last: once it is there, a resume makes nothing again that the step should have left.
    """
    save_generator(folder / run.GENERATOR, state, config)
    if keep_generator:
        save_generator(folder / "generators" / f"{state.step:06d}.safetensors", state, config)
    facts = {"fewgan": config["fewgan"], "step": state.step, "images_seen": state.images_seen}
    facts |= {"failing": state.meter.failing.tolist()}
    storage.write_tensors(folder / "checkpoints" / f"{state.step:06d}.safetensors", _tensors(state), facts)
    for _, old in run.checkpoints(folder)[:-KEPT]:
        old.unlink(missing_ok=True)


def save_generator(path: Path, state: State, config: Mapping[str, Any], **more: Any) -> None:
    """The averaged generator and mapper with the run's config, and more facts: enough to sample anywhere."""
    facts = {"fewgan": config["fewgan"], "step": state.step, "images_seen": state.images_seen, "config": config}
    facts |= more
    storage.write_tensors(path, _named(state.average.modules), facts)


def restore(path: Path, state: State) -> None:
    """Loads a checkpoint into a state that was built for it. Raises UsageError naming the file and the tensor."""
    tensors, facts = storage.read_tensors(path)
    for fact, kind in FACTS.items():
        if type(facts.get(fact)) is not kind:
            raise storage.Damaged(f"{path}: the file is damaged: {fact} is {facts.get(fact)!r:.40}")
    for name, module in state.modules.items():
        storage.load_state(module, storage.part(tensors, f"{name}."), path)
    for name, optimizer in state.optimizers.items():
        _restore_optimizer(optimizer, _names(state.players), storage.part(tensors, f"optimizer.{name}."), path)
    state.step, state.images_seen = facts["step"], facts["images_seen"]
    device = state.players.device
    state.meter.sums = {name: value.to(device) for name, value in storage.part(tensors, "sums.").items()}
    state.meter.failing = torch.tensor(facts["failing"])


def _tensors(state: State) -> dict[str, Tensor]:
    found = _named(state.modules)
    found |= {f"sums.{name}": value for name, value in state.meter.sums.items()}
    names = {id(parameter): name for name, parameter in _names(state.players).items()}
    for kind, optimizer in state.optimizers.items():
        for parameter, moments in optimizer.state.items():
            for moment, value in moments.items():
                found[f"optimizer.{kind}.{moment}.{names[id(parameter)]}"] = value
    return found


def _named(modules: Mapping[str, nn.Module]) -> dict[str, Tensor]:
    return {f"{name}.{key}": tensor for name, module in modules.items() for key, tensor in module.state_dict().items()}


def _names(players: Players) -> dict[str, nn.Parameter]:
    return {f"{name}.{key}": p for name, module in players.modules.items() for key, p in module.named_parameters()}


def _restore_optimizer(
    optimizer: torch.optim.Optimizer, parameters: Mapping[str, nn.Parameter], tensors: Mapping[str, Tensor], path: Path
) -> None:
    """Through the optimizer's own load_state_dict, which puts the count of steps where its kernel looks for it."""
    content = optimizer.state_dict()
    listed = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    index = {id(parameter): number for number, parameter in enumerate(listed)}
    found: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        moment, _, name = key.partition(".")
        if name not in parameters or id(parameters[name]) not in index:
            raise UsageError(f"{path}: optimizer tensor {key} belongs to no parameter of this run")
        parameter = parameters[name]
        if tensor.dim() and tensor.shape != parameter.shape:
            raise UsageError(
                f"{path}: optimizer tensor {key} is {list(tensor.shape)}, {list(parameter.shape)} expected"
            )
        value = tensor.clone()
        if tensor.shape == parameter.shape:
            # In the parameter's own memory layout: the fused Adam computes wrong updates when the two differ.
            value = torch.empty_like(parameter, requires_grad=False).copy_(tensor)
        found.setdefault(index[id(parameter)], {})[moment] = value
    optimizer.load_state_dict({**content, "state": found})
