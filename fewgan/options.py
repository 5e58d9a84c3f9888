"""The options of a plugin: a dataclass of `fewgan.plugin.option` fields, its flags, and its checks. No torch."""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, get_type_hints

from fewgan.errors import UsageError

TYPES = {bool: "true or false", int: "a whole number", float: "a number", str: "text", tuple: "texts"}
"""The types of an option, and their names in messages."""

HINTS: dict[Any, tuple[type, bool]] = {
    **{kind: (kind, False) for kind in (bool, int, float, str)},
    **{kind | None: (kind, True) for kind in (bool, int, float, str)},
    tuple[str, ...]: (tuple, False),
}
"""How an option may be annotated: its type, and whether None is a value too."""


def option(
    default: Any,
    help: str,
    *,
    min: float | None = None,
    max: float | None = None,
    hidden: bool = False,
    argument: bool = False,
    network: bool = True,
) -> Any:
    """One field of a plugin's options; it becomes the flag `--<plugin>-<field>`, of a command `--<field>`.

    min and max are inclusive. A field typed `X | None` with default None means "chosen by the plugin". A hidden field
    has no flag: it holds a fact that `read` finds in a pretrained file and that `config.json` must keep. argument: of a
    command only, a word without a flag, in the order of the fields; `tuple[str, ...]` takes all words that are left.
    An argument whose default is empty, "" or (), must be given. network: of an architecture; with False the option
    changes no network but how it is trained or sampled, and may differ from the source's.
    Types: bool, int, float, str, and each of them `| None`; `tuple[str, ...]` of a command.
    """
    if isinstance(default, list | dict | set):
        raise TypeError(f"the default of an option is {default!r}; an option of texts is tuple[str, ...]")
    facts = {"help": help, "min": min, "max": max, "hidden": hidden, "argument": argument, "network": network}
    return dataclasses.field(default=default, metadata=facts)


@dataclass(frozen=True)
class Field:
    """One option. type is one of TYPES; optional: None is a value too. min and max are inclusive."""

    name: str
    type: type
    optional: bool
    default: Any
    help: str
    min: float | None
    max: float | None
    hidden: bool
    argument: bool
    network: bool


def limits(low: float | None, high: float | None) -> str:
    """A range in words: `0 or more`, `0 to 1`; empty where all values are allowed."""
    if low is not None and high is not None:
        return f"{exact(low)} to {exact(high)}"
    if low is not None:
        return f"{exact(low)} or more"
    return f"at most {exact(high)}" if high is not None else ""


def exact(value: float) -> str:
    """A number as short as it can be said, and not rounded."""
    return short if float(short := f"{value:g}") == value and "e+" not in short else repr(value)


def flag(text: str) -> str:
    """The flag of a name: `miner_steps` is `--miner-steps`, and `with_`, a word of Python, is `--with`."""
    return "--" + text.rstrip("_").replace("_", "-")


def prefix(kind: str, name: str) -> str:
    """What stands before the name of an option in its flag: a command's options are its own."""
    return "" if kind == "commands" else f"{name}-"


def switch(kind: str, name: str) -> tuple[str, ...]:
    """The flags that turn a regularizer on and off; nothing for other kinds."""
    return (flag(name), flag(f"no-{name}")) if kind == "regularizers" else ()


def flags_of(before: str, options: type) -> list[str]:
    """The flags of a plugin's options, the `--no-` ones too. Raises ValueError as `fields_of` does.

    before: what stands before the name of a field: `cr-`, nothing for a command.
    """
    return [
        flag(f"{start}{before}{item.name}")
        for item in fields_of(options)
        if not item.hidden and not item.argument
        for start in (("", "no-") if item.type is bool else ("",))
    ]


def fields_of(options: Any) -> list[Field]:
    """The options of a plugin. Raises ValueError, one line for the plugin's author, where a rule is broken."""
    if not (isinstance(options, type) and dataclasses.is_dataclass(options)):
        given = f"an object of {type(options).__name__}" if dataclasses.is_dataclass(options) else repr(options)
        raise ValueError(f"its options are {given}, and must be a dataclass, the class itself")
    if not options.__dataclass_params__.frozen:  # type: ignore[attr-defined]
        raise ValueError(
            f"its options, {options.__name__}, must be a frozen dataclass: @dataclass(frozen=True, kw_only=True)"
        )
    try:
        hints = get_type_hints(options)
    except NameError as error:
        raise ValueError(f"the type of an option is not there at run time: {error}") from None
    return [_field(item, hints[item.name]) for item in dataclasses.fields(options)]


def checked(plugin: str, item: Field, value: Any) -> Any:
    """value as the option's type. Raises UsageError that names the flag: a wrong type, out of range, not finite."""
    label = flag(f"{plugin}-{item.name}")
    if item.hidden or item.argument:
        label = item.name.upper() if item.argument else f"option {item.name!r} of {plugin}"
    try:
        return _checked(item, value)
    except ValueError as error:
        raise UsageError(f"{label} {error}") from None


def suggestion(name: str, known: Iterable[str]) -> str:
    """`; did you mean 'weight'?`, or the names there are."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; it has {', '.join(names)}" if names else "; it has no options"


def _field(item: dataclasses.Field[Any], hint: Any) -> Field:
    if hint not in HINTS:
        shown = hint.__name__ if isinstance(hint, type) else str(hint)
        raise ValueError(
            f"its option {item.name!r} is {shown}; an option is bool, int, float or str, or one of them | None"
        )
    if "argument" not in item.metadata or item.default is dataclasses.MISSING:
        raise ValueError(f"its option {item.name!r} must be made with fewgan.plugin.option(default, help)")
    if not (item.kw_only and item.init):
        raise ValueError(f"its option {item.name!r} must be keyword-only: @dataclass(frozen=True, kw_only=True)")
    found = Field(item.name, *HINTS[hint], item.default, **item.metadata)
    if not isinstance(found.help, str):
        raise ValueError(f"the help of its option {item.name!r} must be text, not {found.help!r:.60}")
    if not all(limit is None or isinstance(limit, int | float) for limit in (found.min, found.max)):
        raise ValueError(f"min and max of its option {item.name!r} must be numbers")
    try:
        _checked(found, item.default)
    except ValueError as error:
        raise ValueError(f"the default of its option {item.name!r} {error}") from None
    return found


def _checked(item: Field, value: Any) -> Any:
    if value is None and item.optional:
        return None
    if item.type is float and type(value) is int:
        value = float(value)
    if type(value) is not item.type:
        raise ValueError(f"must be {TYPES[item.type]}, not {value!r:.60}")
    if isinstance(value, int | float) and item.type is not bool:
        if not math.isfinite(value):
            raise ValueError(f"must be a finite number, not {value!r:.60}")
        if (item.min is not None and value < item.min) or (item.max is not None and value > item.max):
            raise ValueError(f"must be {limits(item.min, item.max)}, not {value!r:.60}")
    return value
