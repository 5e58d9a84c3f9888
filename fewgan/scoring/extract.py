"""From pictures to features: in batches, shared among processes; those of photos are cached."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import torch
from torch import Tensor

from fewgan import distributed, storage
from fewgan.errors import FewganError, UsageError
from fewgan.plugin import Features
from fewgan.sampling.generate import GROUP, GROUP_ON_GPU
from fewgan.screen import Screen
from fewgan.sources import cache

CACHE_FORMAT = 2  # goes up when the same pictures and the same features module give other numbers
OWN_PACKAGES = ("torch", "torchvision")  # their source is not part of a key; their versions are

Groups = Callable[[int, int], Iterable[Tensor]]
See = Callable[[int, Tensor, Tensor], None]


@dataclass(frozen=True)
class Pictures:
    """Pictures that can be read one by one. name: what a report calls them. size: the largest side in pixels.

    read(indices): uint8 [3, H, W] each. fingerprint: of the pixels, None where it is not known, and then nothing is
    cached.
    """

    name: str
    count: int
    size: int
    read: Callable[[Sequence[int]], list[Tensor]]
    fingerprint: str | None = None

    def groups(self, first: int, stop: int) -> Iterator[Tensor]:
        """Those from first to stop − 1 in order, uint8 [up to 16, 3, H, W], pictures of one shape at a time."""
        for start in range(first, stop, GROUP):
            same: list[Tensor] = []
            for image in self.read(range(start, min(start + GROUP, stop))):
                if same and same[0].shape != image.shape:
                    yield torch.stack(same)
                    same = []
                same.append(image)
            yield torch.stack(same)


def of_tensor(images: Tensor, name: str, *, fingerprint: str | None = None) -> Pictures:
    """Pictures from images uint8 [n, 3, S, S], in memory or mapped."""

    def read(indices: Sequence[int]) -> list[Tensor]:
        return list(images[list(indices)])

    return Pictures(name, len(images), images.shape[-1], read, fingerprint)


def evenly(count: int, most: int) -> Sequence[int]:
    """The indices of at most `most` of so many things, spread over all of them."""
    return [index * count // most for index in range(most)] if most < count else range(count)


def thinned(pictures: Pictures, most: int) -> Pictures:
    """At most so many of them, spread over all."""
    if most >= pictures.count:
        return pictures
    chosen = evenly(pictures.count, most)
    return replace(
        pictures,
        count=most,
        read=lambda indices: pictures.read([chosen[index] for index in indices]),
        fingerprint=None if pictures.fingerprint is None else f"{pictures.fingerprint} {most}",
    )


def mirrored(pictures: Pictures) -> Pictures:
    """The same pictures, left and right exchanged."""

    def read(indices: Sequence[int]) -> list[Tensor]:
        return [image.flip(2) for image in pictures.read(indices)]

    return replace(pictures, name=f"{pictures.name}, mirrored", read=read)


@torch.no_grad()
def extract(
    features: Features,
    groups: Groups,
    count: int,
    *,
    device: torch.device,
    label: str,
    screen: Screen,
    batch: int | None = None,
    see: See | None = None,
) -> Tensor:
    """Features float32 [count, dim] of uint8 pictures; nothing else is kept.

    groups(first, stop): pictures first … stop − 1 in groups. Each process extracts a shard, which is empty where there
    are fewer batches than processes (then first == stop), and all return the whole.
    batch: pictures at once, by default 16 on the CPU and 128 on a GPU. see(first, pictures, features) is called with
    each batch, on the CPU. Raises FewganError where a feature is not finite.
    """
    group = GROUP if device.type == "cpu" else GROUP_ON_GPU
    batch = batch or group
    made = torch.zeros(count, features.dim)
    done, stop = distributed.shard_range(count, -(-batch // group) * group)  # a shard starts with a generator's group
    with screen.progress(label, stop - done, "pictures") as advance:
        for pictures in _batches(groups(done, stop), batch):
            rows = features(pictures.to(device))
            if not isinstance(rows, Tensor) or rows.shape != (len(pictures), features.dim):
                found = list(rows.shape) if isinstance(rows, Tensor) else type(rows).__name__
                shapes = f"{found} and should be a tensor of shape [{len(pictures)}, {features.dim}]"
                raise FewganError(f"the feature network's plugin returned {shapes}; report this to its author")
            rows = rows.float().cpu()
            if not torch.isfinite(rows).all():
                raise FewganError("the features contain NaN or infinity; check the weights of the feature network")
            made[done : done + len(rows)] = rows
            if see is not None:
                see(done, pictures, rows)
            done += len(rows)
            advance(len(rows))
    return distributed.all_reduce_sum(made)


def _batches(groups: Iterable[Tensor], size: int) -> Iterator[Tensor]:
    """The same pictures, `size` at a time as far as their shapes agree."""
    kept: list[Tensor] = []
    for group in groups:
        if kept and kept[0].shape[1:] != group.shape[1:]:
            yield torch.cat(kept)
            kept = []
        kept.append(group)
        while sum(map(len, kept)) >= size:
            joined = torch.cat(kept)
            yield joined[:size]
            kept = [joined[size:]] if len(joined) > size else []
    if kept:
        yield torch.cat(kept)


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


def reference(
    features: Features,
    key: str,
    pictures: Pictures,
    *,
    device: torch.device,
    screen: Screen,
    batch: int | None = None,
) -> Tensor:
    """Features float32 [count, dim] of real pictures, computed once and cached. key: see `cache_key`.

    The cache is the user's, not the dataset's folder, which holds what `fewgan prepare` wrote and nothing else.
    A cached file that is damaged or does not fit is replaced.
    """
    if pictures.fingerprint is None:
        return _reference(features, pictures, device, screen, batch)
    facts = {
        "cache": CACHE_FORMAT,
        "fingerprint": pictures.fingerprint,
        "part": pictures.name,
        "size": pictures.size,
        "features": key,
    }
    name = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:24] + ".safetensors"
    place = cache.folder() / "features" / name
    kept = _kept(place, facts, (pictures.count, features.dim)) if distributed.rank() == 0 else None
    found: Tensor | None = distributed.broadcast_object(kept)
    if found is not None:
        return found
    made = _reference(features, pictures, device, screen, batch)
    if distributed.rank() > 0:
        return made
    with suppress(OSError, FewganError):  # without a cache the next command takes longer, nothing else
        storage.write_tensors(place, {"features": made}, facts)
    return made


def _reference(
    features: Features, pictures: Pictures, device: torch.device, screen: Screen, batch: int | None
) -> Tensor:
    label = f"Features ({pictures.name})"
    return extract(features, pictures.groups, pictures.count, device=device, label=label, screen=screen, batch=batch)


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
