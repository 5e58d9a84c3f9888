"""Several processes that work as one, on torch.distributed, started by torchrun.

Every process holds the same networks and a share of each batch; the first (rank 0) alone writes and speaks. In a single
process, everything here does nothing or gives back what it was given.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.rendezvous import rendezvous

from fewgan.errors import FewganError

WAIT = timedelta(minutes=30)  # for the others: the first process draws samples and saves in between


def join() -> Callable[[], bool]:
    """Meets the other processes; from here on, all but the first are silent.

    Returns a function for a process that ends with an error: whether it is the first to, and so the one to say why.
    """
    if os.environ.get("LOCAL_WORLD_SIZE") == os.environ["WORLD_SIZE"] and sys.platform in ("linux", "darwin"):
        # All on one machine: they need no other network, and do not depend on how its name resolves.
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo" if sys.platform == "linux" else "lo0")
    try:
        store, number, count = next(rendezvous("env://", timeout=WAIT))
        # Two groups: values that the host decides by must not wait for the GPU.
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        dist.init_process_group(backend, store=store, rank=number, world_size=count, timeout=WAIT)
    except (RuntimeError, ValueError, KeyError) as error:
        raise FewganError(f"the processes of this command could not meet: {str(error).splitlines()[0]}") from None
    stderr = os.dup(2)
    if number > 0:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)

    def first_to_fail() -> bool:
        try:
            first: bool = store.add("failed", 1) == 1
        except RuntimeError:  # the store has gone with torchrun
            first = number == 0
        if first:
            os.dup2(stderr, 2)
        return first

    return first_to_fail


def dismiss() -> None:
    """Ends all processes but the first, successfully: their part is done."""
    if rank() > 0:
        raise SystemExit(0)


def finish() -> None:
    """Waits for all, so that nobody closes a connection that another one still reads from."""
    _checked(dist.barrier)


def rank() -> int:
    """This process's number, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def world() -> int:
    """How many processes there are."""
    return dist.get_world_size() if dist.is_initialized() else 1


def part(whole: Tensor) -> Tensor:
    """This process's share of the rows: equal ones, in order of rank."""
    count = len(whole) // world()
    return whole[rank() * count : (rank() + 1) * count]


def span(count: int, unit: int) -> tuple[int, int]:
    """This process's share of 0 … count − 1 as (first, stop), in whole units; near equal, in order of rank."""
    units = -(-count // unit)
    first, stop = (units * number // world() * unit for number in (rank(), rank() + 1))
    return min(first, count), min(stop, count)


@torch.no_grad()
def average(tensors: Sequence[Tensor]) -> None:
    """Replaces each tensor by its mean over all processes; one message for all of them."""
    if world() == 1 or not tensors:
        return
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors]) / world()
    _reduce(flat)
    parts = torch.split(flat, [tensor.numel() for tensor in tensors])
    torch._foreach_copy_(list(tensors), [part.view(whole.shape) for part, whole in zip(parts, tensors, strict=True)])


@torch.no_grad()
def gathered(rows: Tensor) -> Tensor:
    """The rows of all processes, which hold equally many, in order of rank."""
    if world() == 1:
        return rows
    whole = rows.new_zeros(world(), *rows.shape)
    whole[rank()] = rows
    return _reduce(whole).flatten(0, 1)


@torch.no_grad()
def completed(rows: Tensor) -> Tensor:
    """The sum over processes, of which each has filled its own rows of zeros."""
    return _reduce(rows) if world() > 1 else rows


def agreed(value: int) -> int:
    """The largest of the processes' values; waits for all of them, but not for a GPU."""
    if world() == 1:
        return value
    return int(_reduce(torch.tensor(value), dist.ReduceOp.MAX).item())


def told(value: Any) -> Any:
    """The first process's value."""
    if world() == 1:
        return value
    box = [value]
    _checked(partial(dist.broadcast_object_list, box, src=0))
    return box[0]


def collected(value: Any) -> list[Any]:
    """The values of all processes, in order of rank."""
    if world() == 1:
        return [value]
    found: list[Any] = [None] * world()
    _checked(partial(dist.all_gather_object, found, value))
    return found


def alike(modules: Iterable[nn.Module]) -> None:
    """Gives all processes the first one's parameters and buffers."""
    if world() == 1:
        return
    for module in modules:
        for tensor in module.state_dict().values():
            flat = tensor.detach().clone(memory_format=torch.contiguous_format)  # weights lie in channels_last
            _checked(partial(dist.broadcast, flat, src=0))
            tensor.copy_(flat)


class Sum(torch.autograd.Function):
    """The sum over processes. Each one's loss depends on everyone's values, so its gradient is summed as well."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        return _reduce(value.clone())

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _reduce(gradient.clone())


def _reduce(tensor: Tensor, operation: Any = dist.ReduceOp.SUM) -> Tensor:
    _checked(partial(dist.all_reduce, tensor, op=operation))
    return tensor


def _checked(message: Callable[[], Any]) -> None:
    try:
        message()
    except RuntimeError as error:  # torch's name for a lost connection differs between backends and versions
        # torchrun ends the others with SIGTERM when one has failed, which must not cut off the one that says so.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise FewganError(
            "another process of this command has ended without a word (killed, or out of memory?); a training goes on "
            f"from its last save with --resume ({str(error).splitlines()[0][:100]})"
        ) from None
