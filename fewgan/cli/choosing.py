"""Which plugins a command line chooses, found before typer parses it, so that only those are imported."""

from __future__ import annotations

import os
import shlex
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from fewgan import registry
from fewgan.errors import FewganError, UsageError
from fewgan.options import fields_of, flag, flags_of
from fewgan.plugin import Plugin
from fewgan.registry import Choice, Entry

COMMANDS = {
    "train": ("architectures", "transfers", "augmentations", "regularizers"),
    "fid": ("features",),
}
"""The commands that take plugins, and of which kinds."""

CHOOSERS = {"architectures": "--arch", "transfers": "--transfer", "augmentations": "--aug", "features": "--features"}
"""The option of each kind whose value is a plugin's name. A regularizer's name is a flag of its own."""

Key = tuple[str, str]
"""(kind, name)"""


@dataclass(frozen=True)
class Chosen:
    """The plugins of a command line with their options. off: the regularizers that it turns off by name."""

    choices: tuple[Choice, ...] = ()
    off: tuple[str, ...] = ()

    def of(self, kind: str) -> tuple[Choice, ...]:
        return tuple(choice for choice in self.choices if choice.kind == kind)

    def one(self, kind: str) -> Choice | None:
        return next(iter(self.of(kind)), None)

    def need(self, kind: str) -> Choice:
        """The choice of this kind. Raises UsageError where there is none: nothing of it is installed as the default."""
        found = self.one(kind)
        if found is None:
            raise UsageError(f"no {registry.KINDS[kind]} is chosen, and none is the default; add {CHOOSERS[kind]} NAME")
        return found


def plugins(
    arguments: Sequence[str], valued: Collection[str], kinds: Sequence[str], switches: Collection[str]
) -> dict[Key, Plugin]:
    """The plugins that the words after a command's name choose, imported.

    valued: the command's own options that take a value. switches: regularizers that are flags. Raises UsageError for a
    plugin that cannot be had; where a shell asks for completions it is left out instead.
    """
    known = set(valued)
    while True:
        found: dict[Key, Plugin] = {}
        for key in named(arguments, known, kinds, switches):
            try:
                found[key] = registry.load(*key)
            except FewganError:
                if not completing():
                    raise
        # The options of the plugins take values too, so a word that looked like a flag may turn out to be one's value.
        more = {
            flag(f"{name}-{item.name}")
            for (_, name), plugin in found.items()
            for item in fields_of(plugin.options)
            if item.type is not bool and not item.hidden
        }
        if more <= known:
            return found
        known |= more


def named(
    arguments: Sequence[str], valued: Collection[str], kinds: Sequence[str], switches: Collection[str]
) -> list[Key]:
    """(kind, name) of each chosen plugin, defaults included; of two of a kind the last counts, as in typer."""
    choosers = {CHOOSERS[kind]: kind for kind in kinds if kind in CHOOSERS}
    turns = {flag(f"no-{name}"): (name, False) for name in switches} | {flag(name): (name, True) for name in switches}
    one = {kind: registry.default(kind) for kind in choosers.values()}
    on: dict[str, bool] = {}
    rest = iter(arguments)
    for word in rest:
        if word == "--":
            break
        text, equals, value = word.partition("=")
        if text in valued and not equals:
            value = next(rest, "")  # the next word is its value, whatever it looks like
        if text == "--resume" and text in valued:
            return []  # a run brings its own
        if text in choosers:
            one[choosers[text]] = value
        elif text in turns and not equals:
            name, state = turns[text]
            on[name] = state
    several = [("regularizers", name) for name, state in on.items() if state]
    return [(kind, name) for kind, name in one.items() if name] + several


def completing() -> bool:
    """A shell asks for completions: nothing may fail, and nothing is said."""
    return "_FEWGAN_COMPLETE" in os.environ


def words() -> list[str]:
    """Where a shell asks for completions: the words before the one being typed, without the program's name."""
    line = os.environ.get("COMP_WORDS") or os.environ.get("_TYPER_COMPLETE_ARGS", "")
    try:
        parts = shlex.split(line)
    except ValueError:  # a quote that is not closed yet
        parts = line.split()
    position = os.environ.get("COMP_CWORD", "")
    if position.isdecimal():
        return parts[1 : int(position)]
    return parts[1:] if line[-1:].isspace() else parts[1:-1]


def owner(option: str) -> tuple[Entry, bool] | None:
    """The installed plugin that an unknown option seems to belong to, and whether it really has such an option."""
    bare = option.removeprefix("--").removeprefix("no-")
    entries = [entry for entry in registry.describe() if bare.startswith(flag(entry.name)[2:] + "-")]
    if not entries:
        return None
    entry = max(entries, key=lambda entry: len(entry.name))
    try:
        return entry, option in flags_of(entry.name, registry.load(entry.kind, entry.name).options)
    except FewganError:
        return entry, True


def command_of(kind: str) -> str:
    return next(command for command, kinds in COMMANDS.items() if kind in kinds)


def chooser(entry: Entry) -> str:
    """What to add to a command line to choose a plugin: `--transfer NAME` or `--NAME`."""
    return f"{CHOOSERS[entry.kind]} {entry.name}" if entry.kind in CHOOSERS else flag(entry.name)


def about(name: str) -> dict[str, Any]:
    """One plugin as plain values: where it is from, how to choose it, its options. Imports it alone."""
    kind = registry.kind_of(name)
    plugin = registry.load(kind, name)
    entry = registry.find(kind)[name][0]
    options = [
        {
            "flag": flag(f"{name}-{item.name}"),
            "type": item.type.__name__,
            "default": item.default,
            "min": item.min,
            "max": item.max,
            "help": registry.one_line(item.help),
        }
        for item in fields_of(plugin.options)
        if not item.hidden
    ]
    return {
        "name": name,
        "kind": registry.KINDS[kind],
        "summary": registry.one_line(plugin.summary),
        "package": entry.package,
        "version": entry.version,
        "object": entry.value,
        "use": f"fewgan {command_of(kind)} {chooser(entry)}",
        "options": options,
    }
