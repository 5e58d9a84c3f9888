"""The command: photos in, side-by-side pictures and a file of latents out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

import fewgan
from fewgan import registry
from fewgan.device import resolve
from fewgan.files import shortened, writable
from fewgan.photos.decode import WHITE
from fewgan.photos.found import Refusal
from fewgan.photos.ranges import Ranges
from fewgan.photos.squares import Square, square
from fewgan.plugin import UsageError
from fewgan.sampling import imagefile, stored
from fewgan.sampling.sample import choose_classes
from fewgan.screen import Screen, command
from fewgan_project import projection

if TYPE_CHECKING:
    from fewgan_project import Options

GROUP = 8
"""Photos that are projected at a time."""
CROPS = ("center", "fit", "stretch")
PREFERRED = ("efficientnet", "random")


@dataclass(frozen=True)
class Photo:
    """photo: as it was named. picture: photo and projection side by side. distance, start: at the end, and before."""

    photo: str
    picture: str
    distance: float
    start: float


@dataclass(frozen=True)
class Projected:
    """What was written into `folder`: a picture a photo, and the file of latents with a row a photo."""

    folder: Path
    latents: Path
    model: str
    space: str
    features: str
    photos: list[Photo]
    seconds: float

    def text(self) -> str:
        rows = [f"{one.picture}  distance {one.distance:.3f}, at the start {one.start:.3f}" for one in self.photos]
        photos = "1 photo" if len(rows) == 1 else f"{len(rows)} photos"
        return "\n".join([f"{self.folder}: {photos} in {self.space}, by {self.features} features", *rows])


def project_photos(options: Options, screen: Screen) -> Projected:
    """Projects the photos. Raises UsageError for what cannot be served, before the first step."""
    started = time.monotonic()
    _check_choice("--space", options.space, projection.SPACES)
    if options.crop is not None:
        _check_choice("--crop", options.crop, CROPS)
    target = resolve(options.device)
    model = fewgan.load(options.run, screen).to(target)
    try:
        space = projection.space_of(model, options.space)
    except ValueError as error:
        raise UsageError(f"--space {options.space}: {error}") from None
    labels = _labels(options, model)
    crop = options.crop or str(model.config.get("crop", CROPS[0]))
    squares = _squares(options.photos, model, crop, screen)
    folder = Path(options.out) if options.out is not None else Path("projections") / model.name
    names = [f"{index:06d}-{shortened(Path(path).stem, 60)}.png" for index, path in enumerate(options.photos)]
    imagefile.refuse_to_overwrite(folder, names, {})
    known = {"model": model.name, "photos": [Path(path).name for path in options.photos]}
    known["hash"] = _hash(squares, options, space, model)
    stored.refuse_to_overwrite(folder / stored.LATENTS, known)
    writable(folder)
    network, maps = _maps(options.features, target)

    parts: list[projection.Projection] = []
    with screen.progress("Projecting", options.steps * -(-len(squares) // GROUP), "steps") as advance:
        for first in range(0, len(squares), GROUP):
            parts.append(
                projection.project(
                    model, squares[first : first + GROUP].to(target).float() / 127.5 - 1, maps, space=space,
                    steps=options.steps, rate=options.rate, pixels=options.pixels,
                    labels=None if labels is None else labels[first : first + GROUP], seed=options.seed,
                    advance=advance,
                )
            )  # fmt: skip
    latents = {name: torch.cat([part.latents[name] for part in parts]) for name in parts[0].latents}
    file = folder / stored.LATENTS
    facts = {**known, "space": space, "features": network}
    stored.write(file, latents, facts)
    made = torch.cat(list(stored.pictures(model, stored.read(file), seed=0)))
    photos = []
    distances, starts = (torch.cat([getattr(part, name) for part in parts]) for name in ("distances", "starts"))
    for index, (name, path) in enumerate(zip(names, options.photos, strict=True)):
        both = imagefile.grid(imagefile.shaped(torch.stack([squares[index], made[index]]), model.config), 2)
        imagefile.save_picture(folder / name, both, "png", {**facts, "photo": index})
        photos.append(Photo(path, name, float(distances[index]), float(starts[index])))
    place = [] if options.run is None else [options.run]
    more = ["--interpolate"] if len(photos) > 1 else []
    screen.note(f"Next: {command('fewgan', 'sample', *place, '--latents', str(file), *more)}")
    return Projected(folder, file, model.name, space, network, photos, time.monotonic() - started)


def _check_choice(flag: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise UsageError(f"{flag} {value}: unknown; choose {', '.join(known[:-1])} or {known[-1]}")


def _maps(name: str | None, device: torch.device) -> tuple[str, projection.Maps]:
    """The name of a feature network and its maps. Raises UsageError for one that gives none."""
    if name is None:
        name = next(one for one in PREFERRED if registry.find("features").get(one))
    network: Any = registry.choose("features", name).build()
    if not hasattr(network, "maps"):
        raise UsageError(f"--features {name}: gives no feature maps; choose another, such as random")
    return name, network.to(device).eval().requires_grad_(False).maps


def _labels(options: Options, model: Any) -> list[int] | None:
    """The label of each photo, None: the nearest."""
    if options.classes is None:
        return None
    chosen = choose_classes(options.classes, model)
    return [chosen[index % len(chosen)] for index in range(len(options.photos))]


def _squares(photos: Sequence[str], model: Any, crop: str, screen: Screen) -> Tensor:
    """uint8 [N, 3, size, size], made as `fewgan prepare` makes them: 12 bits in 16 are seen from all photos."""
    # Of a generator that learned squeezed photos; for others, each photo is squeezed as it is.
    aspect = model.config.get("aspect") if model.config.get("crop") == "stretch" else None
    read = partial(_photo, size=model.generator.size, crop=crop, aspect=aspect)
    found, ranges = [read(path) for path in photos], Ranges()
    for one in found:
        ranges.add(one.span, one.colour)
    if ranges.white < WHITE:
        found = [read(path, white=ranges.white) for path in photos]
    for warning in ranges.warnings():
        screen.warn(warning)
    return torch.stack([torch.from_numpy(one.pixels) for one in found])


def _photo(path: str, *, size: int, crop: str, aspect: float | None, white: int = WHITE) -> Square:
    """Raises UsageError for what is no photo, or too small."""
    if not Path(path).is_file():
        raise UsageError(f"{path}: no such file; name photos, not folders")
    found = square(path, Path(path).resolve(), size, crop, white=white, aspect=aspect)
    if isinstance(found, Refusal):
        raise UsageError(f"{path}: cannot be projected: {found.reason}")
    return found


def _hash(squares: Tensor, options: Options, space: str, model: Any) -> str:
    """Tells apart what is projected, how, and of which generator, so that other latents are not overwritten."""
    how = {**vars(options), "photos": None, "out": None, "run": None, "device": None, "space": space}
    how |= {name: model.config.get(name) for name in ("fingerprint", "step")}
    return blake2b(f"{sorted(how.items())}".encode() + squares.numpy().tobytes(), digest_size=8).hexdigest()
