"""The modules in what was read, whole pickled torch modules and StyleGAN's persistent records alike, as state dicts."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from torch import Tensor

from fewgan.errors import UsageError
from fewgan.sources.pickles.records import Record, printable

_MODULES, _TENSORS, _LEVELS, _NAME = 100_000, 200_000, 100, 1000
"""The most modules, tensors, levels and characters of a name in one state dict: a module may hold itself."""


@dataclass(frozen=True, eq=False)
class Network:
    """A module that a file holds. record: it as pickled; `record.state` is its `__dict__`."""

    record: Record

    @property
    def class_name(self) -> str:
        return self.record.name

    @property
    def args(self) -> tuple[Any, ...]:
        """What a network of StyleGAN was constructed with; empty for other modules, whose file does not say."""
        found = self.record.state.get("_init_args")
        return tuple(found) if isinstance(found, list | tuple) else ()

    @property
    def kwargs(self) -> dict[str, Any]:
        found = self.record.state.get("_init_kwargs")
        return dict(found) if isinstance(found, dict) else {}

    @cached_property
    def state(self) -> dict[str, Tensor]:
        """The state dict, in its own order, on the CPU. Raises UsageError for a tensor that is not plain (sparse or
        quantized, for instance), and for modules without an end."""
        found: dict[str, Tensor] = {}
        for count, (prefix, attributes) in enumerate(_modules(self.record, "", 0)):
            for name, value in _own(attributes):
                if not isinstance(value, Tensor):
                    raise UsageError(f"{printable(self.class_name)}: {printable(prefix + name)} is not a plain tensor")
                found[prefix + name] = value
            if count >= _MODULES or len(found) > _TENSORS:
                raise UsageError(
                    f"{printable(self.class_name)}: has more than {_MODULES:,} modules or {_TENSORS:,} tensors"
                )
        return found


def networks(content: Any) -> dict[str, Network]:
    """The modules in what `read` gave, by the path of keys to each (`G_ema`); "" where the content is a module itself.

    A dict of tensors is no module: it is in the content as it is.
    """
    found: dict[str, Network] = {}
    rest, seen = deque([("", content)]), set[int]()
    while rest and len(found) < 1000:
        name, value = rest.popleft()
        if _is_module(value):
            found[name] = Network(value)
        elif id(value) not in seen and name.count(".") < 8:
            seen.add(id(value))
            for key, child in _items(value):
                if type(child) in (dict, list, tuple, Record) and len(key) <= 100:
                    rest.append((f"{name}.{key}" if name else key, child))
    return found


def _items(value: Any) -> Iterator[tuple[str, Any]]:
    """The named or numbered parts of a container, and of an object its attributes."""
    for part in (value.state, value.contents) if type(value) is Record else (value,):
        if type(part) is dict:
            yield from ((key, child) for key, child in part.items() if type(key) is str)
        elif type(part) in (list, tuple):
            yield from ((str(index), child) for index, child in enumerate(part))


def _is_module(value: Any) -> bool:
    if type(value) is not Record or value.args is None or type(value.state) is not dict:
        return False
    return all(type(value.state.get(name)) is dict for name in ("_parameters", "_buffers", "_modules"))


def _modules(record: Record, prefix: str, level: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """The module and those below it, in the order of a state dict: (prefix of its tensors' names, `__dict__`)."""
    if not _is_module(record) or level > _LEVELS or len(prefix) > _NAME:
        raise UsageError(f"{printable(prefix)} is not a module that can be read, or is one within itself")
    yield prefix, record.state
    for name, child in record.state["_modules"].items():
        if child is not None:
            yield from _modules(child, f"{prefix}{_name(name)}.", level + 1)


def _own(attributes: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """A module's own parameters, then its own buffers, as far as they are part of its state dict."""
    passing = attributes.get("_non_persistent_buffers_set")
    for kind, without in (("_parameters", ()), ("_buffers", passing if isinstance(passing, set | frozenset) else ())):
        for name, value in attributes[kind].items():
            if value is not None and name not in without:
                yield _name(name), value


def _name(name: Any) -> str:
    if type(name) is not str or len(name) > _NAME:
        raise UsageError("a module has a part whose name is no text, or is far too long")
    return name
