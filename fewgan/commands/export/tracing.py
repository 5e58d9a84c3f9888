"""A generator as one module for torch.export: latents and labels in, images out, any number of them."""

from __future__ import annotations

import builtins
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.overrides import TorchFunctionMode

from fewgan.plugin import SpectralConv2d, SpectralEmbedding, SpectralLinear

EXAMPLE = 2
"""Pictures in the example that is traced; 1 would be taken for a constant."""


class Whole(nn.Module):
    """z [N, Z] and, for a generator of several classes, labels int64 [N] -> images [N, 3, S, S]; mapper included."""

    def __init__(self, model: Any, truncation: float | None) -> None:
        super().__init__()
        self.model, self.truncation = model, truncation
        self.generator, self.mapper = model.generator, model.mapper

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        if labels is None:
            labels = torch.zeros(z.shape[0], dtype=torch.int64)
        with SameNoise():
            images: Tensor = self.model.images(*self.model.conditions(z, labels), self.truncation)
        return images


class SameNoise(TorchFunctionMode):
    """What a network draws with torch.randn in forward becomes a constant, the same for every picture.

    A file with random numbers of its own would give other images every time, and could not be checked.
    """

    def __init__(self) -> None:
        super().__init__()
        self.draws = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is torch.randn:
            count, *rest = args[0] if isinstance(args[0], tuple | list) else args
        elif func is torch.randn_like or func is Tensor.normal_:
            count, *rest = args[0].shape
        else:
            return func(*args, **kwargs)
        self.draws += 1
        made = np.random.default_rng(self.draws).standard_normal((1, *map(int, rest)), dtype=np.float32)
        return torch.from_numpy(made).expand(count, *rest)


def traced(whole: Whole, z: Tensor, labels: Tensor | None) -> ExportedProgram:
    """The module's graph, of any batch. z, labels: EXAMPLE of them. Raises what torch.export does where it cannot."""
    inputs = (z,) if labels is None else (z, labels)
    shapes = tuple({0: Dim.DYNAMIC} for _ in inputs)
    with _unshadowed(whole), _symbolic_len(whole), _learning(whole), torch.no_grad(), _constant_kernels(whole):
        return torch.export.export(whole, inputs, dynamic_shapes=shapes, strict=False)


@contextmanager
def _unshadowed(module: nn.Module) -> Iterator[None]:
    """Submodules that a method of the same name hides (`blocks`), which torch.export asks for by name."""
    changed = []
    for part in module.modules():
        hidden = {name: child for name, child in part.named_children() if hasattr(type(part), name)}
        if hidden:
            changed.append((part, type(part)))
            part.__class__ = type(type(part).__name__, (type(part),), hidden)
    try:
        yield
    finally:
        for part, kind in changed:
            part.__class__ = kind


@contextmanager
def _symbolic_len(module: nn.Module) -> Iterator[None]:
    """len(tensor) in the networks' own files gives the batch as a symbol; Python's makes a constant of it."""
    packages = {type(part).__module__.partition(".")[0] for part in module.modules()} - {"torch"}
    names = [name for name in sys.modules if name.partition(".")[0] in packages]
    changed = [file for name in names if "len" not in vars(file := sys.modules[name])]
    for file in changed:
        vars(file)["len"] = _len
    try:
        yield
    finally:
        for file in changed:
            del vars(file)["len"]


def _len(content: Any) -> Any:
    return content.shape[0] if isinstance(content, Tensor) else builtins.len(content)


@contextmanager
def _constant_kernels(module: nn.Module) -> Iterator[None]:
    """Spectrally normalised weights as numbers: how they are computed would be most of the graph."""
    layers = [
        part for part in module.modules() if isinstance(part, (SpectralConv2d, SpectralEmbedding, SpectralLinear))
    ]
    for layer in layers:
        vars(layer)["kernel"] = partial(Tensor.detach, layer.kernel())
    try:
        yield
    finally:
        for layer in layers:
            del vars(layer)["kernel"]


@contextmanager
def _learning(module: nn.Module) -> Iterator[None]:
    """Parameters as in training: of frozen ones, layers keep what they compute from them, which no graph would see."""
    frozen = [parameter for parameter in module.parameters() if not parameter.requires_grad]
    for parameter in frozen:
        parameter.requires_grad_(True)
    try:
        yield
    finally:
        for parameter in frozen:
            parameter.requires_grad_(False)
