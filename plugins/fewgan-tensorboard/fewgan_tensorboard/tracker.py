"""The tracker: event files in the run, which `tensorboard --logdir runs` shows together with those of other runs."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.utils.tensorboard import SummaryWriter
from torchvision.utils import make_grid

RESULTS = ("kid", "loss_d", "loss_g", "sample_spread")  # stand beside the options in the HParams tab


class TensorBoard:
    """folder: for the event files; None: `tensorboard` in the run's folder.

    `<run>/tensorboard.json` holds where a folder elsewhere is: a resume may come from another working directory, and
    the run may have been moved or copied together with it.
    """

    def __init__(self, folder: str | None) -> None:
        self.folder = folder
        self._results: dict[str, float] = {}

    def start(self, record: Mapping[str, Any]) -> None:
        """After a resume, TensorBoard leaves out what was written of steps that did not happen."""
        place = _place(Path(record["folder"]), self.folder)
        step = record["step"]
        self._writer = SummaryWriter(str(place), purge_step=step + 1 if step else None)
        self._options = dict(options(record))

    def line(self, metrics: Mapping[str, Any]) -> None:
        for name, value in numbers(metrics):
            if name != "step":
                self._writer.add_scalar(name, value, metrics["step"])
        self._results |= {name: value for name, value in numbers(metrics) if name in RESULTS}

    def pictures(self, step: int, pictures: Tensor) -> None:
        self._writer.add_image("samples", make_grid(pictures, nrow=8, pad_value=255), step)

    def end(self, summary: Mapping[str, Any]) -> None:
        if self._results:
            results = {f"final/{name}": value for name, value in self._results.items()}
            self._writer.add_hparams(self._options, results, run_name=".")
        self._writer.close()


def _place(run: Path, folder: str | None) -> Path:
    """Where the event files are, or will be."""
    if folder is None:
        return run / "tensorboard"
    kept = run / "tensorboard.json"
    with suppress(OSError, ValueError, KeyError, TypeError):
        known = json.loads(kept.read_text(encoding="utf-8"))
        for place in (run / known["relative"], Path(known["folder"])):
            if place.is_dir():
                return place
    place = Path(folder).resolve()
    facts = {"format": 1, "folder": str(place), "relative": os.path.relpath(place, run.resolve())}
    kept.write_text(json.dumps(facts), encoding="utf-8")
    return place


def numbers(metrics: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """Every finite number, those in mappings and lists too: `learning_rates/generator/0`."""
    for key, value in metrics.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from numbers(value, f"{name}/")
        elif isinstance(value, list):
            yield from numbers({str(index): one for index, one in enumerate(value)}, f"{name}/")
        elif isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            yield name, value


def options(record: Mapping[str, Any]) -> Iterator[tuple[str, str | float | bool]]:
    """The run's settings and those of its plugins, as TensorBoard takes them: `cr.weight`."""
    for key, value in record.items():
        choices = value if isinstance(value, list) else [value]
        for choice in choices:
            if isinstance(choice, Mapping) and "options" in choice:
                yield f"{key}.{choice['name']}" if isinstance(value, list) else key, choice["name"]
                for name, chosen in choice["options"].items():
                    yield f"{choice['name']}.{name}", str(chosen) if chosen is None else chosen
        if isinstance(value, str | int | float | bool) and key not in ("folder", "step"):
            yield key, value
