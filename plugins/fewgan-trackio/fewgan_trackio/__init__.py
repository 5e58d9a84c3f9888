"""Shows a training in Trackio (on this machine first), or in Weights & Biases, which has the same calls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fewgan.plugin import Plugin, option

if TYPE_CHECKING:
    from fewgan_trackio.tracker import Tracker


@dataclass(frozen=True, kw_only=True)
class Options:
    project: str = option("fewgan", "Project that the run belongs to")


def build_trackio(options: Options) -> Tracker:
    from fewgan_trackio.tracker import Tracker

    return Tracker("trackio", options.project)


def build_wandb(options: Options) -> Tracker:
    from fewgan_trackio.tracker import Tracker

    return Tracker("wandb", options.project)


trackio = Plugin(api=1, summary="Trackio: a dashboard on this machine", options=Options, build=build_trackio)
wandb = Plugin(api=1, summary="Weights & Biases", options=Options, build=build_wandb)
