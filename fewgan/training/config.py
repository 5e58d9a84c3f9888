"""What a run is asked for, as one frozen record: from the command line, and back from config.json."""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any

from fewgan.errors import UsageError
from fewgan.registry import Choice

LOSSES = ("hinge", "nonsaturating", "wasserstein")
PRECISIONS = ("auto", "fp32", "bf16")


LARGEST = 2**31  # of a whole number, seeds apart
FACTS = {"network_classes": int, "classes": list, "data_path": str, "fingerprint": str}


def _is(value: Any, kind: Any) -> bool:
    """Whether JSON's value is of a field's type; choices and tuples of them are checked as they are made."""
    if isinstance(kind, UnionType):
        return any(_is(value, one) for one in kind.__args__)
    if kind is float:
        return type(value) in (int, float) and math.isfinite(value)
    if kind is int:
        return type(value) is int and 0 <= value < LARGEST
    if kind is Choice:
        words = ("kind", "name", "package", "version")
        whole = isinstance(value, dict) and isinstance(value.get("options"), dict)
        return whole and all(isinstance(value.get(word), str) for word in words)
    return kind not in (NoneType, bool, str, list) or type(value) is kind


@dataclass(frozen=True, kw_only=True)
class Config:
    """A training run. None: decided when the run starts (settle.py), by the source, dataset or architecture.

    planned_steps: the `steps` the run was started for. Schedules refer to it, so that a longer resume moves none.
    """

    data: str = "dataset"
    out: str = "runs"
    source: str | None = None
    size: int | None = None
    architecture: Choice
    transfer: Choice
    augmentation: Choice | None = None
    regularizers: tuple[Choice, ...] = ()
    no_regularizers: tuple[str, ...] = ()
    trackers: tuple[Choice, ...] = ()
    score_every: int | None = None
    patience: int | None = None
    features: Choice | None = None
    flip: bool = True
    loss: str | None = None
    steps: int = 2000
    planned_steps: int | None = None
    batch_size: int = 16
    d_steps: int | None = None
    grad_accumulation: int = 1
    lr_g: float | None = None
    lr_d: float | None = None
    precision: str = "auto"
    orthogonal: float = 0.0
    sample_every: int = 200
    save_every: int = 200
    keep_generators: bool = False
    seed: int = 0
    device: str = "auto"

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "d_steps", "grad_accumulation", "sample_every", "save_every",
                     "score_every", "patience"):  # fmt: skip
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"--{name.replace('_', '-')} {value}: must be 1 or more")
        for name in ("lr_g", "lr_d", "orthogonal"):
            number = getattr(self, name)
            if number is not None and not 0 <= number < math.inf:
                raise UsageError(f"--{name.replace('_', '-')} {number}: must be 0 or more")
        if self.score_every is None and self.patience is not None:
            raise UsageError("--patience counts scores; add --score-every N")
        if self.score_every is not None and self.features is None:
            raise UsageError("--score-every needs features to score with; add --features NAME")
        if self.loss is not None and self.loss not in LOSSES:
            raise UsageError(f"--loss {self.loss}: choose {', '.join(LOSSES)}")
        if self.precision not in PRECISIONS:
            raise UsageError(f"--precision {self.precision}: choose {', '.join(PRECISIONS)}")

    @property
    def choices(self) -> tuple[Choice, ...]:
        """Architecture, transfer, augmentation and regularizers, which name the run: all that weights depend on."""
        optional = () if self.augmentation is None else (self.augmentation,)
        return (self.architecture, self.transfer, *optional, *self.regularizers)

    @property
    def planned(self) -> int:
        """Steps that schedules refer to."""
        return self.planned_steps or self.steps

    def as_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any], where: Path) -> Config:
        """From config.json, whose further keys are facts about the run. Raises UsageError for one that is damaged.

        where: the file that it is from.
        """
        known = {field.name for field in dataclasses.fields(cls)}
        values = {name: value for name, value in content.items() if name in known}
        kinds = typing.get_type_hints(cls)
        if missing := FACTS.keys() - content.keys():
            raise UsageError(f"{where}: damaged, {min(missing)} is missing")
        counts = content.get("class_counts", [])
        if not isinstance(counts, list) or not all(_is(count, int) for count in counts):
            raise UsageError(f"{where}: damaged, class_counts is {str(counts)[:40]!r}")
        for name, value in content.items():
            seed = name == "seed" and type(value) is int and 0 <= value < 2**63
            if not seed and not _is(value, kinds.get(name, FACTS.get(name, object))):
                raise UsageError(f"{where}: damaged, {name} is {str(value)[:40]!r}")
        try:
            for kind in ("architecture", "transfer"):
                values[kind] = Choice(**values[kind])
            for kind in ("augmentation", "features"):
                values[kind] = Choice(**values[kind]) if values.get(kind) else None
            values["regularizers"] = tuple(Choice(**choice) for choice in values["regularizers"])
            values["trackers"] = tuple(Choice(**choice) for choice in values.get("trackers", ()))
            values["no_regularizers"] = tuple(values.get("no_regularizers", ()))
            return cls(**values)
        except UsageError as error:
            raise UsageError(f"{where}: {error}") from None
        except (KeyError, TypeError, AttributeError) as error:
            raise UsageError(f"{where}: damaged, or of another version of fewgan ({error})") from None
