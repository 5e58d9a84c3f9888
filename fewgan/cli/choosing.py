"""Which plugins a command line names. They are imported before typer parses it, because their options are flags too."""

from __future__ import annotations

import argparse
import inspect
import os
import shlex
import shutil
import textwrap
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from fewgan import registry
from fewgan.cli.flags import escaped, finite
from fewgan.errors import FewganError, UsageError
from fewgan.options import Field, fields_of, flag, flags_of
from fewgan.plugin import Plugin
from fewgan.registry import Choice
from fewgan.screen import command, one_line

Command = Callable[..., None]

COMMANDS = {
    "train": ("architectures", "transfers", "augmentations", "regularizers"),
    "fid": ("features",),
}
"""The commands that take plugins, and of which kinds."""

CHOOSERS = {"architectures": "--arch", "transfers": "--transfer", "augmentations": "--aug", "features": "--features"}
"""The option of each kind whose value is a plugin's name. A regularizer's name is a flag of its own."""

METAVARS = {int: "N", float: "X", str: "TEXT", bool: ""}

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
            usual = registry.default(kind)
            parser.add_argument(CHOOSERS[kind], dest=kind, nargs="?", default=usual, const=usual)
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


def of_core(commands: Mapping[str, Command]) -> set[str]:
    """Every flag of the commands that take plugins, by command name; no plugin may be called, or have a flag, like one.

    Read from the parser that typer makes of them.
    """
    app = typer.Typer(add_completion=False)
    for name, function in commands.items():
        app.command(name)(_extended(function, COMMANDS[name], {}, {}, ()))
    group: Any = typer.main.get_command(app)
    parameters = [parameter for parser in group.commands.values() for parameter in parser.params]
    options = [parameter for parameter in parameters if parameter.param_type_name == "option"]
    return {"--help"}.union(*((*option.opts, *option.secondary_opts) for option in options))


def attach(function: Command, arguments: Sequence[str] | None, kinds: Sequence[str], core: Collection[str]) -> Command:
    """function with an option to choose a plugin of each kind, and the options of those that `arguments` name.

    Only these are imported. function takes, beside its own parameters, `plugins: Chosen`. arguments: the words after
    the command's name, None for a command that does not run. core: see of_core(). Raises UsageError for a plugin that
    cannot be loaded, except where a shell asks for completions.
    """
    if arguments is None:
        return _extended(function, kinds, {}, {}, core)
    switches = registry.switches(core) if "regularizers" in kinds else {}
    plugins: dict[Key, Plugin] = {}
    for key in named(arguments, kinds, switches):
        try:
            plugins[key] = registry.load(*key, core)
            registry.refuse_clashes(plugins)
        except FewganError:
            if not completing():
                raise
            plugins.pop(key, None)
    taken = {text for (_, name), plugin in plugins.items() for text in flags_of(name, plugin.options)}
    switches = {name: entry for name, entry in switches.items() if not taken & {flag(name), flag(f"no-{name}")}}
    return _extended(function, kinds, switches, plugins, core)


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


def _extended(
    function: Command,
    kinds: Sequence[str],
    switches: Mapping[str, registry.Entry],
    plugins: Mapping[Key, Plugin],
    core: Collection[str],
) -> Command:
    """function with a keyword for each flag, which it gets back gathered in its `plugins`, by signature alone."""
    signature = inspect.signature(function, eval_str=True)
    choosers = {kind: _chooser(kind) for kind in kinds if kind in CHOOSERS}
    turns = {name: _switch(name, entry, plugins.get(("regularizers", name))) for name, entry in switches.items()}
    options = {
        (key, item.name): _own(key[1], plugin, item)
        for key, plugin in plugins.items()
        for item in fields_of(plugin.options)
        if not item.hidden
    }
    own = [parameter for parameter in signature.parameters.values() if parameter.name != "plugins"]
    parameters = [*choosers.values(), *turns.values(), *own, *options.values()]

    def run(**line: Any) -> None:
        chosen = [(kind, line.pop(parameter.name)) for kind, parameter in choosers.items()]
        on = {name: line.pop(parameter.name) for name, parameter in turns.items()}
        chosen += [("regularizers", name) for name, value in on.items() if value]
        values: dict[Key, dict[str, Any]] = {key: {} for key in plugins}
        for (key, name), parameter in options.items():
            values[key][name] = line.pop(parameter.name)
        choices = []
        for key in chosen if line.get("resume") is None else ():
            if key[1]:
                plugin = plugins.get(key) or registry.load(*key, core)
                made = registry.options_from(plugin, key[1], values.get(key, {}))
                choices.append(registry.choose(*key, made))
        off = tuple(name for name, value in on.items() if value is False)
        function(**line, plugins=Chosen(tuple(choices), off))

    run.__name__, run.__doc__ = function.__name__, function.__doc__
    run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


def _chooser(kind: str) -> inspect.Parameter:
    entries = registry.find(kind)

    def complete(incomplete: str) -> list[tuple[str, str]]:
        return [(name, claims[0].origin) for name, claims in entries.items() if name.startswith(incomplete)]

    return _keyword(
        f"plugin_{kind}", str | None, registry.default(kind), CHOOSERS[kind], metavar="NAME", rich_help_panel="Plugins",
        help=f"{registry.KINDS[kind].capitalize()}: {', '.join(entries) or 'none is installed'}.",
        autocompletion=complete,
    )  # fmt: skip


def _switch(name: str, entry: registry.Entry, plugin: Plugin | None) -> inspect.Parameter:
    more = command("fewgan", "plugins", "show", name)
    return _keyword(
        f"switch_{name}", bool | None, None, f"{flag(name)}/{flag(f'no-{name}')}", metavar="", show_default=False,
        help=plugin.summary if plugin else f"From {entry.origin}; its options: {more}", rich_help_panel="Regularizers",
    )  # fmt: skip


def _own(name: str, plugin: Plugin, item: Field) -> inspect.Parameter:
    text = flag(f"{name}-{item.name}")
    # The title of a panel is no wider than the terminal, which would break its frame.
    title = plugin.summary if plugin.summary.lower().startswith(name.lower()) else f"{name}: {plugin.summary}"
    room = max(20, shutil.get_terminal_size().columns - 6)
    return _keyword(
        f"option_{name}_{item.name}", item.type | None if item.optional else item.type, item.default,
        f"{text}/{flag(f'no-{name}-{item.name}')}" if item.type is bool else text,
        metavar=METAVARS[item.type], min=item.min, max=item.max, help=item.help,
        callback=finite if item.type is float else None,
        rich_help_panel=escaped(textwrap.shorten(one_line(title), room, placeholder=" …")),
    )  # fmt: skip


def _keyword(name: str, annotation: Any, default: Any, flags: str, *, help: str, **more: Any) -> inspect.Parameter:
    annotation = Annotated[annotation, typer.Option(flags, help=escaped(help), **more)]
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name.replace("-", "_"), kind, default=default, annotation=annotation)
