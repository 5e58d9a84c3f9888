"""A dataset on disk → uint8 tensors in the order that training wants them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor
from torch.nn.functional import interpolate

from fewgan import signatures
from fewgan.errors import UsageError
from fewgan.photos.place import FACTS, IMAGES, is_dataset, recover
from fewgan.photos.store import FORMAT
from fewgan.run import regular
from fewgan.screen import command, safe

_CHUNK = 256


@dataclass(frozen=True)
class Dataset:
    """What `prepare` wrote. images: uint8 [n, 3, S, S], memory-mapped; labels: int64 [n]; held_out: bool [n].

    classes: names by label, empty without classes (every label is 0 then). names: of the source photos. fingerprint:
    of pixels, labels and held-out marks. crop, aspect: how the squares were cut out of photos, and width by height of
    what they stand for; see `prepare`.
    """

    folder: Path
    size: int
    classes: tuple[str, ...]
    images: Tensor
    labels: Tensor
    held_out: Tensor
    names: tuple[str, ...]
    fingerprint: str
    crop: str = "center"
    aspect: float = 1.0

    @property
    def class_counts(self) -> Tensor:
        """int64 [classes]: photos of each class to train on; empty without classes."""
        return torch.bincount(self.labels[~self.held_out], minlength=len(self.classes))[: len(self.classes)]


def name_of(folder: Path) -> str:
    """The name of a dataset's folder, for the names of runs."""
    return Path(os.path.abspath(folder)).name or "dataset"


def load(folder: Path) -> Dataset:
    """Reads what `fewgan prepare` wrote to `folder`; the pixels stay on disk until they are used.

    Raises UsageError where there is no dataset, it is damaged, or a newer fewgan wrote it.
    """
    facts = _facts(Path(folder))
    count, size = facts["count"], facts["size"]
    path = Path(folder) / IMAGES
    again = "run fewgan prepare again"
    try:
        if path.exists():
            regular(path)
        with safe_open(path, framework="pt") as file:  # type: ignore[no-untyped-call, unused-ignore]
            marked = (file.metadata() or {}).get("fingerprint")
            images: Tensor = file.get_tensor("images")
    except FileNotFoundError:
        raise UsageError(f"{safe(str(path))} is missing: {again}") from None
    except (SafetensorError, OSError) as error:
        what = signatures.instead(path, signatures.SAFETENSORS)
        damaged = f"damaged or cut short ({' '.join(str(error).split())}): {again}"
        told = f"{what.partition('; its name')[0]}; if the file is lost, {again}" if what else damaged
        raise UsageError(f"{safe(str(path))} is {told}") from None
    if tuple(images.shape) != (count, 3, size, size) or images.dtype != torch.uint8:
        raise UsageError(
            f"{safe(str(path))} holds {images.dtype} {list(images.shape)} where {FACTS} says uint8 "
            f"{[count, 3, size, size]}: {again}"
        )
    if marked not in (None, facts["fingerprint"]):
        raise UsageError(f"{safe(str(path))} and {FACTS} are of different datasets: {again}")
    rows = facts["images"]
    return Dataset(
        folder=Path(folder),
        size=size,
        classes=tuple(facts["classes"]),
        images=images,
        labels=torch.tensor([row["label"] for row in rows], dtype=torch.int64),
        held_out=torch.tensor([row["held_out"] for row in rows], dtype=torch.bool),
        names=tuple(row["name"] for row in rows),
        fingerprint=facts["fingerprint"],
        crop=str(facts.get("crop", "center")),
        aspect=float(facts.get("aspect", 1.0)),
    )


def of_run(record: Mapping[str, Any], folder: Path) -> Dataset | None:
    """The dataset of a run with this config.json: the one beside it, which moved along with it, else where it was.

    The first one with the run's fingerprint, else the first that can be read; None where there is none. Raises
    UsageError where all that is there is damaged.
    """
    places = [folder / relative] if isinstance(relative := record.get("data_relative"), str) else []
    other: Dataset | None = None
    damaged: UsageError | None = None
    for place in (*places, Path(record["data_path"])):
        try:
            found = load(place)
        except UsageError as error:
            damaged = damaged or (error if (place / FACTS).exists() else None)
            continue
        if found.fingerprint == record.get("fingerprint"):
            return found
        other = other or found
    if other is None and damaged is not None:
        raise damaged
    return other


def photos(dataset: Dataset, *, held_out: bool, size: int | None = None) -> tuple[Tensor, Tensor]:
    """(uint8 [m, 3, s, s], labels int64 [m]): the photos to train on, or those held out, in the dataset's order.

    size: reduced to it by antialiased bicubic resampling; None: as they are. Raises UsageError where size is larger
    than the dataset's.
    """
    if size is not None and size > dataset.size:
        raise UsageError(
            f"{safe(str(dataset.folder))} holds photos of {dataset.size} px, {size} px are asked for: prepare it with "
            f"--size {size}, or ask for {dataset.size}"
        )
    chosen = torch.nonzero(dataset.held_out == held_out)[:, 0]
    labels = dataset.labels[chosen]
    if size is None or size == dataset.size:
        whole = len(chosen) == len(dataset.images)
        return (dataset.images if whole else dataset.images[chosen]), labels
    images = torch.empty(len(chosen), 3, size, size, dtype=torch.uint8)
    for start in range(0, len(chosen), _CHUNK):
        part = dataset.images[chosen[start : start + _CHUNK]].float()
        small = interpolate(part, size=(size, size), mode="bicubic", antialias=True)
        images[start : start + _CHUNK] = small.round().clamp(0, 255).to(torch.uint8)
    return images, labels


def indices(count: int, position: int, batch: int, seed: int) -> Tensor:
    """int64 [batch]: photos number position … position + batch − 1 of the endless stream of shuffled epochs.

    Raises UsageError where count is 0.
    """
    if count < 1:
        raise UsageError("The dataset has no photos to train on: prepare it with fewer --holdout")
    epoch, start = divmod(position, count)
    parts = []
    while batch > 0:
        parts.append(_order(count, epoch, seed)[start : start + batch])
        batch -= len(parts[-1])
        epoch, start = epoch + 1, 0
    return torch.cat(parts) if parts else torch.empty(0, dtype=torch.int64)


@lru_cache(maxsize=2)
def _order(count: int, epoch: int, seed: int) -> Tensor:
    """int64 [count]: a permutation of 0 … count − 1, a function of (count, epoch, seed) alone."""
    shuffled = np.random.Generator(np.random.Philox(np.random.SeedSequence((seed, epoch)))).permutation(count)
    return torch.from_numpy(shuffled)


def _facts(folder: Path) -> dict[str, Any]:
    """dataset.json, checked field by field."""
    path = folder / FACTS
    name = safe(str(path))
    recover(folder)
    if path.is_file() and not (folder / IMAGES).exists() and not is_dataset(folder):
        raise UsageError(
            f"{safe(str(folder))} is not a dataset of fewgan, its {FACTS} is damaged or another program's: make "
            "one with fewgan prepare PHOTOS"
        )
    try:
        if path.exists():
            regular(path)
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        photos = safe(command(str(folder))) if folder.exists() else "PHOTOS"
        raise UsageError(f"{safe(str(folder))} is not a dataset: make one with 'fewgan prepare {photos}'") from None
    except (ValueError, OSError, RecursionError) as error:
        if what := signatures.instead(path, signatures.JSON):
            raise UsageError(f"{name} is {what}; if the file is lost, run fewgan prepare again") from None
        raise UsageError(f"{name} cannot be read ({' '.join(str(error).split())}): run fewgan prepare again") from None
    if isinstance(facts, dict) and isinstance(facts.get("format"), int) and facts["format"] > FORMAT:
        raise UsageError(f"{name} was written by fewgan {facts.get('fewgan', 'of a later version')}: update fewgan")
    try:
        _check_facts(facts)
    except ValueError as error:
        raise UsageError(f"{name} is damaged ({error}): run fewgan prepare again") from None
    checked: dict[str, Any] = facts
    return checked


def _check_facts(facts: Any) -> None:
    """Raises ValueError saying what is wrong."""
    kinds = {"format": int, "count": int, "size": int, "classes": list, "fingerprint": str, "images": list}
    for key, kind in kinds.items():
        if not isinstance(facts, dict) or type(facts.get(key)) is not kind:
            raise ValueError(f"{key} is missing or of a wrong type")
    classes, images = facts["classes"], facts["images"]
    if min(facts["format"], facts["count"], facts["size"]) < 1:
        raise ValueError("format, count and size are 1 or more")
    if not all(isinstance(name, str) for name in classes) or len(set(classes)) < len(classes):
        raise ValueError("classes are names, each once")
    aspect = facts.get("aspect", 1.0)  # version 0.1 wrote none
    if not isinstance(aspect, int | float) or not 0.01 <= aspect <= 100:
        raise ValueError("aspect is no width by height")
    if len(images) != facts["count"]:
        raise ValueError(f"count is {facts['count']}, but {len(images)} images are listed")
    for number, image in enumerate(images):
        row = image if isinstance(image, dict) else {}
        if not isinstance(row.get("name"), str) or not isinstance(row.get("held_out"), bool):
            raise ValueError(f"image {number} lacks its name or held_out")
        if type(row.get("label")) is not int or not 0 <= row["label"] < max(1, len(classes)):
            raise ValueError(f"image {number} has a label outside the {len(classes)} classes")
