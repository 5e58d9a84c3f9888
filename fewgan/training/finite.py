"""Keeps what is not finite out of weights and state, without waiting for the device."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

Kept = list[tuple[list[Tensor], Tensor]]
"""Buffers of one dtype, and a copy of all their values."""


def broken(tensors: Sequence[Tensor]) -> Tensor:
    """1 where any value is NaN, infinite or so large that its square is; else 0; a 0-d float tensor."""
    return 1 - torch.stack(torch._foreach_norm(list(tensors))).isfinite().all().float()


def step(optimizer: torch.optim.Optimizer, skip: Tensor) -> None:
    """optimizer.step(), which changes nothing where `skip` is 1, not even its own state."""
    if not optimizer.defaults.get("fused"):
        if not skip.item():  # only where there is no fused kernel, as on MPS; the one place that waits
            optimizer.step()
        return
    # The door that torch.amp.GradScaler uses: fused optimizers look at found_inf on the device.
    optimizer.found_inf = skip  # type: ignore[attr-defined]
    try:
        optimizer.step()
    finally:
        del optimizer.found_inf  # type: ignore[attr-defined]


@torch.no_grad()
def keep(modules: Iterable[nn.Module]) -> Kept:
    """A copy of all buffers (batch statistics, what plugins observe), for `restore`."""
    groups: dict[torch.dtype, list[Tensor]] = {}
    for module in modules:
        for buffer in module.buffers():
            groups.setdefault(buffer.dtype, []).append(buffer)
    return [(buffers, _flat(buffers)) for buffers in groups.values()]


@torch.no_grad()
def restore(kept: Kept, undo: Tensor) -> None:
    """Sets the buffers back to their copy where `undo` is 1."""
    for buffers, before in kept:
        chosen = torch.where(undo > 0, before, _flat(buffers))
        parts = torch.split(chosen, [buffer.numel() for buffer in buffers])
        torch._foreach_copy_(buffers, [part.view(buffer.shape) for part, buffer in zip(parts, buffers, strict=True)])


def _flat(buffers: Sequence[Tensor]) -> Tensor:
    return torch.cat([buffer.reshape(-1) for buffer in buffers])
