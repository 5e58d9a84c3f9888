"""What a step is fed with: its randomness and its photos."""

from __future__ import annotations

import torch
from torch import Tensor

from fewgan import distributed
from fewgan.photos import dataset
from fewgan.training.session import Session
from fewgan.training.steps import Batch


def seed(work: Session) -> None:
    """Every step is seeded by itself, so no random state is saved and a resume is exact, on any number of processes."""
    step = _mix(work.config.seed, work.state.step)
    torch.manual_seed(step if distributed.world() == 1 else _mix(step, 1 + distributed.rank()))
    if work.state.players.random is not None:
        work.state.players.random.manual_seed(step)


def _mix(seed: int, step: int) -> int:
    """One 63-bit seed from two numbers (splitmix64), so that neighbouring steps and seeds share nothing."""
    value = (seed * 0x9E3779B97F4A7C15 + step + 0x9E3779B97F4A7C15) % 2**64
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    value = (value ^ (value >> 27)) * 0x94D049BB133111EB % 2**64
    return (value ^ (value >> 31)) % 2**63


def batch(work: Session) -> Batch:
    """This process's share of the next photos of the endless stream of epochs, half of them flipped.

    Moves images_seen on by those of all processes.
    """
    config, state = work.config, work.state
    chosen = dataset.indices(len(work.photos), state.images_seen, config.batch_size, config.seed)
    state.images_seen += config.batch_size
    chosen = distributed.part(chosen)
    if work.photos.is_cuda:
        chosen = _moved(chosen, work.device)
    images = _moved(work.photos[chosen], work.device).float().div_(127.5).sub_(1)
    if config.flip:
        drawn = torch.rand(config.batch_size, 1, 1, 1, device=work.device, generator=state.players.random)
        images = torch.where(distributed.part(drawn) < 0.5, images.flip(3), images)
    return images.contiguous(memory_format=torch.channels_last), _moved(work.labels[chosen], work.device)


def _moved(tensor: Tensor, device: torch.device) -> Tensor:
    """On the device, without waiting for it: only from pinned memory does a copy to a GPU run beside its work."""
    if device.type == "cuda" and not tensor.is_cuda:
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)
