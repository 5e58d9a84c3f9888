"""Keeps NaN and infinity out of weights and state, without waiting for the device."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

Snapshot = list[tuple[nn.Module, str, Tensor]]
"""Buffers by the module that holds them and their name there, with a copy of their values."""


def not_finite(tensors: Sequence[Tensor]) -> Tensor:
    """1 where any value is NaN, infinite or so large that its square is; else 0; a 0-d float tensor."""
    return 1 - torch.stack(torch._foreach_norm(list(tensors))).isfinite().all().float()


def step(optimizer: torch.optim.Optimizer, skip: Tensor) -> None:
    """optimizer.step(), which changes nothing where `skip` is 1, not even its own state."""
    if not optimizer.defaults.get("fused"):
        if not skip.item():  # only where there is no fused kernel, as on MPS; the one place that waits
            optimizer.step()
        return
    # As torch.amp.GradScaler does: fused optimizers look at found_inf on the device.
    optimizer.found_inf = skip  # type: ignore[attr-defined]
    try:
        optimizer.step()
    finally:
        del optimizer.found_inf  # type: ignore[attr-defined]


@torch.no_grad()
def snapshot_buffers(modules: Iterable[nn.Module]) -> Snapshot:
    """A copy of all buffers (batch statistics, what plugins observe), for `restore_buffers`."""
    found = [
        (owner, name, buffer)
        for module in modules
        for owner in module.modules()
        for name, buffer in owner._buffers.items()
        if buffer is not None
    ]
    copies = _copies([buffer for _, _, buffer in found])
    return [(owner, name, copy) for (owner, name, _), copy in zip(found, copies, strict=True)]


@torch.no_grad()
def restore_buffers(snapshot: Snapshot, undo: Tensor) -> None:
    """Sets the buffers back to their copies where `undo` is 1, including those that a plugin has replaced."""
    by_dtype: dict[torch.dtype, tuple[list[Tensor], list[Tensor]]] = {}
    for owner, name, before in snapshot:
        now = owner._buffers[name]
        if now is None or now.shape != before.shape or now.dtype != before.dtype or now.device != before.device:
            owner._buffers[name] = before if now is None else torch.where(undo > 0, before, now)
            continue
        current, copies = by_dtype.setdefault(before.dtype, ([], []))
        current.append(now)
        copies.append(before)
    for current, copies in by_dtype.values():
        chosen = torch.where(undo > 0, _flat(copies), _flat(current))
        parts = torch.split(chosen, [buffer.numel() for buffer in current])
        torch._foreach_copy_(current, [part.view(buffer.shape) for part, buffer in zip(parts, current, strict=True)])


def _copies(buffers: Sequence[Tensor]) -> list[Tensor]:
    by_dtype: dict[torch.dtype, list[int]] = {}
    for index, buffer in enumerate(buffers):
        by_dtype.setdefault(buffer.dtype, []).append(index)
    copies: list[Tensor] = list(buffers)
    for indices in by_dtype.values():
        parts = torch.split(_flat([buffers[i] for i in indices]), [buffers[i].numel() for i in indices])
        for index, part in zip(indices, parts, strict=True):
            copies[index] = part.view(buffers[index].shape)
    return copies


def _flat(buffers: Sequence[Tensor]) -> Tensor:
    return torch.cat([buffer.reshape(-1) for buffer in buffers])
