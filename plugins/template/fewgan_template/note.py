"""Template of a tracker: appends what a run shows to a text file. `--track template-note`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fewgan.plugin import Plugin, option

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Options:
    file: str = option("note.txt", "File in the run's folder")


class Note:
    def __init__(self, file: str) -> None:
        self.file = file

    def start(self, record: Mapping[str, Any]) -> None:
        self.path = Path(record["folder"]) / self.file
        if record["step"] == 0:
            self.path.write_text("")

    def line(self, metrics: Mapping[str, Any]) -> None:
        self._write(f"step {metrics['step']}: loss of D {metrics['loss_d']}")

    def pictures(self, step: int, pictures: Tensor) -> None:
        self._write(f"step {step}: {len(pictures)} pictures")

    def end(self, summary: Mapping[str, Any]) -> None:
        self._write("the end")

    def _write(self, text: str) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(text + "\n")


def build(options: Options) -> Note:
    return Note(options.file)


plugin = Plugin(api=1, summary="Notes in a text file", options=Options, build=build)
