"""Shows a training in TensorBoard: scalars, sample grids, and the run's options with its last scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fewgan.plugin import Plugin, option

if TYPE_CHECKING:
    from fewgan_tensorboard.tracker import TensorBoard


@dataclass(frozen=True, kw_only=True)
class Options:
    folder: str | None = option(None, "Folder for the event files [default: tensorboard in the run's folder]")


def build(options: Options) -> TensorBoard:
    from fewgan_tensorboard.tracker import TensorBoard

    return TensorBoard(options.folder)


plugin = Plugin(api=1, summary="TensorBoard: scalars, sample grids, options", options=Options, build=build)
