"""A run as it is read for a page."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fewgan.commands.report import pictures, scores, series
from fewgan.commands.report.files import LARGEST_JSON, Folder, latest, number
from fewgan.commands.report.pictures import Picture
from fewgan.commands.report.scores import Scores
from fewgan.commands.report.series import Series
from fewgan.plugin import UsageError

WATCHED = ("", "config.json", "metrics.jsonl", "real.png", "samples", "generators", "fid", "fid/scores.json")


@dataclass
class Record:
    """path: as it was given, for commands. nearest: of the newest scores. generators: the steps of those there are."""

    path: Path
    name: str
    config: dict[str, Any]
    series: Series
    samples: list[Picture]
    photos: Picture | None
    nearest: Picture | None
    scores: list[Scores]
    generators: set[int]
    has: set[str]
    notes: list[str]

    def fact(self, name: str) -> int | float | None:
        return number(self.config.get(name))

    def text(self, name: str) -> str | None:
        value = self.config.get(name)
        return value if isinstance(value, str) else None


def read(path: Path, room: int) -> Record:
    """The run of a folder; its pictures in at most `room` bytes. Raises UsageError where it is no run."""
    if not path.is_dir():
        what = "is a file; give the folder of a run" if path.exists() else "no such run folder"
        raise UsageError(f"{path}: {what}")
    folder = Folder(path)
    config = folder.json("config.json")
    if not isinstance(config, dict):
        if folder.notes:
            raise UsageError(f"{path}: not a run that can be shown ({folder.notes[0]})")
        inside = latest(path)
        hint = f"; did you mean {inside}?" if inside else ""
        raise UsageError(f"{path}: not a fewgan run (no config.json){hint}")
    form = config.get("format")
    if isinstance(form, int) and form > 1:
        raise UsageError(f"{path / 'config.json'}: written by a newer fewgan; upgrade fewgan")
    fraction = room // 100
    found, seen = scores.read(folder), series.read(folder)
    generators = _generators(folder, seen)
    record = Record(
        path=path,
        name=path.resolve().name,
        config=config,
        series=seen,
        samples=pictures.samples(folder, 60 * fraction),
        photos=pictures.picture(folder, "real.png", min(20 * fraction, 200_000)),
        nearest=pictures.picture(folder, "fid/nearest.png", min(20 * fraction, 500_000)),
        scores=found,
        generators=generators,
        has=_has(folder, found, generators),
        notes=folder.notes,
    )
    record.has |= {"exhausted"} if _exhausted(record) else set()
    return record


def _exhausted(run: Record) -> bool:
    """Whether the scores ended it: as many as --patience without one that is better than the best."""
    patience, (_, kids) = run.fact("patience"), run.series.columns.get("kid", [[], []])
    return patience is not None and bool(kids) and len(kids) - 1 - kids.index(min(kids)) >= patience


def _generators(folder: Folder, seen: Series) -> set[int]:
    """The steps of the kept generators, the last and the best one; where these do not tell, that of the metrics."""
    kept = [name.removesuffix(".safetensors") for name in folder.names("generators")]
    headers = [_step_of(folder, name) for name in ("generator.safetensors", "best.safetensors")]
    told = {step for step in headers if step is not None} or {seen.step}
    return told | {int(one) for one in kept if one.isdecimal()}


def _step_of(folder: Folder, name: str) -> int | None:
    """The step that the header of a generator's file tells."""
    try:
        with open(folder.path / name, "rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > LARGEST_JSON:
                return None
            step = json.loads(json.loads(file.read(length))["__metadata__"]["fewgan"])["step"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return step if type(step) is int else None


def _has(folder: Folder, found: list[Scores], generators: set[int]) -> set[str]:
    has = {"generator"} if any(folder.file(f"{name}.safetensors") for name in ("best", "generator")) else set()
    has |= {"generators"} if len(folder.names("generators")) > 1 else set()
    current = [one for one in found if one.of(generators)]
    has |= {"scores"} if current else set()
    has |= {{"step": "snapshots", "truncation": "sweep"}[one.varied] for one in current if one.varied}
    return has


def state(path: Path) -> str:
    """A text that changes when the run's files do; cheap to ask for."""
    found = []
    for name in WATCHED:
        try:
            facts = (path / name).stat()
            found.append(f"{facts.st_mtime_ns:x}.{facts.st_size:x}")
        except OSError:
            found.append("-")
    return "/".join(found)
