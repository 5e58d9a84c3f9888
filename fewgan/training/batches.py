"""The randomness and the photos of a step, as functions of seed, step and rank."""

from __future__ import annotations

import torch
from torch import Tensor

from fewgan import distributed
from fewgan.photos import dataset
from fewgan.sampling.imagefile import to_float
from fewgan.training.session import Session
from fewgan.training.steps import Batch


def seed(work: Session) -> None:
    """Seeds every step by itself: no random state is saved, and a resume is exact, on any number of processes."""
    step = _mix(work.config.seed, work.state.step)
    torch.manual_seed(step if distributed.world_size() == 1 else _mix(step, 1 + distributed.rank()))
    if work.state.players.random is not None:
        work.state.players.random.manual_seed(step)


def _mix(seed: int, step: int) -> int:
    """One 63-bit seed from two numbers (splitmix64), so that neighbouring steps and seeds share nothing."""
    value = (seed * 0x9E3779B97F4A7C15 + step + 0x9E3779B97F4A7C15) % 2**64
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    value = (value ^ (value >> 27)) * 0x94D049BB133111EB % 2**64
    return (value ^ (value >> 31)) % 2**63


def batch(work: Session) -> Batch:
    """This rank's shard of the next photos of the endless stream of epochs, half of them flipped.

    Moves images_seen on by those of all ranks.
    """
    config, state = work.config, work.state
    chosen = dataset.indices(len(work.photos), state.images_seen, config.batch_size, config.seed)
    state.images_seen += config.batch_size
    chosen = distributed.shard(chosen)
    if work.photos.is_cuda:
        chosen = _to_device(chosen, work.device)
    images = to_float(_to_device(work.photos[chosen], work.device))
    if config.flip:
        drawn = torch.rand(config.batch_size, 1, 1, 1, device=work.device, generator=state.players.random)
        images = torch.where(distributed.shard(drawn) < 0.5, images.flip(3), images)
    return images.contiguous(memory_format=work.memory_format), _to_device(work.labels[chosen], work.device)


def reals_for_generator(batches: list[Batch], counts: list[int]) -> list[Batch]:
    """The photos of the last D step for a G step of other micro-batches; repeated where G's are larger."""
    images = torch.cat([images for images, _ in batches])
    labels = torch.cat([labels for _, labels in batches])
    found, position = [], 0
    for count in counts:
        rows = torch.arange(position, position + count, device=images.device) % len(images)
        found.append((images[rows], labels[rows]))
        position += count
    return found


def _to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """On the device, without waiting for it: only from pinned memory does a copy to a GPU run beside its work."""
    if device.type == "cuda" and not tensor.is_cuda:
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)
