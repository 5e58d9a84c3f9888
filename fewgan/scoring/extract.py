"""From pictures to features: in batches, shared among processes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from fewgan import distributed
from fewgan.sampling.generate import GROUP, group_size
from fewgan.screen import Screen

Groups = Callable[[int, int], Iterable[Tensor]]
See = Callable[[int, Tensor, Tensor], None]


@dataclass(frozen=True)
class Pictures:
    """Pictures that can be read one by one. name: what a report calls them. size: the largest side in pixels.

    read(indices): uint8 [3, H, W] each. fingerprint: of the pixels, None where it is not known, and then nothing is
    cached.
    """

    name: str
    count: int
    size: int
    read: Callable[[Sequence[int]], list[Tensor]]
    fingerprint: str | None = None

    def groups(self, first: int, stop: int) -> Iterator[Tensor]:
        """Those from first to stop − 1 in order, uint8 [up to 16, 3, H, W], pictures of one shape at a time."""
        for start in range(first, stop, GROUP):
            same: list[Tensor] = []
            for image in self.read(range(start, min(start + GROUP, stop))):
                if same and same[0].shape != image.shape:
                    yield torch.stack(same)
                    same = []
                same.append(image)
            yield torch.stack(same)


def of_tensor(images: Tensor, name: str, *, fingerprint: str | None = None) -> Pictures:
    """Pictures from images uint8 [n, 3, S, S], in memory or mapped."""

    def read(indices: Sequence[int]) -> list[Tensor]:
        return list(images[list(indices)])

    return Pictures(name, len(images), images.shape[-1], read, fingerprint)


def evenly(count: int, most: int) -> Sequence[int]:
    """The indices of at most `most` of so many things, spread over all of them."""
    return [index * count // most for index in range(most)] if most < count else range(count)


def thinned(pictures: Pictures, most: int) -> Pictures:
    """At most so many of them, spread over all."""
    if most >= pictures.count:
        return pictures
    chosen = evenly(pictures.count, most)
    return replace(
        pictures,
        count=most,
        read=lambda indices: pictures.read([chosen[index] for index in indices]),
        fingerprint=None if pictures.fingerprint is None else f"{pictures.fingerprint} {most}",
    )


def mirrored(pictures: Pictures) -> Pictures:
    """The same pictures, left and right exchanged."""

    def read(indices: Sequence[int]) -> list[Tensor]:
        return [image.flip(2) for image in pictures.read(indices)]

    return replace(pictures, name=f"{pictures.name}, mirrored", read=read)


@torch.no_grad()
def extract(
    features: Any,
    groups: Groups,
    count: int,
    *,
    device: torch.device,
    label: str,
    screen: Screen,
    see: See | None = None,
) -> Tensor:
    """Features float32 [count, dim] of uint8 pictures; nothing else is kept. features: a Scorer.

    groups(first, stop): pictures first … stop − 1 in groups. Each process extracts a shard, which is empty where there
    are fewer groups than processes (then first == stop), and all return the whole. see(first, pictures, features) is
    called with each batch, on the CPU.
    """
    batch = group_size(device)
    made = torch.zeros(count, features.dim)
    done, stop = distributed.shard_range(count, batch)  # a shard starts with a generator's group
    with screen.progress(label, stop - done, "pictures") as advance:
        for pictures in _batches(groups(done, stop), batch):
            rows = features(pictures.to(device)).float().cpu()
            made[done : done + len(rows)] = rows
            if see is not None:
                see(done, pictures, rows)
            done += len(rows)
            advance(len(rows))
    return distributed.all_reduce_sum(made)


def _batches(groups: Iterable[Tensor], size: int) -> Iterator[Tensor]:
    """The same pictures, `size` at a time as far as their shapes agree."""
    kept: list[Tensor] = []
    for group in groups:
        if kept and kept[0].shape[1:] != group.shape[1:]:
            yield torch.cat(kept)
            kept = []
        kept.append(group)
        while sum(map(len, kept)) >= size:
            joined = torch.cat(kept)
            yield joined[:size]
            kept = [joined[size:]] if len(joined) > size else []
    if kept:
        yield torch.cat(kept)
