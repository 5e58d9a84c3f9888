"""`fewgan fid`: how near pictures come to photos, by features: Fréchet distance, KID, precision and recall, copies."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fewgan import distributed, run
from fewgan.device import resolve
from fewgan.errors import FewganError, UsageError
from fewgan.plugin import Features
from fewgan.registry import Choice
from fewgan.sampling.latent import check_seed, check_truncation
from fewgan.scoring import distances, scores, sides
from fewgan.scoring import neighbours as memorising
from fewgan.scoring.extract import Pictures, extract, identity, reference
from fewgan.scoring.scores import Report, Row
from fewgan.scoring.sides import Subject, Variation
from fewgan.screen import Screen

FEW_PHOTOS, FEW_PICTURES = 50, 500


@dataclass(frozen=True)
class Scored:
    """A variation's rows, one for each real set, and what its samples showed."""

    variation: Variation
    rows: list[Row]
    watch: memorising.Watch


def score(
    target: Path | None = None,
    *,
    against: Path | None = None,
    count: int = 5000,
    truncations: Sequence[float] | None = None,
    snapshots: bool = False,
    seed: int = 0,
    features: Choice | Features,
    device: torch.device | str = "auto",
    batch: int | None = None,
    standing_stats: int = 0,
    out: Path | None = None,
    screen: Screen,
) -> Report:
    """Scores a run, a generator or a folder of pictures against real pictures, and writes the results.

    target: a run, a generator.safetensors, a foreign folder, or pictures (folder, zip, tar); None: the latest run.
    against: a dataset or pictures; None: the run's dataset. Of a dataset the training photos count, and the held-out
    ones apart. Both sides have the size of the scored pictures, as far as the real ones are large enough.
    count: pictures to make; of a folder, to take at most. truncations: None or empty for none; several are a sweep.
    snapshots: every kept generator of a run. features: a plugin's choice, or a built module. batch: pictures at once
    in the features. out: default <run>/fid, or ./fid-<name> where there is no run.

    Writes scores.json, nearest.png, and for several rows sweep.csv and .png or snapshots.csv and .png. Pictures are
    made once and never kept, so memory is that of the features. Raises UsageError for what cannot be scored,
    FewganError where scoring fails.
    """
    started = time.monotonic()
    truncations = sorted(set(truncations or ()))
    _check(count, truncations, snapshots, seed, standing_stats)
    device = resolve(device) if isinstance(device, str) else device
    with ExitStack() as stack:
        subject = sides.subject(run.latest() if target is None else Path(target), count, stack, screen=screen)
        variations = sides.variations(subject, truncations, snapshots, standing_stats)
        real = sides.real(subject, against, stack, screen=screen)
        folder = _writable(subject.out if out is None else out)
        name, module = _built(features, device)
        key = identity(module)
        known = [reference(module, key, pictures, device=device, screen=screen, batch=batch) for pictures in real]
        yardstick = memorising.Yardstick.of(*known)
        if subject.pictures is not None:
            count = subject.pictures.count

        def one(variation: Variation) -> Scored:
            watch = memorising.Watch(yardstick, count)
            groups = partial(
                sides.groups,
                subject,
                variation,
                seed=seed,
                standing_stats=standing_stats,
                device=device,
                screen=screen,
            )
            made = extract(
                module, groups, count, device=device, label=str(variation), screen=screen, batch=batch, see=watch.see
            )
            watch.join()
            if distributed.rank() > 0:
                return Scored(variation, [], watch)
            rows = [_row(made, photos, side.name, variation) for side, photos in zip(real, known, strict=True)]
            return Scored(variation, rows, watch)

        scored = [one(variation) for variation in variations]
        distributed.exit_other_ranks()
        best = min(scored, key=lambda some: some.rows[0].frechet_distance)
        report = Report(
            target=subject.name,
            features=name,
            score_name=module.score_name,
            rows=tuple(row for some in scored for row in some.rows),
            memorising=best.watch.result(),
            generator=_generator(subject, best.variation),
            seed=seed,
            standing_stats=standing_stats,
            notes=tuple(_notes(scored[0].rows)),
            files=tuple(folder / file for file in _files(variations)),
            seconds=time.monotonic() - started,
        )
        for note in report.notes:
            screen.note(note)
        _write(report, best.watch, real[0])
        return report


def _check(count: int, truncations: Sequence[float], snapshots: bool, seed: int, standing_stats: int) -> None:
    check_seed(seed)
    if not count >= 2:
        raise UsageError(f"--count {count}: give 2 or more; published scores use 5000")
    for truncation in truncations:
        check_truncation(truncation)
    if snapshots and len(truncations) > 1:
        raise UsageError("--snapshots takes one number of --truncation at most; a sweep over several goes without it")
    if standing_stats < 0:
        raise UsageError(f"--standing-stats {standing_stats}: give a number of batches, such as 16")


def _writable(folder: Path) -> Path:
    """The folder, made; refused before the work rather than after it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FewganError(f"{folder}: cannot be made ({error.strerror}); give another place with --out") from None
    if not os.access(folder, os.W_OK):
        raise FewganError(f"{folder}: cannot be written to; give another place with --out")
    return folder


def _built(features: Choice | Features, device: torch.device) -> tuple[str, Any]:
    """The name of the features and their module, on the device, in eval mode."""
    module: Any = features
    name = type(features).__name__.lower()
    if isinstance(features, Choice):
        plugin, options = features.plugin()
        name, module = features.name, plugin.build(options)
    return name, module.to(device).eval()


def _row(made: Tensor, photos: Tensor, name: str, variation: Variation) -> Row:
    kernel = distances.kid(photos, made)
    precision, recall = distances.precision_recall(photos, made)
    return Row(
        against=name,
        truncation=variation.truncation,
        step=variation.step,
        frechet_distance=distances.frechet(photos, made),
        kid=kernel.mean,
        kid_deviation=kernel.deviation,
        kid_full=kernel.full,
        precision=precision,
        recall=recall,
        count=len(made),
        real_count=len(photos),
    )


def _notes(rows: Sequence[Row]) -> Iterator[str]:
    few = [f"{row.real_count} {row.against} photos" for row in rows if row.real_count < FEW_PHOTOS]
    if rows[0].count < FEW_PICTURES:
        few.append(f"{rows[0].count} pictures")
    if few:
        yield f"With {' and '.join(few)} the Fréchet distance is biased upwards; prefer KID, which is not"


def _generator(subject: Subject, variation: Variation) -> Path | None:
    return variation.file or (subject.model.path if subject.model is not None else None)


def _files(variations: Sequence[Variation]) -> list[str]:
    names = ["scores.json", "nearest.png"]
    if variations[0].step is not None:
        names += ["snapshots.csv", "snapshots.png"]
    elif len(variations) > 1:
        names += ["sweep.csv", "sweep.png"]
    return names


def _write(report: Report, watch: memorising.Watch, photos: Pictures) -> None:
    for path in report.files:
        if path.suffix == ".csv":
            scores.write_table(path, report.rows)
        elif path.name == "nearest.png":
            kind = "training photos" if photos.name == "train" else f"pictures of {photos.name}"
            title = f"{report.target}: samples beside the {kind} nearest in feature space"
            scores.write_picture(path, memorising.draw(watch, photos, title=title))
        elif path.suffix == ".png":
            title = f"{report.target}: {path.stem}, {report.main.count} pictures each"
            scores.write_curve(path, report.rows, score_name=report.score_name, title=title)
        else:
            run.write_json(path, report.as_dict())
