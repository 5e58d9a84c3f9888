"""What a pickle holds besides plain data: inert records. And what may be a key, and how deep it may go."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

DEPTH = 500
"""The deepest nesting: code that walks the content may recurse."""

_LEAVES = (str, int, float, bool, bytes, type(None))


class Unreadable(ValueError):
    """Why a file is not read; the text continues `PATH: `."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Record:
    """Whatever is not plain data: a class or function that the pickle names, or an object made by calling one.

    args: None for the name itself, else what it was called with. state: what the object was set up with, a module's
    `__dict__` for instance. contents: its elements (a list) or items (a dict) where it is a container.
    """

    module: str
    name: str
    args: tuple[Any, ...] | None = None
    kwargs: Any = None
    state: Any = None
    contents: Any = None

    def __repr__(self) -> str:
        return f"Record({self.module}.{self.name})"


def contents(record: Record, kind: type) -> Any:
    """The items or elements of a record, which it gets when first asked for."""
    if record.contents is None:
        object.__setattr__(record, "contents", kind())
    if type(record.contents) is not kind:
        raise Unreadable("damaged (a container of its pickle is of two kinds)")
    return record.contents


def key(value: Any) -> Any:
    """The value, if it may be hashed: nested tuples can take for ever, or more stack than there is."""
    rest, seen = [value], 0
    while rest:
        item = rest.pop()
        seen += 1
        if type(item) is tuple:
            rest.extend(item[:101])
        elif not isinstance(item, (*_LEAVES, Record, Tensor)):
            raise Unreadable(f"its pickle has a key of type {type(item).__name__}")
        if seen > 100:
            raise Unreadable("its pickle has a key of more than 100 parts")
    return value


def children(value: Any) -> Iterable[Any]:
    """The values directly in a container or record."""
    if type(value) is dict:
        yield from value  # tuples and records may be keys
        yield from value.values()
    elif type(value) in (list, tuple, set, frozenset):
        yield from value
    elif type(value) is Record:
        yield from (value.args, value.kwargs, value.state, value.contents)


def check_depth(value: Any) -> None:
    """Level by level, each object once, so that neither sharing nor a circle makes it long."""
    level, seen = [value], {id(value)}
    for _ in range(DEPTH):
        below = []
        for parent in level:
            for child in children(parent):
                if type(child) not in _LEAVES and id(child) not in seen:
                    seen.add(id(child))
                    below.append(child)
        if not below:
            return
        level = below
    raise Unreadable(f"its content is nested more than {DEPTH} deep")


def printable(text: str, limit: int = 80) -> str:
    """For a message: a name in a file can hold anything, and be as long as the file."""
    return "".join(letter if letter.isprintable() else "?" for letter in text[:limit])
