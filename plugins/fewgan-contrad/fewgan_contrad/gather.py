"""Rows of all processes, with gradient."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from fewgan import distributed


class Gather(torch.autograd.Function):
    """rows [N, P] of this process -> [N · processes, P] in order of rank.

    Every process computes the same loss of all rows, and the gradients of parameters are averaged over processes. So
    the gradient of its own rows, times the number of processes, makes that average the gradient of one process.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        return distributed.all_gather(rows)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return distributed.shard(gradient) * distributed.world_size()


def gather(rows: Tensor) -> Tensor:
    """See `Gather`; in one process, the rows."""
    if distributed.world_size() == 1:
        return rows
    everyone: Tensor = Gather.apply(rows)
    return everyone
