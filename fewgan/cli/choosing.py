"""Which plugins a command line names. They are imported before typer parses it, because their options are flags too."""

from __future__ import annotations

import argparse
import inspect
import itertools
import os
import shlex
import shutil
import textwrap
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from fewgan import registry
from fewgan.cli.flags import escaped, finite
from fewgan.errors import FewganError, UsageError
from fewgan.installed import KINDS, Entry
from fewgan.options import Field, fields_of, flag, flags_of
from fewgan.plugin import Plugin
from fewgan.registry import Choice
from fewgan.screen import Screen, command, one_line

Command = Callable[..., None]

COMMANDS = {
    "fid": ("features",),
    "train": ("architectures", "transfers", "augmentations", "regularizers", "features", "trackers"),
}
"""The commands that take plugins, and of which kinds."""

CHOOSERS = {
    "architectures": "--arch", "transfers": "--transfer", "augmentations": "--aug", "features": "--features",
    "trackers": "--track",
}  # fmt: skip
"""The option of each kind whose value is a plugin's name. A regularizer's name is a flag of its own."""

METAVARS = {int: "N", float: "X", bool: ""}

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
        if found := self.one(kind):
            return found
        raise UsageError(f"no {KINDS[kind]} is chosen and there is no default; add {CHOOSERS[kind]} NAME")


def named(arguments: Sequence[str], kinds: Sequence[str], switches: Collection[str]) -> list[Key]:
    """(kind, name) of the plugins that a command line names, defaults included. switches: regularizers.

    A first look at the line: typer decides what is chosen. A name that turns out to be the value of another option has
    been imported for nothing.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--resume", nargs="?", const="")
    for kind in (kind for kind in kinds if kind in CHOOSERS):
        parser.add_argument(CHOOSERS[kind], dest=kind, nargs="?", action="append", default=[], const="")
    for name in switches:
        parser.add_argument(flag(name), dest=f"regularizers {name}", action="store_true")
        parser.add_argument(flag(f"no-{name}"), dest=f"regularizers {name}", action="store_false")
    # To typer, a "--" behind an option that wants a value is the value; argparse would read no further.
    pairs = itertools.pairwise(["", *arguments])
    words = [word for before, word in pairs if word != "--" or not before.startswith("--")]
    try:
        line = vars(parser.parse_known_args(words)[0])
    except argparse.ArgumentError:  # typer says what is wrong with it
        return []
    if line["resume"] is not None:  # a run has its own plugins
        return []
    on = [name for name in switches if line[f"regularizers {name}"]]
    # A chooser without a name may be the value of another option, which says nothing of those before it.
    found = {kind: [name for name in line.get(kind, ()) if name] for kind in kinds}
    for kind in found.keys() - {"trackers"}:
        found[kind] = found[kind][-1:] or [registry.default(kind) or ""]
    return _keys(found, on)


def _keys(chosen: Mapping[str, Sequence[str]], regularizers: Sequence[str]) -> list[Key]:
    """chosen: names by kind; "" is none."""
    keys = [(kind, name) for kind, names in chosen.items() for name in dict.fromkeys(names) if name]
    return keys + [("regularizers", name) for name in regularizers]


def of_core(commands: Mapping[str, Command]) -> set[str]:
    """Every flag of the commands that take plugins, by command name; no plugin may be called, or have a flag, like one.

    Read from the parser that typer makes of them.
    """
    app = typer.Typer(add_completion=False)
    for name, function in commands.items():
        app.command(name)(attach(function, None, COMMANDS[name], ()))
    group: Any = typer.main.get_command(app)
    options = [one for parser in group.commands.values() for one in parser.params if one.param_type_name == "option"]
    return {"--help"}.union(*((*option.opts, *option.secondary_opts) for option in options))


def attach(function: Command, arguments: Sequence[str] | None, kinds: Sequence[str], core: Collection[str]) -> Command:
    """function with an option to choose a plugin of each kind, and the options of those that `arguments` name.

    Only these are imported. function takes, beside its own parameters, `plugins: Chosen`. arguments: the words after
    the command's name, None for a command that does not run. core: see of_core(). Raises UsageError for a plugin that
    cannot be loaded, except where a shell asks for completions.
    """
    running = arguments is not None
    switches = registry.switches(core) if running and "regularizers" in kinds else {}
    plugins: dict[Key, Plugin] = {}
    for key in named(arguments, kinds, switches) if arguments is not None else ():
        try:
            plugins[key] = registry.load(*key, core)
            registry.refuse_clashes(plugins)
        except FewganError:
            if not completing():
                raise
            plugins.pop(key, None)
    taken = {text for (_, name), plugin in plugins.items() for text in flags_of(f"{name}-", plugin.options)}
    choosers = {kind: _chooser(kind) for kind in kinds if kind in CHOOSERS}
    turns = {
        name: _switch(name, entry, plugins.get(("regularizers", name)))
        for name, entry in switches.items()
        if not taken & {flag(name), flag(f"no-{name}")}
    }
    options = {
        (key, item.name): parameter(item, f"{key[1]}-", _panel(key[1], plugin.summary))
        for key, plugin in plugins.items()
        for item in fields_of(plugin.options)
        if not item.hidden
    }

    def run(**line: Any) -> None:
        screen = Screen(bool(line.get("quiet")))
        chosen = {kind: _given(kind, line.pop(one.name), screen) for kind, one in choosers.items()}
        on = {name: line.pop(one.name) for name, one in turns.items()}
        values: dict[Key, dict[str, Any]] = {}
        for (key, name), one in options.items():
            values.setdefault(key, {})[name] = line.pop(one.name)
        choices = []
        if line.get("resume") is None:
            for key in _keys(chosen, [name for name, value in on.items() if value]):
                plugin = plugins.get(key) or registry.load(*key, core)
                choices.append(registry.choose(*key, registry.options_from(plugin, key[1], values.get(key, {}))))
        off = tuple(name for name, value in on.items() if value is False)
        function(**line, plugins=Chosen(tuple(choices), off))

    own = [one for one in inspect.signature(function, eval_str=True).parameters.values() if one.name != "plugins"]
    return with_parameters(run, function, [*choosers.values(), *turns.values(), *own, *options.values()])


def with_parameters(run: Command, like: Command, parameters: Sequence[inspect.Parameter]) -> Command:
    """run with the name and help of another function, and with these parameters for typer to read."""
    run.__name__, run.__doc__ = like.__name__, like.__doc__
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {one.name: one.annotation for one in parameters}
    return run


def completing() -> bool:
    """A shell asks for completions: nothing may fail, and nothing is printed but them."""
    return "_FEWGAN_COMPLETE" in os.environ


def words() -> list[str]:
    """Where a shell asks for completions: the words of its command line, the unfinished one too."""
    line = os.environ.get("COMP_WORDS") or os.environ.get("_TYPER_COMPLETE_ARGS", "")
    try:
        return shlex.split(line)[1:]
    except ValueError:  # a quote that is not closed yet
        return line.split()[1:]


def hint(option: str, command_name: str) -> str | None:
    """What to say of an option that this command lacks, where it seems to be a plugin's."""
    bare = option.removeprefix("--").removeprefix("no-")
    for entry in sorted(registry.describe(), key=lambda entry: -len(entry.name)):
        where = command_name if entry.kind in COMMANDS.get(command_name, ()) else command_of(entry.kind, entry.name)
        if not bare.startswith(flag(entry.name)[2:] + "-") or where not in COMMANDS:
            continue
        if where != command_name:
            return f"{option} is an option of {entry.name}, which is for '{command('fewgan', where)}'"
        try:
            exists = option in flags_of(f"{entry.name}-", registry.load(entry.kind, entry.name).options)
        except FewganError:
            exists = True
        if exists:
            return f"{option} is an option of {entry.name}; add {chooser(entry.kind, entry.name)}"
        return f"{entry.name} has no option {option}. See '{command('fewgan', 'plugins', 'show', entry.name)}'."
    for package in registry.PACKAGES if command_name in COMMANDS else ():
        if f"{bare}-".startswith(package.removeprefix("fewgan-") + "-"):
            return f"No such option: {option}. For that of the package {package}: {registry.how_to_install(package)}"
    return None


def command_of(kind: str, name: str) -> str:
    """The command that a plugin is for; a command is for itself."""
    return next((command for command, kinds in COMMANDS.items() if kind in kinds), name)


def chooser(kind: str, name: str) -> str:
    """What to add to a command line to choose a plugin: `--transfer NAME` or `--NAME`; a command needs nothing."""
    return f"{CHOOSERS[kind]} {name}" if kind in CHOOSERS else flag(name) if kind == "regularizers" else ""


def _chooser(kind: str) -> inspect.Parameter:
    entries = registry.find(kind)

    def complete(incomplete: str) -> list[tuple[str, str]]:
        return [(name, claims[0].origin) for name, claims in entries.items() if name.startswith(incomplete)]

    default, names = registry.default(kind), ", ".join(entries) or "none is installed"
    return keyword(
        f"plugin_{kind}", list[str] | None, [default] if default else None, CHOOSERS[kind],
        help=f"{KINDS[kind].capitalize()}: {names}{'; may be given several times' if kind == 'trackers' else ''}.",
        metavar="NAME", rich_help_panel="Plugins", autocompletion=complete,
    )  # fmt: skip


def _given(kind: str, names: list[str] | None, screen: Screen) -> list[str]:
    """The names of one kind on a command line; the last, as for every option, where there can be one."""
    names = list(names or ())
    if kind == "trackers" or len(names) < 2:
        return names
    if dropped := [name for name in dict.fromkeys(names) if name != names[-1]]:
        screen.warn(f"{CHOOSERS[kind]} {names[-1]} takes the place of {' and '.join(dropped)}: there can be one")
    return names[-1:]


def _switch(name: str, entry: Entry, plugin: Plugin | None) -> inspect.Parameter:
    """plugin: where it is chosen. Of the others fewgan's own are loaded to say what they do."""
    summary = plugin.summary if plugin else f"From {entry.origin}"
    if plugin is None:
        if entry.package == "fewgan":
            with suppress(FewganError):  # another package claims the name; the command may not want either
                summary = registry.load("regularizers", name).summary
        summary += f"; its options: {command('fewgan', 'plugins', 'show', name)}"
    return keyword(
        f"switch_{name}", bool | None, None, f"{flag(name)}/{flag(f'no-{name}')}", metavar="", show_default=False,
        help=summary, rich_help_panel="Regularizers",
    )  # fmt: skip


def parameter(item: Field, prefix: str, panel: str | None = None) -> inspect.Parameter:
    """An option of a plugin for typer. prefix: `cr-`; nothing for a command."""
    text = flag(f"{prefix}{item.name}")
    return keyword(
        f"option_{prefix}{item.name}", *typed(item),
        f"{text}/{flag(f'no-{prefix}{item.name}')}" if item.type is bool else text,
        metavar=METAVARS.get(item.type, "TEXT"), min=item.min, max=item.max, help=item.help,
        callback=finite if item.type is float else None, rich_help_panel=panel,
    )  # fmt: skip


def typed(item: Field) -> tuple[Any, Any]:
    """The annotation and the default of an option, as typer has them: lists in the place of tuples."""
    kind, default = (list[str], list(item.default)) if item.type is tuple else (item.type, item.default)
    return kind | None if item.optional else kind, default


def _panel(name: str, summary: str) -> str:
    """The title of a panel, no wider than the terminal, which would break its frame."""
    title = summary if summary.lower().startswith(name.lower()) else f"{name}: {summary}"
    room = max(20, shutil.get_terminal_size().columns - 6)
    return escaped(textwrap.shorten(one_line(title), room, placeholder=" …"))


def keyword(name: str, annotation: Any, default: Any, flags: str, *, help: str, **more: Any) -> inspect.Parameter:
    annotation = Annotated[annotation, typer.Option(flags, help=escaped(help), **more)]
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name.replace("-", "_"), kind, default=default, annotation=annotation)
