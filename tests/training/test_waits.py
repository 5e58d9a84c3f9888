"""A step only queues work for the device, with any method."""

import pytest
import torch
from short import regularizers
from test_steps import batch, config, players
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from fewgan import registry
from fewgan.registry import choose
from fewgan.training.players import optimizers
from fewgan.training.steps import Clock, discriminator_step, generator_step


class Watched(TorchDispatchMode):
    """Notes what makes tensors of Python numbers (an upload, on a GPU) and what reads one (a wait for the device)."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        name = str(function)
        if name.startswith(("aten.lift_fresh", "aten._local_scalar_dense", "aten.nonzero", "aten.is_nonzero")):
            self.seen.append(name)
        return function(*arguments, **(keywords or {}))


class Reads(TorchFunctionMode):
    """Notes reads that the dispatcher does not see on a CPU."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_function__(self, function, types, arguments=(), keywords=None):
        if function in (torch.Tensor.tolist, torch.Tensor.numpy, torch.Tensor.cpu):
            self.seen.append(function.__name__)
        return function(*arguments, **(keywords or {}))


@pytest.mark.parametrize("augmentation", [None, *sorted(registry.find("augmentations"))])
@pytest.mark.parametrize("transfer", ["none", "minegan"])
def test_a_step_uploads_nothing_and_waits_for_nothing(augmentation, transfer):
    """Of all methods together, beyond the tick.

    Two coins of contrad's views lie on the CPU. ADA alone waits: it reads how wide its padding is to be.
    """
    chosen = None if augmentation is None else choose("augmentations", augmentation)
    changes = {"transfer": choose("transfers", transfer), "augmentation": chosen}
    team = players(**changes, regularizers=tuple(choose("regularizers", name) for name in regularizers()))
    made = optimizers(team, config(**changes))
    clock, reals = Clock(0, 0, 100), [batch()] if team.needs_real else ()

    def step():
        discriminator_step(team, made["discriminator"], [batch()], clock)
        generator_step(team, made["generator"], [4], clock, reals)

    step()  # Adam makes its state in the first one
    with Watched() as watched, Reads() as reads:
        step()
    assert watched.seen == (["aten._local_scalar_dense.default"] * 2 if "contrad" in regularizers() else [])
    assert [name for name in reads.seen if name != "tolist" or augmentation != "ada"] == []
