"""Which plugins a command line names. They are imported before typer parses it, because their options are flags too."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from fewgan import registry
from fewgan.errors import FewganError, UsageError
from fewgan.options import fields_of, flag, flags_of
from fewgan.registry import Choice
from fewgan.screen import command, one_line

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
        """The choice of this kind. Raises UsageError where there is none, and no default either."""
        found = self.one(kind)
        if found is None:
            raise UsageError(f"no {registry.KINDS[kind]} is chosen and there is no default; add {CHOOSERS[kind]} NAME")
        return found


def named(arguments: Sequence[str], kinds: Sequence[str], switches: Collection[str]) -> list[Key]:
    """(kind, name) of the plugins that a command line names, defaults included. switches: regularizers.

    A first look at the line: typer decides what is chosen. A name that turns out to be the value of another option has
    been imported for nothing.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--resume", nargs="?", const="")
    for kind in kinds:
        if kind in CHOOSERS:
            parser.add_argument(CHOOSERS[kind], dest=kind, nargs="?", default=registry.default(kind))
    for name in switches:
        parser.add_argument(flag(name), dest=f"regularizers {name}", action="store_true")
        parser.add_argument(flag(f"no-{name}"), dest=f"regularizers {name}", action="store_false")
    try:
        line = vars(parser.parse_known_args(arguments)[0])
    except argparse.ArgumentError:  # typer says what is wrong with it
        return []
    if line.pop("resume") is not None:  # a run has its own plugins
        return []
    one = [(kind, name) for kind, name in line.items() if name and kind in CHOOSERS]
    return one + [("regularizers", name) for name in switches if line[f"regularizers {name}"]]


def hint(option: str, command_name: str) -> str | None:
    """What to say of an option that this command lacks, where it seems to be a plugin's."""
    bare = option.removeprefix("--").removeprefix("no-")
    entries = [entry for entry in registry.describe() if bare.startswith(flag(entry.name)[2:] + "-")]
    if entries:
        entry = max(entries, key=lambda entry: len(entry.name))
        try:
            exists = option in flags_of(entry.name, registry.load(entry.kind, entry.name).options)
        except FewganError:
            exists = True
        where = next(name for name, kinds in COMMANDS.items() if entry.kind in kinds)
        if where != command_name:
            return f"{option} is an option of {entry.name}, which is for '{command('fewgan', where)}'"
        if exists:
            return f"{option} is an option of {entry.name}; add {chooser(entry.kind, entry.name)}"
        return f"{entry.name} has no option {option}. See '{command('fewgan', 'plugins', 'show', entry.name)}'."
    for package in registry.PACKAGES:
        name = package.removeprefix("fewgan-")
        if f"{bare}-".startswith(f"{name}-") and command_name in COMMANDS:
            return f"No such option: {option}. For that of the package {package}: {registry.how_to_install(package)}"
    return None


def chooser(kind: str, name: str) -> str:
    """What to add to a command line to choose a plugin: `--transfer NAME` or `--NAME`."""
    return f"{CHOOSERS[kind]} {name}" if kind in CHOOSERS else flag(name)


def about(name: str, core: Collection[str]) -> dict[str, Any]:
    """One plugin as plain values: where it is from, how to choose it, its options. Imports it alone."""
    kind = registry.kind_of(name)
    plugin = registry.load(kind, name, core)
    entry = registry.find(kind)[name][0]
    where = next(command for command, kinds in COMMANDS.items() if kind in kinds)
    options = [
        {
            "flag": flag(f"{name}-{item.name}"),
            "type": item.type.__name__,
            "default": item.default,
            "min": item.min,
            "max": item.max,
            "help": one_line(item.help),
        }
        for item in fields_of(plugin.options)
        if not item.hidden
    ]
    return {
        "name": name,
        "kind": registry.KINDS[kind],
        "summary": one_line(plugin.summary),
        "package": entry.package,
        "version": entry.version,
        "object": entry.value,
        "use": f"{command('fewgan', where)} {chooser(kind, name)}",
        "options": options,
    }
