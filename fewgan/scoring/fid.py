"""`fewgan fid`: how close pictures come to photos in feature space, how diverse they are, whether they are copies."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fewgan import distributed, registry, run
from fewgan.device import resolve
from fewgan.errors import UsageError
from fewgan.files import fingerprint, writable
from fewgan.plugin import Features
from fewgan.registry import Choice
from fewgan.sampling.latent import check_seed, check_truncation
from fewgan.scoring import distances, files, manifold, sides
from fewgan.scoring.extract import Pictures, extract, mirrored
from fewgan.scoring.neighbours import NearestNeighbours, ReferenceSet
from fewgan.scoring.scorer import Scorer
from fewgan.scoring.scores import DENSE_K, K, Report, Row, main_row, real_pictures
from fewgan.scoring.sides import Subject, Variation
from fewgan.screen import Screen, counted

FEW_PICTURES = 500


@dataclass(frozen=True)
class Scored:
    """A variation's rows, one for each set of real pictures, and its samples' nearest photos."""

    variation: Variation
    rows: list[Row]
    neighbours: NearestNeighbours


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
    standing_stats: int = 0,
    out: Path | None = None,
    screen: Screen,
) -> Report:
    """Scores a run, a generator or a folder of pictures against real pictures, and writes the results.

    target: a run, a generator.safetensors, a foreign folder, a known name such as embedded, hf:owner/name, or pictures
    (folder, zip, tar); None: the latest run.
    against: a dataset or pictures; None: the run's dataset. Training photos and held-out photos of a dataset are scored
    against apart. Both sides have the size of the scored pictures, as far as the real ones are large enough. count:
    pictures to make; of a folder or a dataset, to take at most. truncations: None or empty for none; several are a
    sweep. snapshots: every kept generator of a run. features: a plugin's choice, or a built module. out: a folder for
    the results.

    Writes scores.json, nearest.png, and for several rows sweep.csv and .png or snapshots.csv and .png, to `out`. By
    default to <run>/fid/<settings>, or ./fid-<name>/<settings> where there is no run, so that every combination of
    features, count, truncation, seed and so on has its own; the folder above holds a copy of the newest ones.
    Pictures are made once and never kept, so memory is that of the features. Raises UsageError for what cannot be
    scored, FewganError where scoring fails.
    """
    started = time.monotonic()
    truncations = sorted(set(truncations or ()))
    _check(count, truncations, snapshots, seed, standing_stats)
    device = resolve(device) if isinstance(device, str) else device
    distributed.bind(device)
    with ExitStack() as stack:
        target = run.latest() if target is None else Path(target)
        subject = sides.subject(target, count, against, stack, screen=screen)
        variations = sides.variations(subject, truncations, snapshots, standing_stats)
        real = sides.real(subject, against, stack, screen=screen)
        if out is not None:
            files.refuse_inside(out, [against, target if subject.pictures is not None else None])
        folder = writable(subject.out if out is None else out)
        files.refuse_to_overwrite(folder, files.names(variations))
        scorer = Scorer.of(features, device)
        cached = partial(scorer.reference, device=device, screen=screen)
        known = [cached(pictures) for pictures in real]
        # A generator may copy what training showed it, mirror images of the photos included.
        flipped = cached(mirrored(real[0])) if sides.trained_flipped(subject, real[0], against) else None
        photos = ReferenceSet.of(known[0], known[1] if len(known) > 1 else None, flipped)
        count = count if subject.pictures is None else subject.pictures.count

        def one(variation: Variation) -> Scored:
            neighbours = NearestNeighbours(photos, count)
            groups = partial(
                sides.groups,
                subject,
                variation,
                seed=seed,
                standing_stats=standing_stats,
                device=device,
                screen=screen,
            )
            see, label = neighbours.see, str(variation)
            made = extract(scorer, groups, count, device=device, label=label, screen=screen, see=see)
            neighbours.join()
            if distributed.rank() > 0:
                return Scored(variation, [], neighbours)
            mirrors = [flipped, *[None] * len(real)]
            told = replace(variation, step=sides.step_of(subject, variation))
            rows = [_row(made, *both, told) for both in zip(known, mirrors, real, strict=False)]
            return Scored(variation, rows, neighbours)

        scored = [one(variation) for variation in variations]
        distributed.exit_other_ranks()
        rows = tuple(row for some in scored for row in some.rows)
        main = main_row(rows)
        best = next(some for some in scored if main in some.rows)
        taught = scorer.is_among(sides.learned_from(subject))
        report = Report(
            target=subject.name,
            settings=files.settings(
                features=_named(scorer.name, features),
                count=count,
                truncations=truncations,
                snapshots=snapshots,
                seed=None if subject.model is None else seed,
                standing_stats=standing_stats,
                pictures=None if subject.pictures is None else target,
                against=against,
            ),
            features=scorer.name,
            identity=scorer.identity,
            score_name=scorer.module.score_name,
            rows=rows,
            memorising=best.neighbours.result(),
            generator=_generator(subject, best.variation),
            seed=seed,
            standing_stats=standing_stats,
            notes=tuple(_few(scored[0].rows)),
            not_comparable=_not_comparable(scorer.name) if taught else None,
            own_photos=sides.are_own(subject, real[0]),
            files=tuple(folder / file for file in files.names(variations)),
            seconds=time.monotonic() - started,
        )
        for note in report.notes:
            screen.note(note)
        files.write(report, best.neighbours, real[0], kept=out is None)
        return report


def _check(count: int, truncations: Sequence[float], snapshots: bool, seed: int, standing_stats: int) -> None:
    check_seed(seed)
    if not count >= 2:
        raise UsageError(f"--count {count}: give 2 or more; published scores use 5000")
    for truncation in truncations:
        check_truncation(truncation)
    if snapshots and len(truncations) > 1:
        raise UsageError("--snapshots takes one number of --truncation at most; leave --snapshots out to sweep")
    if standing_stats < 0:
        raise UsageError(f"--standing-stats {standing_stats}: give a number of batches, such as 16")


def _named(name: str, features: Choice | Features) -> str:
    """The name of the features with the options that are not the default: efficientnet-variant1."""
    if not isinstance(features, Choice):
        return name
    defaults = features.plugin()[0].options()
    changed = {key: value for key, value in features.options.items() if value != getattr(defaults, key, None)}
    return "-".join([name, *(f"{key}{_worded(value)}" for key, value in changed.items())])


def _worded(value: Any) -> str:
    """A value in a folder's name. Of a file its name, and a hash of its path where it lies in another folder."""
    if not isinstance(value, str):
        return str(value)
    place = Path(value)
    elsewhere = place.parent != Path()
    return place.stem + (f"-{fingerprint(str(place.absolute()))}" if elsewhere else "")


def _row(made: Tensor, photos: Tensor, flipped: Tensor | None, side: Pictures, variation: Variation) -> Row:
    kernel = distances.kid(photos, made)
    covered = manifold.coverage(photos, made, k=K, dense_k=DENSE_K)
    return Row(
        against=side.name,
        truncation=variation.truncation,
        step=variation.step,
        frechet_distance=distances.frechet(photos, made),
        kid=kernel.mean,
        kid_deviation=kernel.deviation,
        kid_full=kernel.full,
        precision=covered.precision,
        recall=covered.recall,
        density=covered.density,
        coverage=covered.coverage,
        authentic=manifold.authentic(photos, made, flipped),
        vendi_ratio=manifold.vendi_ratio(photos, made),
        count=len(made),
        real_count=len(photos),
    )


def _few(rows: Sequence[Row]) -> Iterator[str]:
    few = [real_pictures(row.against, row.real_count) for row in rows if row.real_count < distances.FEW_PHOTOS]
    if rows[0].count < FEW_PICTURES:
        few.append(counted(rows[0].count, "picture"))
    if few:
        yield f"With {' and '.join(few)} the Fréchet distance is biased upwards; prefer KID, which is unbiased"


def _not_comparable(name: str) -> str:
    others = [f"--features {other}" for other in sorted(registry.find("features")) if other != name]
    return (
        f"Not comparable with other runs: D learned from the same weights as the {name} features, so these scores "
        f"favour its G; score with another network: {', '.join([*others, f'or one that an option of {name} chooses'])}"
    )


def _generator(subject: Subject, variation: Variation) -> Path | None:
    return variation.file or (subject.model.path if subject.model is not None else None)
