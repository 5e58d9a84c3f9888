"""The exponential moving average of the generator and its mapper: what is sampled, scored and kept."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn

from fewgan.networks import Networks
from fewgan.training.players import Players


class Average:
    """Copies of generator and mapper in eval mode that follow the live ones (BigGAN, section 3)."""

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
    def update(self, players: Players, seen_before: int, new_images: int, batch: int) -> None:
        """After a G step that came with `new_images` photos; batch: photos of one optimizer step, all processes.

        Half-life in images: the architecture's `ema_images` at batch 32, in proportion, but with a ramp never more than
        `ema_ramp` (5 %) of the images seen before the step (stylegan2-ada-pytorch's training loop), so that the average
        of a short run is its own and not the source's. After the first step it is a copy.
        """
        defaults = players.networks.defaults
        half_life = defaults.ema_images * batch / 32
        if defaults.ema_ramp is not None:
            half_life = min(half_life, defaults.ema_ramp * seen_before)
        weight = 1 - 0.5 ** (new_images / max(half_life, 1e-8))
        pairs = [(self.generator, players.generator), (self.mapper, players.transfer.mapper)]
        for average, live in pairs:
            if average is None:
                continue
            ours, theirs = average.state_dict(), live.state_dict()
            weights = {name for name, _ in average.named_parameters()}
            for name, _ in average.named_parameters(remove_duplicate=False):
                if name not in weights:  # of a tensor that has another name: what is shared moves once
                    del ours[name]
            averaged = [
                name
                for name, tensor in ours.items()
                if tensor.is_floating_point() and (name in weights or defaults.ema_buffers == "average")
            ]
            torch._foreach_lerp_([ours[name] for name in averaged], [theirs[name] for name in averaged], weight)
            for name in ours.keys() - set(averaged):
                ours[name].copy_(theirs[name])
