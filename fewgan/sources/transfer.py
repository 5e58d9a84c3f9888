"""From a source's networks to those of a run: weights are copied, and classes are remapped."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from fewgan import storage
from fewgan.networks import Networks
from fewgan.sources.empty import build_empty
from fewgan.sources.model import Model


def matches(count: int, names: Sequence[str], wanted: Sequence[str]) -> list[int | None]:
    """For each class of the run the class of the source that it starts from; None: the mean of all.

    count: of the source's classes; names: theirs, empty where unknown. Equal names match. Where the source has no
    names, equal counts match by number.
    """
    if not names and count == len(wanted):
        return list(range(count))
    if len(wanted) <= 1:
        return [0 if count == 1 else None]
    places = {_plain(name): index for index, name in enumerate(names)}
    return [places.get(_plain(name)) for name in wanted]


def _plain(name: str) -> str:
    """A name to compare: without upper case, and accents written in one way, which file systems do in two."""
    return unicodedata.normalize("NFC", name).casefold()


def about_classes(count: int, names: Sequence[str], wanted: Sequence[str]) -> str | None:
    """One line on what classes start from; None where every class is one of the source's by name."""
    found = matches(count, names, list(wanted) or [""])
    if None not in found:
        return None if names or count == 1 else f"{count} classes, matched by number since it has no class names"
    alike = [name for name, index in zip(wanted, found, strict=False) if index is not None]
    kept = f"; of the same name: {', '.join(alike[:5])}" if alike else ""
    return (
        f"it has {count} classes, the dataset {len(wanted) or 'none'}: class embeddings start from the mean of the "
        f"source's{kept}"
    )


@torch.no_grad()
def copy_weights(model: Model, networks: Networks, classes: Sequence[str] = ()) -> None:
    """Copies the source's weights into networks of the same shape but for the number of classes.

    classes: names of the run's. What has a row (or column) for each class gets those of the source's class of the same
    name, or the mean over all. A module whose values depend on the number of classes, such as a spectrally
    normalised embedding, is given the source's values by `set_rows`, in the place of its weights. A source without a
    discriminator leaves the built one as it is. Raises UsageError for anything else that does not fit.
    """
    count = model.generator.classes
    found = matches(count, model.classes, list(classes) or [""] * networks.generator.classes)
    remapped = count > 0 and found != list(range(count))
    probes = _with_another_class(model) if remapped else (None, None)
    pairs: list[tuple[Any, Any, Any]] = [(model.generator, networks.generator, probes[0])]
    if model.has_discriminator:
        pairs.append((model.discriminator, networks.discriminator, probes[1]))
    for theirs, ours, probe in pairs:
        if probe is None:
            storage.load_state(ours, theirs.state_dict(), model.path)
            continue
        other = {name: tensor.shape for name, tensor in probe.state_dict().items()}
        tables = _tables(theirs, ours)
        state = {}
        for name, tensor in theirs.state_dict().items():
            pairs_of_sizes = zip(tensor.shape, other[name], strict=True)
            axes = [axis for axis, (size, more) in enumerate(pairs_of_sizes) if size != more]
            if axes and name.rpartition(".")[0] in tables:
                state[name] = ours.state_dict()[name]
            elif axes:
                state[name] = _rows(tensor.transpose(0, axes[0]), found).transpose(0, axes[0]).contiguous()
            else:
                state[name] = tensor
        storage.load_state(ours, state, model.path)
        for table, new in tables.values():
            new.set_rows(_rows(table.rows(), found))


def _with_another_class(model: Model) -> tuple[Any, Any]:
    """The source's networks for one class more, for their shapes: where they differ, a dimension counts classes."""
    build = partial(model.architecture.networks, size=model.generator.size, classes=model.generator.classes + 1)

    def built() -> tuple[Any, Any]:
        networks = build_empty(build)
        return networks.generator, networks.with_discriminator().discriminator if model.has_discriminator else None

    try:
        with torch.device("meta"):
            return built()
    except (NotImplementedError, RuntimeError):  # what is built asks for values: an item() of a linspace, say
        return built()


def _tables(theirs: Any, ours: Any) -> dict[str, tuple[Any, Any]]:
    """By name the modules, of the source and of the run, whose values depend on the number of classes."""
    modules = dict(ours.named_modules())
    return {
        name: (module, modules[name])
        for name, module in theirs.named_modules()
        if hasattr(module, "rows") and hasattr(modules.get(name), "set_rows")
    }


def _rows(table: Tensor, found: Sequence[int | None]) -> Tensor:
    mean = table.mean(dim=0)
    return torch.stack([mean if index is None else table[index] for index in found])
