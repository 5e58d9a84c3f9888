"""The features that pictures are scored on: a plugin's module, and what it makes of photos, which is cached."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fewgan import distributed, storage
from fewgan.errors import FewganError, UsageError
from fewgan.faults import fault
from fewgan.plugin import Features
from fewgan.registry import Choice
from fewgan.scoring.extract import Pictures, extract
from fewgan.screen import Screen
from fewgan.sources import cache

CACHE_FORMAT = 2  # goes up when the same pictures and the same features module give other numbers
OWN_PACKAGES = ("torch", "torchvision")  # their source is not part of a key; their versions are


@dataclass(frozen=True)
class Scorer:
    """name: of the features. origin: where they come from, see `cache_key`. module: in eval mode, on its device."""

    name: str
    origin: str
    module: Any

    @classmethod
    def of(cls, features: Choice | Features, device: torch.device) -> Scorer:
        """A plugin's choice, built, or a module that is built already."""
        module: Any = features
        name, origin = type(features).__name__.lower(), ""
        if isinstance(features, Choice):
            options = features.plugin()[1]
            name, origin, module = features.name, f"{features.package} {features.version} {options}", features.build()
        if not isinstance(module, torch.nn.Module):
            raise TypeError(f"features: {name} is no torch.nn.Module")
        for attribute in ("dim", "score_name"):
            if not hasattr(module, attribute):
                raise fault("features", name, f"it has no attribute {attribute!r}")
        return cls(name, origin, module.to(device).eval())

    @property
    def dim(self) -> int:
        return int(self.module.dim)

    def __call__(self, images: Tensor) -> Tensor:
        """Features [N, dim] of images uint8 [N, 3, H, W]. Raises FewganError for others, and NaN or infinite ones."""
        rows = self.module(images)
        if not isinstance(rows, Tensor) or rows.shape != (len(images), self.dim):
            found = f"a tensor of shape {list(rows.shape)}" if isinstance(rows, Tensor) else type(rows).__name__
            raise fault("features", self.name, f"its forward returned {found} and not [{len(images)}, {self.dim}]")
        if not torch.isfinite(rows).all():
            raise FewganError(f"features {self.name}: some are NaN or infinite; check the weights of that network")
        return rows

    @property
    def identity(self) -> str:
        """What the weights are, "" where the plugin does not say."""
        return str(getattr(self.module, "identity", ""))

    def is_among(self, identities: Sequence[str]) -> bool:
        """Whether the same weights are among these of other modules, changed ones (identity:change) included."""
        own = self.identity
        return bool(own) and any(one == own or one.startswith(f"{own}:") for one in identities)

    @cached_property
    def key(self) -> str:
        return cache_key(self.module, self.origin)

    def reference(self, pictures: Pictures, *, device: torch.device, screen: Screen) -> Tensor:
        """Features float32 [count, dim] of real pictures, computed once and cached.

        The cache is the user's, not the dataset's folder, which holds what `fewgan prepare` wrote and nothing else.
        A cached file that is damaged or does not fit is replaced.
        """
        facts: dict[str, object] = {
            "cache": CACHE_FORMAT,
            "fingerprint": pictures.fingerprint,
            "part": pictures.name,
            "size": pictures.size,
            "features": self.key,
        }
        name = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:24] + ".safetensors"
        place = None if pictures.fingerprint is None else cache.folder() / "features" / name
        shape = (pictures.count, self.dim)
        kept = _kept(place, facts, shape) if place is not None and distributed.rank() == 0 else None
        found: Tensor | None = distributed.broadcast_object(kept)
        if found is not None:
            return found
        label = f"Features ({pictures.name})"
        made = extract(self, pictures.groups, pictures.count, device=device, label=label, screen=screen)
        if place is not None and distributed.rank() == 0:
            with suppress(OSError, FewganError):  # without a cache the next command takes longer, nothing else
                storage.write_tensors(place, {"features": made}, facts)
        return made


def cache_key(features: Features, origin: str = "") -> str:
    """A hash of everything that decides what a module computes. Equal keys share cached features.

    Its class, repr and weights, `identity` where it has one, the source files of all classes in it and of the modules
    beside them (an edit of forward changes the key), the versions of torch and torchvision, and `origin`: its package,
    the version and the options.
    """
    module: torch.nn.Module = features  # type: ignore[assignment]
    facts = [f"{type(module).__module__}.{type(module).__qualname__}", repr(module), origin]
    facts += [str(getattr(module, "identity", "")), *(f"{name} {version(name)}" for name in OWN_PACKAGES)]
    digest = hashlib.sha256("\n".join(facts).encode())
    for source in sorted({_source(type(part)) for part in module.modules()}):
        digest.update(source)
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().reshape(-1).contiguous().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _source(kind: type) -> bytes:
    """The file that defines a class, and those beside it in its package, whose functions it may call; else empty."""
    top, _, inner = kind.__module__.partition(".")
    if top in OWN_PACKAGES:
        return b""
    with suppress(TypeError, OSError):
        file = Path(inspect.getfile(kind))
        packaged = top != "fewgan" and (inner or file.name == "__init__.py")
        return b"".join(part.read_bytes() for part in (sorted(file.parent.glob("*.py")) if packaged else [file]))
    return b""


def _kept(place: Path, facts: dict[str, object], shape: tuple[int, int]) -> Tensor | None:
    if not place.is_file():
        return None
    try:
        tensors, found = storage.read_tensors(place)
    except UsageError:
        return None
    kept = tensors.get("features")
    fits = kept is not None and kept.shape == shape and all(found.get(name) == fact for name, fact in facts.items())
    return kept if fits and kept is not None and bool(torch.isfinite(kept).all()) else None
