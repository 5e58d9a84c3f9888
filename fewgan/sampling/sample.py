"""`fewgan sample`: files of pictures from a trained generator."""

from __future__ import annotations

import difflib
import itertools
import json
import re
import time
import unicodedata
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fewgan.device import resolve
from fewgan.errors import UsageError
from fewgan.files import fingerprint, fitting, writable
from fewgan.sampling import animation, generate, imagefile, stored
from fewgan.sampling.latent import check_seed, check_truncation, labels
from fewgan.screen import Screen, counted
from fewgan.sources import load as source
from fewgan.sources.model import Model

PICTURES, KEYFRAMES = 64, 8
# What a resume leaves as it is: the settings that make one run another than a second one of its name.
FIXED = (
    "out", "fingerprint", "seed", "size", "source", "architecture", "transfer", "augmentation", "regularizers", "flip",
    "loss", "planned_steps", "batch_size", "d_steps", "grad_accumulation", "lr_g", "lr_d", "orthogonal",
)  # fmt: skip
# Endings that are not written, nor meant as the name of a folder.
OTHERS = (".tif", ".tiff", ".bmp", ".avif", ".jxl", ".heic", ".ppm", ".mov", ".avi", ".mkv", ".webm", ".m4v")


@dataclass(frozen=True)
class Sampled:
    """What `sample` wrote: the names of the files in `folder`, in order. count: pictures, or keyframes of a loop."""

    folder: Path
    count: int
    files: list[str]
    seconds: float


def sample(
    path: Path | None,
    *,
    count: int | None = None,
    truncation: float | None = None,
    seed: int = 0,
    classes: str | None = None,
    latents: Path | None = None,
    grid: bool = False,
    interpolate: bool = False,
    standing_stats: int = 0,
    format: str | None = None,
    out: Path | None = None,
    device: str = "auto",
    screen: Screen,
) -> Sampled:
    """Writes pictures of a run, a generator.safetensors or a foreign folder; path None: of the latest run.

    count: None is 64 pictures, or 8 keyframes with `interpolate`. truncation: see `generate.pictures`. classes: names
    or numbers between commas, taken in turn. latents: a file of latents, a picture or keyframe each, in place of count,
    truncation and classes; see `stored`. grid: one grid.png instead of 000000.png …, each column of one class where
    `classes` are given. interpolate: one endless animation, loop.webp. standing_stats: batches to re-estimate batch
    norm over, 0 for none. format: png or jpeg; webp or gif for an animation. out: a folder, or the one file's name;
    None: ./pictures/<run>-t0.5-seed0, or ./pictures/<run>-t0.5-seed0-step400 where that holds pictures of an earlier
    step.

    The same command gives the same bytes; files of the same names are replaced if the same run and latents made them.
    Raises UsageError for what cannot be served, FewganError where a file cannot be written or the generator's values
    are not finite.
    """
    started = time.monotonic()
    given = None
    if latents is not None:
        _check_alone({"--count": count, "--truncation": truncation, "--classes": classes})
        given = stored.read(latents)
        count = given.count
    elif count is None:
        count = KEYFRAMES if interpolate else PICTURES
    check_truncation(truncation)
    check_seed(seed)
    _check(count, latents, grid=grid, interpolate=interpolate, standing_stats=standing_stats)
    kind = _kind(format, out, interpolate)
    model = source.load(path, screen).to(resolve(device))
    if given is not None:
        stored.check(given, model, screen)
    chosen = choose_classes(classes, model) if classes is not None else None
    columns = _columns(count, len(chosen)) if chosen else None
    if grid:
        one = torch.zeros(1, 3, model.generator.size, model.generator.size, dtype=torch.uint8)
        imagefile.check_grid(count, max(imagefile.shaped(one, model.config).shape[-2:]), columns)

    name = model.name if latents is None else f"{model.name}-{latents_name(latents, model.name)}"
    default = Path("pictures") / folder_name(name, truncation, seed, classes, standing_stats)
    only = "grid" if grid else "loop" if interpolate else None
    folder, names = _place(out, default, kind, count, only)
    facts = _facts(model, given) | {"seed": seed, "truncation": truncation, "standing_stats": standing_stats}
    if out is None and imagefile.step_in(folder) not in (None, facts["step"]):
        folder = folder.with_name(f"{folder.name}-step{facts['step']}")  # those of the earlier step stay
    imagefile.refuse_to_overwrite(folder, names, facts)
    writable(folder)
    paths = [folder / name for name in names]

    if standing_stats:
        generate.standing_statistics(model, standing_stats, truncation=truncation, seed=seed, screen=screen)
    if given is not None:
        groups = (stored.animation if interpolate else stored.pictures)(model, given, seed=seed)
    else:
        draw = generate.animation if interpolate else generate.pictures
        groups = draw(model, count, truncation=truncation, seed=seed, chosen=chosen)
    total, unit = (count * generate.FRAMES_EACH, "frames") if interpolate else (count, "pictures")
    shown = _shown(groups, total, unit, model, screen)
    if interpolate:
        frames = (imagefile.picture(frame) for group in shown for frame in group)
        animation.save(paths[0], frames, total, kind, {**facts, "keyframes": count, "classes": chosen})
    elif grid:
        whole = imagefile.grid(torch.cat(list(shown)), columns)
        imagefile.save_picture(paths[0], whole, kind, {**facts, "count": count, "classes": chosen})
    else:
        numbers = labels(seed, 0, count, model.generator.classes, chosen, counts=model.class_counts).tolist()
        _save_each(paths, shown, kind, facts, numbers if given is None else [None] * count)
        _tell_left_over(folder, names, screen)
    return Sampled(folder, count, names, time.monotonic() - started)


def _facts(model: Model, given: stored.Stored | None) -> dict[str, Any]:
    """What made the pictures, for their files."""
    facts: dict[str, Any] = {"model": model.name, "run": _origin(model), "step": model.config.get("step")}
    return facts if given is None else facts | {"latents": given.path.name, "latents_hash": given.fingerprint}


def _origin(model: Model) -> str:
    """A hash that tells models of one name apart: of a run's settings, the same after a resume, else of the weights."""
    if model.config.get("fingerprint") is None:
        return stored.fingerprint(model.generator.state_dict())
    facts = {name: model.config.get(name) for name in FIXED}
    return blake2b(json.dumps(facts, sort_keys=True).encode(), digest_size=8).hexdigest()


def _place(out: Path | None, default: Path, kind: str, count: int, only: str | None) -> tuple[Path, list[str]]:
    """The folder and the names of the files. only: the name of the one file, None for a file a picture."""
    names = [f"{only or f'{index:06d}'}{imagefile.SUFFIXES[kind]}" for index in range(1 if only else count)]
    if out is None or not _names_a_file(out):
        return out or default, names
    if len(names) > 1:
        raise UsageError(f"--out {out}: one file for {count} pictures; give a folder, or --grid, or --count 1")
    return out.parent, [out.name]


def _save_each(
    paths: list[Path], groups: Iterator[Tensor], kind: str, facts: Mapping[str, Any], classes: list[int | None]
) -> None:
    """A file a picture. classes: the class of each, None where it has none."""
    first = 0
    with ThreadPoolExecutor() as pool:  # compression lets go of the interpreter
        for group in groups:
            stills = [imagefile.picture(image) for image in group]
            part = range(first, first + len(stills))
            each = [{**facts, "index": index, "class": classes[index]} for index in part]
            list(pool.map(imagefile.save_picture, paths[part.start : part.stop], stills, itertools.repeat(kind), each))
            first = part.stop


def choose_classes(text: str, model: Model) -> list[int]:
    """Class names or numbers between commas -> numbers, in the order given; a name comes before a number.

    A name may hold commas: the longest one is taken.

    Raises UsageError for one that the model does not have.
    """
    number, names = model.generator.classes, [unicodedata.normalize("NFC", name) for name in model.classes]
    if number <= 1:
        raise UsageError(f"--classes {text}: this generator has no classes to choose from; leave it out")
    chosen = []
    parts = unicodedata.normalize("NFC", text).split(",")
    while parts:
        longer = (",".join(parts[:length]) for length in range(len(parts), 0, -1))
        either = (name for whole in longer for name in (whole, whole.strip()))  # a name may end in a blank
        part = next((name for name in either if name in names), parts[0].strip())
        parts = parts[part.count(",") + 1 :]
        if part in names:
            chosen.append(names.index(part))
        elif part.isdecimal() and int(part) < number:
            chosen.append(int(part))
        else:
            nearest = difflib.get_close_matches(part, names, 1)
            hint = f", did you mean {nearest[0]}?" if nearest else ";"
            known = [*names[:10], *(["…"] if len(names) > 10 else []), f"numbers 0 to {number - 1}"]
            raise UsageError(f"--classes {text}: no class {part!r}{hint} there are {', '.join(known)}")
    return chosen


def folder_name(model: str, truncation: float | None, seed: int, classes: str | None, standing_stats: int) -> str:
    """<model>-t0.5-seed0, and what else would make the same numbers mean other pictures."""
    name = model
    if truncation is not None:
        name += f"-t{truncation:.12g}"
    name += f"-seed{seed}"
    if classes is not None:
        parts = [part.strip() for part in classes.split(",")]
        words = "+".join(re.sub(r"[^\w.-]+", "_", part) for part in parts)
        told = words == "+".join(parts) and len(words) <= 60  # other classes have another name
        name += f"-{words}" if told else f"-{words[:50]}-{fingerprint(','.join(parts))}"
    if standing_stats:
        name += f"-standing{standing_stats}"
    return fitting(name)


def latents_name(path: Path, model: str) -> str:
    """What a file of latents is called in a folder's name: its folder, if it has the name that project gives it.

    That of a folder named after the model, which stands there already, is `latents`.
    """
    folder = path.absolute().parent.name
    name = folder if path.stem == "latents" and folder != model else path.stem
    return re.sub(r"[^\w.-]+", "_", name)[:60]


def _check_alone(others: Mapping[str, object]) -> None:
    for flag, value in others.items():
        if value is not None:
            raise UsageError(f"{flag} and --latents: give one of them; the file says which pictures are made")


def _check(count: int, latents: Path | None, *, grid: bool, interpolate: bool, standing_stats: int) -> None:
    if interpolate and count < 2:
        given = f"--count {count}:" if latents is None else f"--latents {latents}: holds {counted(count, 'picture')};"
        raise UsageError(f"{given} --interpolate leads through 2 pictures or more")
    if count < 1:
        raise UsageError(f"--count {count}: give 1 or more")
    if grid and interpolate:
        raise UsageError("--grid and --interpolate: give one of them")
    if standing_stats < 0:
        raise UsageError(f"--standing-stats {standing_stats}: give a number of batches, such as 16")


def _columns(count: int, classes: int) -> int:
    """Columns of a grid that is nearly square, a multiple of the number of classes where there are few."""
    square = imagefile.square(count)
    return max(1, round(square / classes)) * classes if classes <= 2 * square else square


def _kind(format: str | None, out: Path | None, animated: bool) -> str:
    """png, jpeg, webp, gif or mp4, from --format, else from the name of the file. Raises UsageError."""
    allowed = ("webp", "gif", "mp4") if animated else ("png", "jpeg")
    from_name = imagefile.KINDS.get(out.suffix.lower()) if out is not None and _names_a_file(out) else None
    kind = {"jpg": "jpeg"}.get(format.lower(), format.lower()) if format is not None else from_name or allowed[0]
    what = f"{'an animation' if animated else 'a picture'} is written as {', '.join(allowed[:-1])} or {allowed[-1]}"
    if out is not None and _names_a_file(out) and from_name not in allowed:
        with_interpolate = "" if animated or from_name is None else "; animations need --interpolate"
        raise UsageError(f"--out {out}: {what}; give it another ending{with_interpolate}")
    if kind not in allowed:
        raise UsageError(f"--format {kind}: {what}")
    if from_name is not None and from_name != kind:
        raise UsageError(f"--out {out}: its ending does not go with --format {format}; leave one of them out")
    animation.need(kind)
    return kind


def _names_a_file(out: Path) -> bool:
    """Whether it ends like a picture or a film, of whatever format, and is no folder."""
    return out.suffix.lower() in (*imagefile.KINDS, *OTHERS) and not out.is_dir()


def _shown(groups: Iterator[Tensor], total: int, unit: str, model: Model, screen: Screen) -> Iterator[Tensor]:
    """The pictures in the shape of the photos, with progress."""
    with screen.progress("Sampling", total, unit) as advance:
        for group in groups:
            yield imagefile.shaped(group, model.config)
            advance(len(group))


def _tell_left_over(folder: Path, names: list[str], screen: Screen) -> None:
    old = imagefile.left_over(folder, names)
    if old:
        others = counted(len(old), "numbered picture")
        screen.warn(f"{folder} also holds {others} of an earlier command ({old[0]} to {old[-1]})")
