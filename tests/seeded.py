"""Inception weights that anyone can make again: the rule of the golden numbers (names in order, one generator each)."""

from pathlib import Path

import torch
from torch import Tensor

from fewgan.features.inception.network import by_shape


def inception_weights() -> dict[str, Tensor]:
    """All 566 tensors; for the i-th name r = randn(shape) from a generator seeded 1000 + i."""
    shapes = {name: tensor.shape for name, tensor in by_shape().state_dict().items()}
    return {name: _value(name, shapes[name], 1000 + index) for index, name in enumerate(sorted(shapes))}


def write_inception(path: Path) -> Path:
    torch.save(inception_weights(), path)
    return path


def _value(name: str, shape: torch.Size, seed: int) -> Tensor:
    if name.endswith("num_batches_tracked"):
        return torch.zeros((), dtype=torch.int64)
    r = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    if name.endswith("running_var"):
        return r.abs() * 0.5 + 0.5
    if name.endswith(".bn.weight"):
        return 1 + 0.1 * r
    if name == "fc.weight":
        return 0.01 * r
    if r.ndim == 4:
        return r * (2 / (shape[1] * shape[2] * shape[3])) ** 0.5
    return 0.1 * r  # biases and running means
