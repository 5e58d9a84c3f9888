"""Where the results of `fewgan fid` lie: apart by their settings, the newest ones above."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from fewgan.errors import UsageError
from fewgan.files import fingerprint, replacing, shortened, write_json
from fewgan.sampling.imagefile import save_sheet
from fewgan.scoring import page, scores
from fewgan.scoring.extract import Pictures
from fewgan.scoring.neighbours import NearestNeighbours
from fewgan.scoring.scores import Report
from fewgan.scoring.sides import Variation

LONGEST = 150  # bytes of a folder's name
EVER_WRITTEN = ("nearest.png", "sweep.csv", "sweep.png", "snapshots.csv", "snapshots.png")


def settings(
    *,
    features: str,
    count: int,
    truncations: Sequence[float],
    snapshots: bool,
    seed: int | None,
    standing_stats: int,
    pictures: Path | None,
    against: Path | None,
) -> str:
    """A folder's name that tells the settings of a score apart: inception-5000-t0.5-seed0.

    It ends with a hash of the paths of `pictures`, where these are scored and no generator, and of `against`, because
    many folders are called samples or photos, or of a name that is cut.
    """
    parts = [features, str(count)]
    parts += ["t" + "-".join(f"{truncation:.12g}" for truncation in truncations)] if truncations else []
    parts += ["snapshots"] if snapshots else []
    parts += [f"seed{seed}"] if seed is not None else []
    parts += [f"stats{standing_stats}"] if standing_stats else []
    parts += [f"against-{against.resolve().name}"] if against is not None else []
    whole = "-".join(parts)
    if against is None and pictures is None and len(os.fsencode(whole)) <= LONGEST:
        return shortened(whole, LONGEST)
    told_apart = f"{whole}\0{against and against.resolve()}" + (f"\0{pictures.resolve()}" if pictures else "")
    return f"{shortened(whole, LONGEST - 7)}-{fingerprint(told_apart)}"


def names(variations: Sequence[Variation]) -> list[str]:
    """The files of a command that scores these."""
    found = ["scores.json", "nearest.png"]
    if variations[0].step is not None:
        found += ["snapshots.csv", "snapshots.png"]
    elif len(variations) > 1:
        found += ["sweep.csv", "sweep.png"]
    return found


def refuse_inside(folder: Path, pictures: Sequence[Path | None]) -> None:
    """Raises UsageError where the results would lie among the pictures, which would be fewgan's own from then on."""
    for place in pictures:
        if place is not None and folder.resolve().is_relative_to(place.resolve()):
            raise UsageError(f"--out {folder}: is in {place}, whose pictures are scored; give a folder outside it")


def refuse_to_overwrite(folder: Path, names: Sequence[str]) -> None:
    """Raises UsageError where one of the files is there already, and not from fewgan."""
    with suppress(OSError, ValueError, TypeError):
        if {"format", "score_name", "rows"} <= set(json.loads((folder / "scores.json").read_text(encoding="utf-8"))):
            return
    for name in names:
        if (folder / name).exists():
            raise UsageError(
                f"{folder / name}: not made by fewgan and would be overwritten; give another place with --out"
            )


def write(report: Report, neighbours: NearestNeighbours, photos: Pictures, *, kept: bool) -> None:
    """Writes the files. kept: into the settings' folder, and the newest ones' folder has copies of them."""
    newest = report.files[0].parent
    _remove_older(newest, [path.name for path in report.files])
    for path in report.files:
        _write_one(newest / report.settings / path.name if kept else path, report, neighbours, photos)
    if kept:
        for path in report.files:
            with replacing(path) as temporary:
                shutil.copyfile(newest / report.settings / path.name, temporary)


def _write_one(path: Path, report: Report, neighbours: NearestNeighbours, photos: Pictures) -> None:
    if path.suffix == ".csv":
        scores.write_table(path, report.rows)
    elif path.name == "nearest.png":
        kind = "training photos" if report.own_photos else f"pictures of {photos.name}"
        title = f"{report.target}: samples beside the {kind} nearest in feature space"
        save_sheet(path, page.draw(neighbours, photos, title=title, photo=report.photo))
    elif path.suffix == ".png":
        title = f"{report.target}: {path.stem}, {report.main.count} pictures each"
        scores.write_curve(path, report, title=title)
    else:
        write_json(path, report.as_dict())


def _remove_older(folder: Path, names: Sequence[str]) -> None:
    """Removes the files that an earlier command wrote and this one does not, so that none lies beside its scores."""
    with suppress(OSError, ValueError, AttributeError, TypeError):
        listed = json.loads((folder / "scores.json").read_text(encoding="utf-8")).get("files")
        older = {Path(str(name)).name for name in listed} & set(EVER_WRITTEN)
        for name in sorted(older - set(names)):
            (folder / name).unlink(missing_ok=True)
