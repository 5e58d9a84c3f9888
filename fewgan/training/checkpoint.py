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

from fewgan import run
from fewgan.errors import UsageError
from fewgan.sources.load import load_state
from fewgan.training.average import Average
from fewgan.training.players import Players

KEPT = 2


@dataclass
class State:
    """A training between two steps.

    step: G updates made. images_seen: photos shown to D over all processes. sums: of the metrics since the last tick,
    on the device; `collected` steps are in them. failing: float [2] on the device, for how many steps in a row the
    updates of D and of G have been skipped.
    """

    players: Players
    average: Average
    optimizers: dict[str, torch.optim.Optimizer]
    step: int = 0
    images_seen: int = 0
    sums: dict[str, Tensor] = field(default_factory=dict)
    collected: int = 0
    failing: Tensor = field(default_factory=lambda: torch.zeros(2))

    @property
    def modules(self) -> dict[str, nn.Module]:
        """Every module that a checkpoint holds, by the name that it has there."""
        return self.players.modules | {f"average.{name}": module for name, module in self.average.modules.items()}

    def collect(self, stats: Mapping[str, Tensor]) -> None:
        """Adds the 0-d tensors of one step, but zeros where an update was skipped; does not wait for the device."""
        skipped = torch.stack((stats["skipped_d"], stats["skipped_g"]))
        self.failing = (self.failing.to(skipped.device) + 1) * skipped
        values = {name: value.masked_fill(skipped.amax() > 0, 0) for name, value in stats.items()}
        values = {name: value for name, value in values.items() if not name.startswith("skipped")}
        values["skipped_steps"] = skipped.amax()
        self.sums = {name: self.sums[name] + value if name in self.sums else value for name, value in values.items()}
        self.collected += 1

    def take_means(self) -> dict[str, float | None]:
        """The means over the steps collected and not skipped (None: there are none), and a fresh start.

        skipped_steps is a number of steps. Waits for the device.
        """
        sums = {name: value.item() for name, value in self.sums.items()}
        skipped = sums.pop("skipped_steps")
        count = self.collected - skipped
        means = {name: value / count if count else None for name, value in sums.items()}
        self.sums, self.collected = {}, 0
        return means | {"skipped_steps": skipped}


def space(state: State, saves: int) -> int:
    """Bytes on disk that a training needs: its checkpoints, one more while it is written, and generators.

    saves: how many generators are kept.
    """
    learnt = sum(parameter.nbytes for module in state.players.modules.values() for parameter in module.parameters())
    held = sum(tensor.nbytes for tensor in _modules(state.modules).values())
    one = held + 2 * learnt  # Adam's two moments
    average = sum(tensor.nbytes for tensor in _modules(state.average.modules).values())
    return (KEPT + 1) * one + (2 + saves) * average


def save(folder: Path, state: State, config: Mapping[str, Any], *, keep_generator: bool) -> None:
    """Writes generator.safetensors, then the checkpoint, then drops all checkpoints but the newest two.

    The checkpoint comes last: once it is there, a resume makes nothing again that the step should have left.
    """
    save_generator(folder / run.GENERATOR, state, config)
    if keep_generator:
        save_generator(folder / "generators" / f"{state.step:06d}.safetensors", state, config)
    facts = {"fewgan": config["fewgan"], "step": state.step, "images_seen": state.images_seen}
    facts |= {"collected": state.collected, "failing": state.failing.tolist()}
    run.write_tensors(folder / "checkpoints" / f"{state.step:06d}.safetensors", _tensors(state), facts)
    for _, old in run.checkpoints(folder)[:-KEPT]:
        old.unlink()


def save_generator(path: Path, state: State, config: Mapping[str, Any]) -> None:
    """The averaged generator and mapper with the run's config: enough to sample anywhere."""
    facts = {"fewgan": config["fewgan"], "step": state.step, "images_seen": state.images_seen, "config": config}
    run.write_tensors(path, _modules(state.average.modules), facts)


def restore(path: Path, state: State) -> None:
    """Loads a checkpoint into a state that was built for it. Raises UsageError naming the file and the tensor."""
    tensors, facts = run.read_tensors(path)
    for fact, kind in {"step": int, "images_seen": int, "collected": int, "failing": list}.items():
        if type(facts.get(fact)) is not kind:
            raise run.Damaged(f"{path}: the file is damaged: {fact} is {facts.get(fact)!r:.40}")
    for name, module in state.modules.items():
        load_state(module, run.part(tensors, f"{name}."), path)
    for name, optimizer in state.optimizers.items():
        _restore_optimizer(optimizer, _names(state.players), run.part(tensors, f"optimizer.{name}."), path)
    state.step, state.images_seen = facts["step"], facts["images_seen"]
    state.sums, state.collected = run.part(tensors, "sums."), facts["collected"]
    state.failing = torch.tensor(facts["failing"])


def _tensors(state: State) -> dict[str, Tensor]:
    found = _modules(state.modules)
    found |= {f"sums.{name}": value for name, value in state.sums.items()}
    names = {id(parameter): name for name, parameter in _names(state.players).items()}
    for kind, optimizer in state.optimizers.items():
        for parameter, moments in optimizer.state.items():
            for moment, value in moments.items():
                found[f"optimizer.{kind}.{moment}.{names[id(parameter)]}"] = value
    return found


def _modules(modules: Mapping[str, nn.Module]) -> dict[str, Tensor]:
    return {f"{name}.{key}": tensor for name, module in modules.items() for key, tensor in module.state_dict().items()}


def _names(players: Players) -> dict[str, nn.Parameter]:
    return {f"{name}.{key}": p for name, module in players.modules.items() for key, p in module.named_parameters()}


def _restore_optimizer(
    optimizer: torch.optim.Optimizer, parameters: Mapping[str, nn.Parameter], tensors: Mapping[str, Tensor], path: Path
) -> None:
    for key, tensor in tensors.items():
        moment, _, name = key.partition(".")
        if name not in parameters:
            raise UsageError(f"{path}: optimizer tensor {key} belongs to no parameter of this run")
        parameter = parameters[name]
        if tensor.dim() == 0:  # the count of steps
            optimizer.state[parameter][moment] = tensor.clone()
            continue
        if tensor.shape != parameter.shape:
            raise UsageError(
                f"{path}: optimizer tensor {key} is {list(tensor.shape)}, {list(parameter.shape)} expected"
            )
        # Into the parameter's own memory layout: the fused Adam computes wrong updates when the two differ.
        moments = torch.empty_like(parameter, requires_grad=False)
        optimizer.state[parameter][moment] = moments.copy_(tensor)
