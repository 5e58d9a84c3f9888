"""The tracker. trackio and wandb are called alike: init, log, Image, finish."""

from __future__ import annotations

import importlib
import json
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor
from torchvision.utils import make_grid

from fewgan.plugin import FewganError


class Tracker:
    """package: trackio or wandb. project: what the run belongs to.

    `<run>/<package>.json` holds the run's id there and the last step that was shown: a resume goes on with the same
    track and shows no step twice.
    """

    def __init__(self, package: str, project: str) -> None:
        self.package, self.project = package, project
        try:
            self._library = importlib.import_module(package)
        except ImportError:
            raise FewganError(f"--track {package} needs the package {package}; run 'pip install {package}'") from None
        self._shown = -1

    def start(self, record: Mapping[str, Any]) -> None:
        folder = Path(record["folder"])
        self._file = folder / f"{self.package}.json"
        name = folder.resolve().name
        # A run that was removed, or that of another project, may have had this name: its track is not gone on with.
        identity = f"{folder.resolve().parent.parent.name}-{name}-{secrets.token_hex(3)}"
        if record["step"] and self._file.exists():
            known = json.loads(self._file.read_text(encoding="utf-8"))
            identity, self._shown = known["id"], known["step"]
        self._identity = identity
        config = {key: value for key, value in record.items() if key not in ("folder", "step", "asked")}
        more = {"id": identity, "dir": str(folder)} if self.package == "wandb" else {}
        self._run = self._library.init(
            project=self.project,
            name=name if self.package == "wandb" else identity,  # trackio's runs are known by their names
            config=config,
            resume="allow",
            **more,
        )
        self._remember(self._shown)

    def line(self, metrics: Mapping[str, Any]) -> None:
        step = metrics["step"]
        if step > self._shown:
            self._library.log({name: value for name, value in numbers(metrics) if name != "step"}, step=step)
            self._remember(step)

    def pictures(self, step: int, pictures: Tensor) -> None:
        if step > self._shown:
            grid = make_grid(pictures, nrow=8, pad_value=255).permute(1, 2, 0).numpy()
            self._library.log({"samples": self._library.Image(grid)}, step=step)

    def end(self, summary: Mapping[str, Any]) -> None:
        self._library.finish()

    def _remember(self, step: int) -> None:
        self._shown = step
        self._file.write_text(json.dumps({"format": 1, "id": self._identity, "step": step}), encoding="utf-8")


def numbers(metrics: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Every number, those in lists by network: `learning_rate_generator`."""
    for name, value in metrics.items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            yield name, value
    for network, rates in metrics.get("learning_rates", {}).items():
        if rates:
            yield f"learning_rate_{network}", rates[0]
