"""What is wrong with a plugin, for its author: one line that names the plugin. No torch."""

from __future__ import annotations

import inspect
from collections.abc import Collection
from typing import Any

from fewgan.errors import FewganError, UsageError
from fewgan.installed import KINDS, Entry
from fewgan.options import fields_of, flag, flags_of, prefix, switch
from fewgan.plugin import API, Plugin
from fewgan.screen import one_line

COMMAND_FLAGS = ("--help", "--quiet", "--json")
"""What every command has, so that no plugin's command may."""

_GIVEN = {
    "architectures": ("size", "classes"),
    "transfers": ("networks",),
    "augmentations": ("size",),
    "regularizers": ("networks",),
}
"""What `build` is called with beside the options."""


def fault(kind: str, name: str, what: str) -> FewganError:
    """The error for a mistake of a plugin's author."""
    return FewganError(f"the {KINDS[kind]} {name}: {what}; report it to its author")


def check_call(kind: str, name: str, hook: str, function: Any, count: int) -> None:
    """Raises `fault` where a hook cannot be called with so many arguments."""
    if problem := _uncallable(function, count):
        raise fault(kind, name, f"its {hook} is called with {count} arguments: {problem}")


def check_plugin(entry: Entry, plugin: Any, core: Collection[str]) -> None:
    """Raises UsageError where what an entry point names is no plugin for this fewgan. core: flags of fewgan's own."""
    if not isinstance(plugin, Plugin):
        found = f"the class {plugin.__name__}" if isinstance(plugin, type) else f"of type {type(plugin).__name__}"
        raise UsageError(f"{entry}: {entry.value} is {found}, and must be an object that Plugin(…) made")
    if type(plugin.api) is not int:
        raise UsageError(f"{entry}: its api is {plugin.api!r:.60}, and must be a whole number, such as {API}")
    if plugin.api != API:
        change = "upgrade fewgan" if plugin.api > API else f"upgrade {entry.package}"
        raise UsageError(
            f"{entry} is written for plugin api {plugin.api}, and this fewgan has plugin api {API}; {change}"
        )
    if not isinstance(plugin.summary, str):
        raise UsageError(f"{entry}: its summary is of type {type(plugin.summary).__name__}, and must be text")
    for name, function in (("build", plugin.build), ("read", plugin.read or print), ("write", plugin.write or print)):
        if not callable(function):
            raise UsageError(f"{entry}: its {name} is of type {type(function).__name__}, and must be a function")
    if plugin.sources is not None and not (isinstance(plugin.sources, str) and ":" in plugin.sources):
        raise UsageError(f'{entry}: its sources is {plugin.sources!r:.60}, and must be "package:file"')
    _check_flags(entry, plugin, core)
    given = _GIVEN.get(entry.kind, ())
    if problem := _uncallable(plugin.build, 1, **dict.fromkeys(given)):
        words = f"options, {', '.join(f'{word}=…' for word in given)}" if given else "options"
        raise UsageError(f"{entry}: its build is called as build({words}): {problem}")


def _check_flags(entry: Entry, plugin: Plugin, core: Collection[str]) -> None:
    command = entry.kind == "commands"
    try:
        flags = [*switch(entry.kind, entry.name), *flags_of(prefix(entry.kind, entry.name), plugin.options)]
        twice = next((text for text in flags if flags.count(text) > 1), None)
        if twice is not None:
            raise ValueError(f"two of its options have the flag {twice}")
        if not command and any(item.argument for item in fields_of(plugin.options)):
            raise ValueError("only a command may have option(…, argument=True)")
        plugin.options()
    except Exception as error:
        raise UsageError(f"{entry}: {one_line(str(error)) or type(error).__name__}") from error
    if command:  # beside no other options than its own
        core = {*COMMAND_FLAGS, *(name for name in core if not name.startswith("-"))}
    own = {entry.name if command else flag(entry.name), *flags}
    taken = sorted(own.intersection(core))
    if taken:
        what = f"{taken[0]} is {'an option' if taken[0].startswith('-') else 'a command'} of fewgan itself"
        raise UsageError(f"{entry}: {what}; the plugin needs another name for it")


def _uncallable(function: Any, count: int, **keywords: Any) -> str:
    """Why a function cannot be called with so many arguments and these keywords; empty if it can."""
    try:
        inspect.signature(function).bind(*range(count), **keywords)
    except TypeError as error:
        return str(error)
    except ValueError:  # no signature to be had
        pass
    return ""
