"""The two sides of a comparison: the pictures that are scored, and the real ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from fewgan import run
from fewgan.errors import UsageError
from fewgan.files import fitting
from fewgan.photos import dataset
from fewgan.photos.dataset import Dataset
from fewgan.photos.kinds import pictured
from fewgan.photos.place import is_dataset
from fewgan.sampling import generate
from fewgan.scoring.extract import Pictures, of_tensor, thinned
from fewgan.scoring.folder import Cut, of_folder
from fewgan.scoring.scores import real_pictures
from fewgan.screen import Screen, safe
from fewgan.sources import hub, known
from fewgan.sources import load as source
from fewgan.sources.files import is_weights
from fewgan.sources.model import Model


@dataclass(frozen=True)
class Subject:
    """What is scored: a model, or pictures. size: their side in pixels. out: the default folder for results.

    cut: how its squares were made, which the real pictures share.
    """

    name: str
    size: int
    out: Path
    model: Model | None = None
    pictures: Pictures | None = None
    cut: Cut = field(default_factory=Cut)


@dataclass(frozen=True)
class Variation:
    """One set of pictures of the subject. file: a kept generator, None for the subject itself."""

    truncation: float | None = None
    step: int | None = None
    file: Path | None = None

    def __str__(self) -> str:
        step = f" of step {self.step}" if self.step is not None else ""
        return f"Pictures{step}" + (f" at truncation {self.truncation:g}" if self.truncation is not None else "")


def subject(target: Path, count: int, against: Path | None, stack: ExitStack, *, screen: Screen) -> Subject:
    """What `target` is: a run, a generator, a foreign folder, a dataset, or pictures in a folder, a zip or a tar.

    A known name or hf:owner/name is a generator, as it is for `sample`; a folder of that name has to be given with its
    full path. count: the most pictures to take from a dataset or a folder, whose squares are made as those of the
    dataset `against`. Raises UsageError where it is none of these.
    """
    if hub.is_place(target) or known.is_name(target):
        if target.exists():
            screen.note(f"{target}: the pretrained GAN of this name; for the folder, give its full path")
        named = source.load(target, screen)
        return Subject(named.name, named.generator.size, _here(named.name), named, cut=Cut.of(named.config))
    known.locate(target)  # says what is known by name, where nothing is there
    inside = [path.name for path in target.iterdir()] if target.is_dir() else [target.name]
    if is_dataset(target):
        data = dataset.load(target)
        photos, name = thinned(_of_dataset(data, None, screen)[0], count), target.resolve().name
        return Subject(name, photos.size, _here(name), pictures=photos, cut=_cut(data))
    if (model := _model(target, inside, screen)) is not None:
        return Subject(model.name, model.generator.size, _beside(target, model.name), model, cut=Cut.of(model.config))
    cut = _cut(dataset.load(against)) if against is not None and is_dataset(against) else Cut()
    pictures = of_folder(target, stack, screen=screen, cut=cut, count=count)
    return Subject(pictures.name, pictures.size, _here(pictures.name), pictures=pictures, cut=cut)


def _cut(data: Dataset) -> Cut:
    return Cut(data.crop, data.aspect)


def _model(target: Path, inside: Sequence[str], screen: Screen) -> Model | None:
    """The generator at `target`, None where pictures are. Anything may lie beside pictures, weight files too."""
    is_run = run.GENERATOR in inside or any(map(run.is_run, (target, *run.runs_in(target))))
    weights = [name for name in inside if is_weights(name)]
    if not is_run and not weights:
        return None
    try:
        return source.load(target, screen)
    except UsageError:
        if is_run or not any(map(pictured, inside)):
            raise
    screen.note(f"{safe(weights[0])} is no generator that fewgan can read; the pictures beside it are scored")
    return None


def variations(subject: Subject, truncations: Sequence[float], snapshots: bool, standing_stats: int) -> list[Variation]:
    """Every set of pictures to score. Raises UsageError for an option that the subject cannot serve."""
    if subject.model is None:
        asked = {"--truncation": truncations, "--snapshots": snapshots, "--standing-stats": standing_stats}
        for option, value in asked.items():
            if value:
                raise UsageError(f"{option} needs a generator, and {subject.name} holds pictures; leave it out")
        return [Variation()]
    generate.check_served(subject.model, truncation=max(truncations, default=None), standing_stats=standing_stats)
    if not snapshots:
        return [Variation(truncation) for truncation in truncations] or [Variation()]
    folder = subject.model.path
    kept = run.kept_generators(folder) if folder.is_dir() else []
    if not kept and not folder.is_dir():
        hint = f", such as {_run_folder(folder)}" if run.is_run(_run_folder(folder)) else ""
        raise UsageError(f"{folder}: is one generator; --snapshots takes a run{hint}")
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
    """Pictures first … stop − 1 of a variation, uint8 [n, 3, H, W] a group, generated lazily; none if first == stop.

    first: a multiple of the generator's group size.
    """
    if subject.pictures is not None:
        yield from subject.pictures.groups(first, stop)
        return
    model = source.load(variation.file) if variation.file is not None else subject.model
    if model is None:
        return
    model.to(device)
    if standing_stats:
        generate.standing_statistics(model, standing_stats, truncation=variation.truncation, seed=seed, screen=screen)
    # Standing statistics are collective, so a process without a share computes them as well.
    if first < stop:
        yield from generate.pictures(model, stop, first=first, truncation=variation.truncation, seed=seed)


def real(subject: Subject, against: Path | None, stack: ExitStack, *, screen: Screen) -> list[Pictures]:
    """The real pictures: training photos and, where there are any, held-out ones; or the pictures in a folder.

    They are reduced to the size of the subject's pictures; smaller ones keep their own. Raises UsageError where there
    are none, or too few, to compare with.
    """
    if against is None:
        data = _own(subject, screen)
        found = _of_dataset(data, subject.size, screen)
    elif is_dataset(against):
        data = dataset.load(against)
        found = _of_dataset(data, subject.size, screen)
        known = subject.model is None or "crop" in subject.model.config  # foreign ones do not say
        if known and not subject.cut.like(_cut(data)):
            screen.warn(
                f"{safe(str(against))} was prepared with --crop {data.crop}, the scored pictures with --crop "
                f"{subject.cut.crop}, or for another shape: the scores include the difference in shape"
            )
    else:
        found = [of_folder(against, stack, screen=screen, cut=subject.cut, largest=subject.size)]
    if found[0].count < 2:
        there = real_pictures(found[0].name, found[0].count)
        raise UsageError(f"a distance needs at least 2 real pictures, and there is {there}; name others with --against")
    if subject.pictures is not None and subject.pictures.count < 2:
        raise UsageError(f"{subject.name}: a distance needs at least 2 pictures, there is {subject.pictures.count}")
    if found[0].size < subject.size:
        sizes = f"the real pictures have {found[0].size} px, the scored ones {subject.size} px"
        screen.warn(f"{sizes}: the scores include the difference in sharpness")
    return found


def are_own(subject: Subject, real: Pictures) -> bool:
    """Whether these are the photos that the generator was trained on."""
    config = subject.model.config if subject.model is not None else {}
    return real.fingerprint is not None and real.fingerprint == config.get("fingerprint")


def trained_flipped(subject: Subject, real: Pictures, against: Path | None) -> bool:
    """Whether it was trained on mirror images of these pictures too: a copy may be of one of those.

    against: where they are from, None for its dataset, whose photos may have been divided anew since.
    """
    config = subject.model.config if subject.model is not None else {}
    return (against is None or are_own(subject, real)) and bool(config.get("flip", False))


def step_of(subject: Subject, variation: Variation) -> int | None:
    """The step of the generator that is scored, None where that is not known."""
    step = subject.model.config.get("step") if subject.model is not None else None
    return variation.step if variation.step is not None else step if isinstance(step, int) else None


def learned_from(subject: Subject) -> tuple[str, ...]:
    """Identities of the pretrained weights that took part in training (`learned_from` in the run's config)."""
    found = subject.model.config.get("learned_from") if subject.model is not None else None
    return tuple(map(str, found)) if isinstance(found, list) else ()


def _own(subject: Subject, screen: Screen) -> Dataset:
    config = subject.model.config if subject.model is not None else {}
    path = config.get("data_path")
    if subject.model is None or not isinstance(path, str) or not path:
        raise UsageError(
            f"{subject.name}: has no dataset of its own; name the real pictures with --against DATASET|FOLDER"
        )
    data = dataset.of_run(config, _run_folder(subject.model.path))
    if data is None:
        raise UsageError(
            f"{path}: the dataset of {subject.name} does not exist; name real pictures with --against DATASET|FOLDER"
        )
    if data.fingerprint != config.get("fingerprint"):
        screen.warn(f"{data.folder}: {subject.name} was trained on another dataset, or on another version of this one")
    return data


def _run_folder(path: Path) -> Path:
    """The run of a run folder, a generator.safetensors, a best.safetensors or a kept generator."""
    if path.is_dir():
        return path
    return path.parent if path.name in (run.GENERATOR, run.BEST) else path.parent.parent


def _of_dataset(data: Dataset, size: int | None, screen: Screen) -> list[Pictures]:
    """The training photos, and the held-out ones if they can be compared with."""
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
    """<run>/fid for a run and its generator, <run>/fid/<step, best or last> for others of a run, else ./fid-<name>."""
    if (target / "config.json").exists() and (target / run.GENERATOR).exists():
        return target / "fid"
    if target.name == run.GENERATOR and (target.parent / "config.json").exists():
        return target.parent / "fid" / "last" if run.beside_best(target) else target.parent / "fid"
    if target.suffix == ".safetensors" and (_run_folder(target) / "config.json").exists():
        return _run_folder(target) / "fid" / target.stem
    return _here(name)


def _here(name: str) -> Path:
    return Path(fitting(f"fid-{name}"))
