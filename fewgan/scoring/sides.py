"""The two sides of a comparison: the pictures that are scored, and the real ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from fewgan import run
from fewgan.errors import UsageError
from fewgan.photos.gather import shown
from fewgan.scoring.extract import Pictures, of_folder, of_tensor
from fewgan.screen import Screen

if TYPE_CHECKING:
    from fewgan.photos.dataset import Dataset
    from fewgan.sources.model import Model


@dataclass(frozen=True)
class Subject:
    """What is scored: a model, or pictures. size: their side. out: where results go unless told otherwise."""

    name: str
    size: int
    out: Path
    model: Model | None = None
    pictures: Pictures | None = None


@dataclass(frozen=True)
class Variation:
    """One set of pictures of the subject. file: a kept generator, None for the subject itself."""

    truncation: float | None = None
    step: int | None = None
    file: Path | None = None

    def __str__(self) -> str:
        step = f" of step {self.step}" if self.step is not None else ""
        return f"Pictures{step}" + (f" at truncation {self.truncation:g}" if self.truncation is not None else "")


def subject(target: Path, count: int, stack: ExitStack, *, screen: Screen) -> Subject:
    """target: a run, a generator, a foreign folder, a dataset, or pictures in a folder, a zip or a tar.

    count: pictures to take from a folder at most. Raises UsageError where it is none of these.
    """
    from fewgan.sources import load as source

    if not target.exists():
        raise UsageError(f"{shown(str(target))}: no such file or folder; give a run or a folder of pictures")
    inside = [path.name for path in target.iterdir()] if target.is_dir() else [target.name]
    if "dataset.json" in inside:
        photos = _of_dataset(_dataset(target), None, screen)[0]
        name = target.resolve().name
        return Subject(name, photos.size, Path(f"fid-{name}"), pictures=photos)
    if {"config.json", "checkpoints"} & set(inside) or any(Path(name).suffix in source.FOREIGN for name in inside):
        model = source.load(target)
        return Subject(model.name, model.generator.size, _beside(target, model.name), model)
    pictures = of_folder(target, stack, screen=screen, count=count)
    return Subject(pictures.name, pictures.size, Path(f"fid-{pictures.name}"), pictures=pictures)


def variations(subject: Subject, truncations: Sequence[float], snapshots: bool, standing_stats: int) -> list[Variation]:
    """Every set of pictures to score. Raises UsageError for a request that the subject cannot serve."""
    if subject.model is None:
        asked = {"--truncation": truncations, "--snapshots": snapshots, "--standing-stats": standing_stats}
        for option, value in asked.items():
            if value:
                raise UsageError(f"{option} needs a generator, and {subject.name} holds pictures; leave it out")
        return [Variation()]
    if not snapshots:
        return [Variation(truncation) for truncation in truncations] or [Variation()]
    folder = subject.model.path
    kept = run.kept_generators(folder) if folder.is_dir() else []
    if not kept:
        raise UsageError(f"{folder}: no kept generators; --snapshots needs a run trained with --keep-generators")
    return [Variation(truncations[0] if truncations else None, step, file) for step, file in kept]


def groups(
    subject: Subject,
    variation: Variation,
    first: int,
    stop: int,
    *,
    seed: int,
    standing_stats: int,
    device: torch.device,
    screen: Screen,
) -> Iterator[Tensor]:
    """Pictures first … stop − 1 of a variation, uint8 [n, 3, H, W] a group, made as they are asked for.

    first: a multiple of 16.
    """
    if subject.pictures is not None:
        yield from subject.pictures.groups(first, stop)
        return
    from fewgan.sampling import generate
    from fewgan.sources import load as source

    model = source.load(variation.file) if variation.file is not None else subject.model
    if model is None:
        return
    model.to(device)
    if standing_stats:
        generate.standing_statistics(model, standing_stats, truncation=variation.truncation, seed=seed, screen=screen)
    yield from generate.pictures(model, stop, first=first, truncation=variation.truncation, seed=seed)


def real(subject: Subject, against: Path | None, stack: ExitStack, *, screen: Screen) -> list[Pictures]:
    """What the subject is held against: training photos and, where there are any, held-out ones; or a folder's.

    They come at the size of the subject's pictures if they are large enough, else at their own. Raises UsageError
    where there is nothing, or too little, to compare with.
    """
    if against is None:
        data = _own(subject, screen)
        found = _of_dataset(data, subject.size, screen)
    elif (against / "dataset.json").exists():
        found = _of_dataset(_dataset(against), subject.size, screen)
    else:
        found = [of_folder(against, stack, screen=screen, largest=subject.size)]
    if found[0].count < 2:
        raise UsageError(f"{found[0].name}: a distance needs at least 2 real pictures, there is {found[0].count}")
    if found[0].size < subject.size:
        sizes = f"the real pictures have {found[0].size} px, the scored ones {subject.size} px"
        screen.warn(f"{sizes}: the distance sees the difference in sharpness too")
    return found


def _own(subject: Subject, screen: Screen) -> Dataset:
    config = subject.model.config if subject.model is not None else {}
    path = config.get("data_path")
    if not isinstance(path, str):
        raise UsageError(
            f"{subject.name}: knows no dataset of its own; name the real pictures with --against DATASET|FOLDER"
        )
    if not (Path(path) / "dataset.json").exists():
        raise UsageError(
            f"{path}: the dataset of {subject.name} is gone; name real pictures with --against DATASET|FOLDER"
        )
    data = _dataset(Path(path))
    if config.get("fingerprint") != data.fingerprint:
        screen.warn(f"{path}: the dataset is not the one that {subject.name} was trained on; it has changed since")
    return data


def _dataset(folder: Path) -> Dataset:
    from fewgan.photos import dataset

    return dataset.load(folder)


def _of_dataset(data: Dataset, size: int | None, screen: Screen) -> list[Pictures]:
    """The training photos, and the held-out ones if they can be compared with."""
    from fewgan.photos import dataset

    found = []
    for name, held_out in (("train", False), ("held-out", True)):
        count = int((data.held_out == held_out).sum())
        if held_out and count < 2:
            if count:
                screen.note("One held-out photo is too few to compare with; it is left out")
            continue
        images, _ = dataset.photos(data, held_out=held_out, size=min(size or data.size, data.size))
        found.append(of_tensor(images, name, fingerprint=data.fingerprint))
    return found


def _beside(target: Path, name: str) -> Path:
    """<run>/fid for a run and its generator, <run>/fid/<step> for a kept one, ./fid-<name> for anything else."""
    if (target / "config.json").exists() and (target / run.GENERATOR).exists():
        return target / "fid"
    if target.name == run.GENERATOR and (target.parent / "config.json").exists():
        return target.parent / "fid"
    if target.suffix == ".safetensors" and (target.parent.parent / "config.json").exists():
        return target.parent.parent / "fid" / target.stem
    return Path(f"fid-{name}")
