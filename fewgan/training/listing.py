"""The runs of a folder, a line each: what `fewgan runs` shows."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fewgan import registry, run, storage
from fewgan.errors import UsageError


@dataclass(frozen=True)
class Listed:
    """One run. steps: what it was started for. recipe: architecture and methods. size: side of its pictures in pixels.

    kid: the lowest of the training (--score-every), else of the newest `fewgan fid` against the run's own photos, which
    `against` tells; None: none.
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
    # Without checkpoints, which may be removed to save space, the metrics tell it.
    step = max([step for step, _ in saved] or [line["step"] for line in lines], default=0)
    kid, against = _kid(folder, lines)
    return Listed(
        folder=folder,
        step=step,
        steps=config["steps"] if isinstance(config.get("steps"), int) else 0,
        recipe=" ".join(_names(config)),
        size=config["size"] if isinstance(config.get("size"), int) else None,
        kid=kid,
        against=against,
        disk=_disk(folder),
    )


def _disk(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):  # a training may be replacing its checkpoints
            total += path.stat().st_size if path.is_file() else 0
    return total


def _names(config: Mapping[str, Any]) -> Iterable[str]:
    for kind in ("architecture", "transfer", "augmentation", "regularizers"):
        choices = config.get(kind)
        for choice in choices if isinstance(choices, list) else [choices]:
            if not isinstance(choice, dict) or not isinstance(choice.get("name"), str):
                continue
            if kind == "architecture" or choice["name"] != registry.default(str(choice.get("kind"))):
                yield choice["name"]


def _kid(folder: Path, lines: Iterable[Mapping[str, Any]]) -> tuple[float | None, str | None]:
    """The lowest score and where it is from: the training, else `fewgan fid` on a generator that is still there."""
    scores = [line["kid"] for line in lines if isinstance(line.get("kid"), float)]
    if scores:
        return min(scores), "training"
    kept = (path for path in (folder / "fid").glob("*-*/scores.json") if path.is_file())  # none of other generators
    newest = sorted(kept, key=lambda path: path.stat().st_mtime, reverse=True)
    there = _steps_of_generators(folder)
    for path in (folder / "fid" / "scores.json", *newest):
        with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
            scores = json.loads(path.read_text(encoding="utf-8"))
            if not scores.get("own_photos", "-against-" not in str(scores.get("settings"))):
                continue
            own = (row for row in scores["rows"] if row["against"] in ("held-out", "train"))
            measured = (row for row in own if isinstance(row["kid"], float) and row.get("step") in there)
            return min(measured, key=lambda row: (row["against"] != "held-out", row["kid"]))["kid"], "fid"
    return None, None


def _steps_of_generators(folder: Path) -> set[int | None]:
    """The steps of the generators of a run, and None for what is of an unknown one."""
    found: set[int | None] = {None, *(step for step, _ in run.kept_generators(folder))}
    for name in (run.GENERATOR, run.BEST):
        with suppress(UsageError, OSError):
            found.add(storage.read_facts(folder / name)[0].get("step"))
    return found
