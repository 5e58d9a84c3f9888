"""Latents in a file, such as `fewgan project` writes: read, checked against a generator, drawn from, walked between.

A safetensors file of one row a picture, in one of three forms:

    w [N, W] or [N, layers, W]      behind the mapping network, for a generator with `from_w`
    z [N, Z], condition [N, C]      what the generator is given
    z [N, Z], labels int64 [N]      what the mapper before the generator is given
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from fewgan import storage
from fewgan.errors import UsageError
from fewgan.sampling import generate
from fewgan.sampling.latent import eased, path_through
from fewgan.screen import safe

if TYPE_CHECKING:
    from fewgan.screen import Screen
    from fewgan.sources.model import Model

FORMS = ({"w"}, {"z", "condition"}, {"z", "labels"})
LATENTS = "latents.safetensors"
MOST = 100_000  # rows


@dataclass(frozen=True)
class Stored:
    """tensors: of one of FORMS, float32 but for labels. facts: what the file says of itself."""

    path: Path
    tensors: Mapping[str, Tensor]
    facts: Mapping[str, Any]

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.tensors)

    @property
    def count(self) -> int:
        return len(next(iter(self.tensors.values())))


def fingerprint(tensors: Mapping[str, Tensor]) -> str:
    """A hash of names, shapes and values."""
    digest = blake2b(digest_size=8)
    for name, tensor in sorted(tensors.items()):
        content = tensor.detach().cpu().contiguous().flatten().view(torch.uint8)
        digest.update(f"{name} {list(tensor.shape)}".encode() + content.numpy().tobytes())
    return digest.hexdigest()


def write(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """A file of latents of one of FORMS. facts: plain values, such as the names of photos."""
    storage.write_tensors(path, tensors, {"latents": dict(facts)})


def refuse_to_overwrite(path: Path, facts: Mapping[str, Any]) -> None:
    """Raises UsageError where the file is there already, and holds no latents with these facts among its own."""
    if not path.exists():
        return
    found = None
    with suppress(UsageError):
        found = storage.read_facts(path)[0].get("latents")
    if not isinstance(found, dict):
        raise UsageError(f"{path}: not made by fewgan and would be overwritten; give another place with --out")
    if any(found.get(name) != value for name, value in facts.items()):
        raise UsageError(f"{path}: holds other latents and would be overwritten; give another place with --out")


def read(path: Path) -> Stored:
    """The latents in a file. Raises UsageError, one line with the path, for anything else."""
    if path.is_dir() and (path / LATENTS).is_file():
        path = path / LATENTS
    if not path.is_file():
        raise UsageError(f"--latents {path}: no such file")
    shapes = storage.read_facts(path)[1]  # before anything is allocated
    rows = {shape[:1] for shape in shapes.values()}
    if set(shapes) not in FORMS or len(rows) != 1 or not (rows - {()}) or not 0 < min(rows)[0] <= MOST:
        raise UsageError(
            f"--latents {path}: holds no latents; give a safetensors file with w, or with z and condition or labels"
        )
    tensors, facts = storage.read_tensors(path)
    for name, tensor in tensors.items():
        if tensor.dtype != (torch.int64 if name == "labels" else torch.float32):
            raise UsageError(f"--latents {path}: its {name} are {tensor.dtype}; the file is damaged")
    storage.check_finite({name: tensor for name, tensor in tensors.items() if name != "labels"}, path)
    found = facts.get("latents")
    return Stored(path, tensors, found if isinstance(found, dict) else {})


def check(stored: Stored, model: Model, screen: Screen) -> None:
    """Raises UsageError for latents of another generator's form or shape; warns of those of another name."""
    generator, tensors = model.generator, stored.tensors
    needs = "w" if "w" in tensors else "labels" if model.mapper is not None else "condition"
    if "w" in tensors and not hasattr(generator, "from_w"):
        raise UsageError(f"--latents {stored.path}: are of a w space, and {model.name} has none")
    if needs not in tensors:
        raise UsageError(
            f"--latents {stored.path}: are of a generator {'without' if needs == 'labels' else 'with'} a mapper, and "
            f"{model.name} has {'one' if needs == 'labels' else 'none'}; project the photos with this one"
        )
    if "w" in tensors:
        expected, found = list(generator.w_shape), list(tensors["w"].shape[1:])
        fits = found in (expected, expected[1:])
    else:
        expected = [generator.latent_dim] + ([generator.condition_dim] if needs == "condition" else [])
        found = [size for name in ("z", "condition") if name in tensors for size in tensors[name].shape[1:]]
        fits = found == expected
    if fits and needs == "labels":
        fits = bool(((tensors["labels"] >= 0) & (tensors["labels"] < max(generator.classes, 1))).all())
    if not fits:
        raise UsageError(
            f"--latents {stored.path}: are of another generator, {found} numbers a picture where {model.name} has "
            f"{expected}"
        )
    if (of := stored.facts.get("model", model.name)) != model.name:
        screen.warn(
            f"--latents {stored.path}: were made for {safe(str(of))}; {model.name} draws other pictures of them"
        )


def draw(model: Model, tensors: Mapping[str, Tensor]) -> Tensor:
    """images [N, 3, S, S] about [-1, 1] of latents of one of FORMS; differentiable with respect to them."""
    here = {name: tensor.to(model.device) for name, tensor in tensors.items()}
    images: Tensor
    if "w" in here:
        images = model.generator.from_w(here["w"])
    elif "labels" in here:
        images = model.generator(*model.conditions(here["z"], here["labels"]))
    else:
        images = model.generator(here["z"], here["condition"])
    return images


@torch.no_grad()
def pictures(model: Model, stored: Stored, *, seed: int = 0) -> Iterator[Tensor]:
    """A picture a row, uint8 [up to `group_size`, 3, S, S] on the CPU, group by group. seed: of the noise."""
    size = generate.group_size(model.device)
    for start in range(0, stored.count, size):
        part = {name: tensor[start : start + size] for name, tensor in stored.tensors.items()}
        with generate.seeded_noise(model, seed, start):
            made = draw(model, part)
        yield generate.finished(made)


@torch.no_grad()
def animation(model: Model, stored: Stored, *, seed: int = 0) -> Iterator[Tensor]:
    """A smooth closed loop through the pictures of the file, in its order; otherwise as `generate.animation`."""
    name = "w" if "w" in stored.tensors else "z"
    corners = stored.tensors[name].flatten(1).double().numpy()
    # Latents z keep their length on the way, as draws of N(0, 1) would; w has no such law.
    path, left, share = path_through(corners, generate.FRAMES_EACH, rescaled=name == "z")
    frames = torch.from_numpy(path).float().reshape(-1, *stored.tensors[name].shape[1:])
    right, weight = (left + 1) % stored.count, eased(share)

    def made(part: slice) -> Tensor:
        now = {name: frames[part]}
        if "condition" in stored.tensors:
            conditions = stored.tensors["condition"]
            now["condition"] = torch.lerp(conditions[left[part]], conditions[right[part]], weight[part, None])
        if "labels" in stored.tensors:
            now["labels"] = stored.tensors["labels"][left[part]]
        return draw(model, now)

    return generate.in_one_noise(model, seed, len(frames), made)
