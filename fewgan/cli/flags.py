"""Flags: short words for those of the commands, and the options of plugins as flags that typer parses."""

from __future__ import annotations

import inspect
import math
import os
import re
import shlex
import shutil
import textwrap
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Annotated, Any

import typer

from fewgan import registry
from fewgan.cli import choosing
from fewgan.cli.choosing import CHOOSERS, Chosen, Key
from fewgan.errors import FewganError, UsageError
from fewgan.options import Field, fields_of, flag, flags_of
from fewgan.plugin import Plugin
from fewgan.screen import command as shown
from fewgan.screen import one_line

Command = Callable[..., None]

METAVARS = {int: "N", float: "X", str: "TEXT", bool: ""}
LARGEST = 2**31 - 1  # of a whole number


def text(metavar: str, help: str, panel: str | None = None, *, among: Sequence[str] = ()) -> Any:
    """An option with a value. among: what a shell completes."""

    def complete(incomplete: str) -> list[str]:
        return [word for word in among if word.startswith(incomplete)]

    return typer.Option(metavar=metavar, help=_escaped(help), rich_help_panel=panel, autocompletion=complete)


def whole(low: int, help: str, panel: str | None = None, *, most: int = LARGEST) -> Any:
    """An option with a whole number from low to most."""

    def bounded(value: int | None) -> int | None:  # not `max=`, which would stand in every line of the help
        if value is not None and value > most:
            raise typer.BadParameter(f"must be at most {most}, not {value}")
        return value

    return typer.Option(metavar="N", min=low, callback=bounded, help=_escaped(help), rich_help_panel=panel)


def real(help: str, panel: str | None = None) -> Any:
    """An option with a finite number, 0 or more."""
    return typer.Option(metavar="X", min=0, callback=finite, help=_escaped(help), rich_help_panel=panel)


def switch(text: str, help: str, panel: str | None = None) -> Any:
    """An option without a value."""
    return typer.Option(text, metavar="", help=_escaped(help), rich_help_panel=panel)


def finite(value: float | None) -> float | None:
    """typer callback: refuses nan and inf, which float() accepts."""
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter(f"must be a finite number, not {value}")
    return value


def numbers(option: str, text: str | None) -> tuple[float, ...]:
    """`0.2,0.4` as numbers; None: no numbers. Raises UsageError that names the option."""
    if text is None:
        return ()
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = (math.nan,)
    if not all(math.isfinite(value) and value > 0 for value in values):
        raise UsageError(f"{option} {text}: must be numbers above 0, separated by commas, such as 0.2,0.6,1.0")
    return values


def given(context: typer.Context, *, allowed: Collection[str], beside: str) -> set[str]:
    """The parameters that are given on the command line. Raises UsageError for one that is not allowed."""
    found: set[str] = set()
    for parameter in context.command.params:
        name = parameter.name or ""
        source = context.get_parameter_source(name)
        if source is None or source.name != "COMMANDLINE":
            continue
        if name not in allowed:
            turned_off = context.params[name] is False and parameter.secondary_opts
            shown = (parameter.secondary_opts if turned_off else parameter.opts)[0]
            if parameter.param_type_name == "argument":
                shown = str(context.params[name])
            raise UsageError(f"{shown} cannot be used with {beside}, which takes the settings of the run; leave it out")
        found.add(name)
    return found


def of_core(commands: Mapping[str, Command]) -> set[str]:
    """Every flag of the commands that take plugins, by command name; no plugin may be called, or have a flag, like one.

    Read from the parser that typer makes of them.
    """
    app = typer.Typer(add_completion=False)
    for name, command in commands.items():
        app.command(name)(_extended(command, choosing.COMMANDS[name], {}, {}, ()))
    group: Any = typer.main.get_command(app)
    parameters = [parameter for command in group.commands.values() for parameter in command.params]
    options = [parameter for parameter in parameters if parameter.param_type_name == "option"]
    return {"--help"}.union(*((*option.opts, *option.secondary_opts) for option in options))


def attach(command: Command, arguments: Sequence[str] | None, kinds: Sequence[str], core: Collection[str]) -> Command:
    """command with an option to choose a plugin of each kind, and the options of those that `arguments` name.

    Only these are imported. command takes, beside its own parameters, `plugins: Chosen`. arguments: the words after
    the command's name, None for a command that does not run. core: see of_core(). Raises UsageError for a plugin that
    cannot be loaded, except where a shell asks for completions.
    """
    if arguments is None:
        return _extended(command, kinds, {}, {}, core)
    switches = registry.switches(core) if "regularizers" in kinds else {}
    plugins: dict[Key, Plugin] = {}
    for key in choosing.named(arguments, kinds, switches):
        try:
            plugins[key] = registry.load(*key, core)
            registry.refuse_clashes(plugins)
        except FewganError:
            if not completing():
                raise
            plugins.pop(key, None)
    taken = {text for (_, name), plugin in plugins.items() for text in flags_of(name, plugin.options)}
    switches = {name: entry for name, entry in switches.items() if not taken & {flag(name), flag(f"no-{name}")}}
    return _extended(command, kinds, switches, plugins, core)


def completing() -> bool:
    """A shell asks for completions: nothing may fail, and nothing is printed but them."""
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


def _extended(
    command: Command,
    kinds: Sequence[str],
    switches: Mapping[str, registry.Entry],
    plugins: Mapping[Key, Plugin],
    core: Collection[str],
) -> Command:
    """command with a keyword for each flag, which it gets back gathered in its `plugins`, by signature alone."""
    signature = inspect.signature(command, eval_str=True)
    choosers = {kind: _chooser_option(kind) for kind in kinds if kind in CHOOSERS}
    turns = {name: _switch_option(name, entry, plugins.get(("regularizers", name))) for name, entry in switches.items()}
    options = {
        (key, item.name): _own_option(key[1], plugin, item)
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
        command(**line, plugins=Chosen(tuple(choices), off))

    run.__name__, run.__doc__ = command.__name__, command.__doc__
    run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


def _chooser_option(kind: str) -> inspect.Parameter:
    entries = registry.find(kind)

    def complete(incomplete: str) -> list[tuple[str, str]]:
        return [(name, claims[0].origin) for name, claims in entries.items() if name.startswith(incomplete)]

    info = typer.Option(
        CHOOSERS[kind],
        metavar="NAME",
        help=_escaped(f"{registry.KINDS[kind].capitalize()}: {', '.join(entries) or 'none is installed'}."),
        autocompletion=complete,
        rich_help_panel="Plugins",
    )
    return _keyword(f"plugin_{kind}", str | None, info, registry.default(kind))


def _switch_option(name: str, entry: registry.Entry, plugin: Plugin | None) -> inspect.Parameter:
    info = typer.Option(
        f"{flag(name)}/{flag(f'no-{name}')}",
        metavar="",
        help=_escaped(
            plugin.summary
            if plugin
            else f"From {entry.origin}; its options: {shown('fewgan', 'plugins', 'show', name)}"
        ),
        show_default=False,
        rich_help_panel="Regularizers",
    )
    return _keyword(f"switch_{name}", bool | None, info, None)


def _own_option(name: str, plugin: Plugin, item: Field) -> inspect.Parameter:
    text = flag(f"{name}-{item.name}")
    info = typer.Option(
        f"{text}/{flag(f'no-{name}-{item.name}')}" if item.type is bool else text,
        metavar=METAVARS[item.type],
        help=_escaped(item.help),
        min=item.min,
        max=item.max,
        callback=finite if item.type is float else None,
        rich_help_panel=_title(name, plugin.summary),
    )
    return _keyword(f"option_{name}_{item.name}", item.type | None if item.optional else item.type, info, item.default)


def _keyword(name: str, annotation: Any, info: Any, default: Any) -> inspect.Parameter:
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name.replace("-", "_"), kind, default=default, annotation=Annotated[annotation, info])


def _title(name: str, summary: str) -> str:
    """The title of a plugin's panel, no wider than the terminal, which would break its frame."""
    whole = summary if summary.lower().startswith(name.lower()) else f"{name}: {summary}"
    room = max(20, shutil.get_terminal_size().columns - 6)
    return _escaped(textwrap.shorten(one_line(whole), room, placeholder=" …"))


def _escaped(text: str) -> str:
    """Text for typer's help pages, where [words] are markup."""
    return re.sub(r"\[(?=[a-zA-Z#/@])", r"\\[", one_line(text))
