"""The exponential moving average of the generator and its mapper: what is sampled, scored and kept."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn

from fewgan.plugin import Networks
from fewgan.training.players import Players


class Average:
    """Copies of generator and mapper in eval mode, drawn after the live ones (BigGAN, section 3; buffers too)."""

    def __init__(self, players: Players) -> None:
        self.generator: Any = copy.deepcopy(players.generator).eval().requires_grad_(False)
        self.mapper: Any = None
        if players.transfer.mapper is not None:
            self.mapper = copy.deepcopy(players.transfer.mapper).eval().requires_grad_(False)

    @property
    def modules(self) -> dict[str, nn.Module]:
        return {"generator": self.generator} | ({} if self.mapper is None else {"mapper": self.mapper})

    def networks(self, players: Players) -> Networks:
        """The averaged generator beside the live discriminator."""
        return Networks(self.generator, players.discriminator, players.networks.defaults)

    @torch.no_grad()
    def update(self, players: Players, images_seen: int, new_images: int, batch: int) -> None:
        """After a G step that came with `new_images` photos; batch: photos of one optimizer step, all processes.

        Half-life in images: the architecture's `ema_images` at batch 32, in proportion, but never more than 5 % of the
        images seen, so that the average of a short run is its own and not the source's.
        """
        half_life = min(players.networks.defaults.ema_images * batch / 32, 0.05 * images_seen)
        weight = 1 - 0.5 ** (new_images / max(half_life, 1e-8))
        pairs = [(self.generator, players.generator), (self.mapper, players.transfer.mapper)]
        for average, live in pairs:
            if average is None:
                continue
            ours, theirs = average.state_dict(), live.state_dict()
            floating = [name for name, tensor in ours.items() if tensor.is_floating_point()]
            torch._foreach_lerp_([ours[name] for name in floating], [theirs[name] for name in floating], weight)
            for name in ours.keys() - set(floating):
                ours[name].copy_(theirs[name])
