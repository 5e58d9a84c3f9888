"""Several processes that train or score together, on torch.distributed, started by torchrun.

Every rank holds the same networks and a shard of each batch; rank 0 alone writes files and prints. In a single process
every function here is a no-op or returns its argument.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed import PrefixStore  # type: ignore[attr-defined]
from torch.distributed.rendezvous import rendezvous

from fewgan.errors import FewganError, UsageError

TIMEOUT = timedelta(minutes=30)  # rank 0 draws samples and writes checkpoints while the others wait


def init() -> Callable[[], bool]:
    """Joins the process group; from here on, every rank but 0 is silent.

    Returns a function for a rank that ends with an error: whether it is the first to fail, and so the one to report.
    """
    on_one_machine = os.environ.get("LOCAL_WORLD_SIZE") == os.environ["WORLD_SIZE"]
    if on_one_machine and sys.platform in ("linux", "darwin"):
        # Loopback is enough, and does not depend on how the host name resolves.
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo" if sys.platform == "linux" else "lo0")
    try:
        with _ended_by_signals():
            store, number, count = next(rendezvous("env://", timeout=TIMEOUT))
        if on_one_machine:
            # When torchrun starts ranks again, its store still holds where the killed ones could be reached, and that
            # one of them failed.
            store = PrefixStore(f"restart {os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)
        # What the host decides by goes over gloo and waits for no GPU. NCCL connects at its first collective: no GPU is
        # touched by a command that computes on the CPU.
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        dist.init_process_group(backend, store=store, rank=number, world_size=count, timeout=TIMEOUT)
    except (RuntimeError, ValueError, KeyError) as error:
        raise FewganError(
            f"torch.distributed could not be initialised: {str(error).splitlines()[0]}; start with torchrun, or unset "
            "WORLD_SIZE to run in one process"
        ) from None
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


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """SIGINT and SIGTERM end the program at once: no handler of Python's runs while torch waits for other processes."""
    old = {signum: signal.signal(signum, signal.SIG_DFL) for signum in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for signum, handler in old.items():
            signal.signal(signum, handler)


def bind(device: torch.device) -> None:
    """Has this process compute on a GPU and make its only CUDA context there; to be called before anything is on it.

    Nothing for another device. Collective. Raises UsageError where two processes would share a GPU, which NCCL refuses.
    """
    if device.type == "cuda":
        torch.cuda.set_device(device)
    if world_size() == 1:
        return
    gpu = (socket.gethostname(), str(torch.cuda.get_device_properties(device).uuid)) if device.type == "cuda" else None
    sharing = all_gather_object(gpu).count(gpu)
    if gpu is not None and sharing > 1:
        raise UsageError(f"--device {device}: {sharing} processes would share a GPU; leave --device out")


def exit_other_ranks() -> None:
    """Ends every rank but 0, successfully: their part is done."""
    if rank() > 0:
        raise SystemExit(0)


def barrier() -> None:
    """Waits for all ranks."""
    if world_size() > 1:
        _collective(dist.barrier)


def rank() -> int:
    """The number of this process, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """The number of processes."""
    return dist.get_world_size() if dist.is_initialized() else 1


def shard(whole: Tensor) -> Tensor:
    """This rank's rows: equal shards, in order of rank."""
    count = len(whole) // world_size()
    return whole[rank() * count : (rank() + 1) * count]


def shard_range(count: int, unit: int) -> tuple[int, int]:
    """This rank's share of 0 … count − 1 as (first, stop), in whole units; nearly equal, in order of rank.

    first == stop where there are fewer units than ranks.
    """
    units = -(-count // unit)
    first, stop = (units * number // world_size() * unit for number in (rank(), rank() + 1))
    return min(first, count), min(stop, count)


@torch.no_grad()
def all_reduce_mean(tensors: Sequence[Tensor]) -> None:
    """Replaces each tensor by its mean over all ranks; one message for all of them."""
    if world_size() == 1 or not tensors:
        return
    flat = torch.cat([tensor.reshape(-1).to(tensors[0].dtype) for tensor in tensors]) / world_size()
    _all_reduce(flat)
    parts = torch.split(flat, [tensor.numel() for tensor in tensors])
    torch._foreach_copy_(list(tensors), [part.view(whole.shape) for part, whole in zip(parts, tensors, strict=True)])


def all_gather(rows: Tensor) -> Tensor:
    """The rows of all ranks, which hold equally many: [N, …] -> [N · ranks, …], in order of rank; differentiable.

    All ranks must call it, and the same number of times. Gradients are summed over ranks, because the loss of each rank
    depends on the rows of all. fewgan then averages the gradients of parameters over ranks. So where every rank
    computes the same loss of all rows, parameters get the gradient of that loss, as in a single process. Gradients of
    gradients are right, too.
    """
    if world_size() == 1:
        return rows
    others = [torch.zeros_like(rows)] * world_size()
    whole: Tensor = _Sum.apply(torch.cat((*others[: rank()], rows, *others[rank() + 1 :])))
    return whole


@torch.no_grad()
def all_reduce_sum(rows: Tensor) -> Tensor:
    """The sum over ranks; in place."""
    return _all_reduce(rows) if world_size() > 1 else rows


def all_reduce_max(value: int) -> int:
    """The largest of the ranks' values; waits for all of them, but not for a GPU."""
    if world_size() == 1:
        return value
    return int(_all_reduce(torch.tensor(value), dist.ReduceOp.MAX).item())


def broadcast_object(value: Any) -> Any:
    """The value of rank 0."""
    if world_size() == 1:
        return value
    box = [value]
    _collective(partial(dist.broadcast_object_list, box, src=0))
    return box[0]


def all_gather_object(value: Any) -> list[Any]:
    """The values of all ranks, in order of rank."""
    if world_size() == 1:
        return [value]
    found: list[Any] = [None] * world_size()
    _collective(partial(dist.all_gather_object, found, value))
    return found


def broadcast_parameters(modules: Iterable[nn.Module]) -> None:
    """Gives all ranks the parameters and buffers of rank 0."""
    if world_size() == 1:
        return
    for module in modules:
        for tensor in module.state_dict().values():
            flat = tensor.detach().clone(memory_format=torch.contiguous_format)  # weights are in channels_last
            _collective(partial(dist.broadcast, flat, src=0))
            tensor.copy_(flat)


class _Sum(torch.autograd.Function):
    """The sum over ranks. Each rank's loss depends on everyone's values, so its gradient is summed as well.

    The backward is itself a sum, so that a gradient penalty through it is right, too.
    """

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        return _all_reduce(value.clone())

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        summed: Tensor = _Sum.apply(gradient)
        return summed


def _all_reduce(tensor: Tensor, operation: Any = dist.ReduceOp.SUM) -> Tensor:
    _collective(partial(dist.all_reduce, tensor, op=operation))
    return tensor


# What torch says of a peer that is gone; it differs between backends and versions.
_LOST = ("connection", "closed", "reset", "broken pipe", "timed out", "timeout", "remote", "peer", "socket", "abort")


def _collective(message: Callable[[], Any]) -> None:
    try:
        message()
    except RuntimeError as error:
        reason = str(error).splitlines()[0][:160]
        if not any(word in str(error).lower() for word in _LOST):
            raise FewganError(f"torch.distributed failed: {reason}") from error
        # torchrun ends the others with SIGTERM when one has failed, which must not cut off the one that reports it.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise FewganError(
            "another process of this command exited unexpectedly (killed, or out of memory?); resume the training "
            f"from its last checkpoint with --resume ({reason})"
        ) from None
