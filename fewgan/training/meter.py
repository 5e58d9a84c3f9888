"""Means of what the steps report between two lines of metrics, kept on the device until they are read."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

SKIPPED = {"discriminator": "skipped_d", "generator": "skipped_g"}


class Meter:
    """Sums of the statistics of updates since the last tick.

    An update that was skipped counts as skipped and enters no mean. `failing` counts, for D and for G, the steps in a
    row in which every update was skipped.
    """

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.failing = torch.zeros(2)
        self._skipped: dict[str, Tensor] = {}  # in this step, by side: 1 where every update was skipped so far

    def add(self, stats: Mapping[str, Tensor], side: str) -> None:
        """Adds the 0-d tensors of one update of a network; does not wait for the device."""
        skipped = stats[SKIPPED[side]]
        values = {name: value.masked_fill(skipped > 0, 0) for name, value in stats.items() if name != SKIPPED[side]}
        values |= {SKIPPED[side]: skipped, f"updates_{side[0]}": 1 - skipped}
        for name, value in values.items():
            self.sums[name] = self.sums[name] + value if name in self.sums else value
        self._skipped[side] = torch.minimum(self._skipped[side], skipped) if side in self._skipped else skipped

    def end_step(self) -> None:
        """Counts a step in which every update of a network was skipped."""
        all_skipped = torch.stack([self._skipped[side] for side in SKIPPED])
        self._skipped = {}
        self.failing = (self.failing.to(all_skipped.device) + 1) * all_skipped

    def take_means(self) -> dict[str, float | None]:
        """The means over the updates that were not skipped (None: there are none), and a fresh start.

        skipped_d and skipped_g are numbers of updates. Waits for the device.
        """
        sums = {name: value.item() for name, value in self.sums.items()}
        counts = {"d": sums.pop("updates_d", 0.0), "g": sums.pop("updates_g", 0.0)}
        skipped = {name: sums.pop(name, 0.0) for name in SKIPPED.values()}
        self.sums = {}
        means: dict[str, float | None] = {}
        for name, value in sums.items():
            count = counts["g" if name == "loss_g" else "d"]
            means[name] = value / count if count else None
        return means | skipped
