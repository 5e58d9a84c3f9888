"""The runs of a folder, a line each: what `fewgan runs` shows."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fewgan import registry, run
from fewgan.errors import UsageError


@dataclass(frozen=True)
class Listed:
    """One run. steps: what it was started for. recipe: architecture and methods. size: side of its pictures in pixels.

    kid: the lowest of the training (--score-every), else of the newest `fewgan fid`, which `against` tells; None: none.
    disk: bytes of all its files. trouble: why it cannot be read; then nothing else is known.
    """

    folder: Path
    step: int = 0
    steps: int = 0
    recipe: str = ""
    size: int | None = None
    kid: float | None = None
    against: str | None = None
    disk: int = 0
    trouble: str | None = None


def listing(place: Path) -> list[Listed]:
    """Every run in the folder, by number; what is no run is passed over. Raises UsageError where there is no folder."""
    if not place.is_dir():
        raise UsageError(f"{place}: no such folder; give one with runs in it")
    found = []
    for folder in run.runs_in(place):
        try:
            if (folder / "config.json").exists():
                found.append(_listed(folder, run.read_config(folder)))
        except (UsageError, OSError) as error:
            found.append(Listed(folder, trouble=str(error)))
    return found


def _listed(folder: Path, config: Mapping[str, Any]) -> Listed:
    lines = run.read_metrics(folder)
    saved = run.checkpoints(folder)
    kid, against = _kid(folder, lines)
    return Listed(
        folder=folder,
        step=max([step for step, _ in saved], default=0),
        steps=config["steps"] if isinstance(config.get("steps"), int) else 0,
        recipe=" ".join(_names(config)),
        size=config["size"] if isinstance(config.get("size"), int) else None,
        kid=kid,
        against=against,
        disk=sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()),
    )


def _names(config: Mapping[str, Any]) -> Iterable[str]:
    for kind in ("architecture", "transfer", "augmentation", "regularizers"):
        choices = config.get(kind)
        for choice in choices if isinstance(choices, list) else [choices]:
            if not isinstance(choice, dict) or not isinstance(choice.get("name"), str):
                continue
            if kind == "architecture" or choice["name"] != registry.default(str(choice.get("kind"))):
                yield choice["name"]


def _kid(folder: Path, lines: Iterable[Mapping[str, Any]]) -> tuple[float | None, str | None]:
    scores = [line["kid"] for line in lines if isinstance(line.get("kid"), float)]
    if scores:
        return min(scores), "training"
    try:
        rows = json.loads((folder / "fid" / "scores.json").read_text(encoding="utf-8"))["rows"]
        measured = (row for row in rows if isinstance(row["kid"], float))
        row = min(measured, key=lambda row: (row["against"] != "held-out", row["kid"]))
        return row["kid"], "fid"
    except (OSError, ValueError, KeyError, TypeError):
        return None, None
