"""Flags: short words for the ones of the commands, and the options of plugins as flags that typer parses."""

from __future__ import annotations

import inspect
import math
import re
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

Command = Callable[..., None]

METAVARS = {int: "N", float: "X", str: "TEXT", bool: ""}


def text(metavar: str, help: str, panel: str | None = None, *, among: Sequence[str] = ()) -> Any:
    """An option with a value; among: what a shell completes."""

    def complete(incomplete: str) -> list[str]:
        return [word for word in among if word.startswith(incomplete)]

    return typer.Option(metavar=metavar, help=_escaped(help), rich_help_panel=panel, autocompletion=complete)


def whole(low: int, help: str, panel: str | None = None, *, metavar: str = "N") -> Any:
    """An option with a whole number, low or more."""
    return typer.Option(metavar=metavar, min=low, help=_escaped(help), rich_help_panel=panel)


def real(help: str, panel: str | None = None) -> Any:
    """An option with a finite number, 0 or more."""
    return typer.Option(metavar="X", min=0, callback=finite, help=_escaped(help), rich_help_panel=panel)


def switch(text: str, help: str, panel: str | None = None) -> Any:
    """An option without a value."""
    return typer.Option(text, metavar="", help=_escaped(help), rich_help_panel=panel)


def finite(value: float | None) -> float | None:
    """typer callback: refuses nan and inf, which float() reads."""
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter(f"must be a finite number, not {value}")
    return value


def numbers(option: str, text: str | None) -> tuple[float, ...]:
    """`0.2,0.4` as numbers; None: none. Raises UsageError naming the option."""
    if text is None:
        return ()
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = (math.nan,)
    if not all(math.isfinite(value) and value > 0 for value in values):
        raise UsageError(f"{option} {text}: give numbers above 0 with commas between, such as 0.2,0.6,1.0")
    return values


def given(context: typer.Context, *, allowed: Collection[str], beside: str) -> set[str]:
    """The parameters that the command line itself gives. Raises UsageError for one that is not among the allowed."""
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
            raise UsageError(f"{shown} cannot go with {beside}, which takes everything from the run; leave it out")
        found.add(name)
    return found


def attach(command: Command, arguments: Sequence[str] | None, kinds: Sequence[str]) -> Command:
    """command with an option to choose a plugin of each kind, and the options of those that `arguments` choose.

    Only these are imported. command takes, beside its own parameters, `plugins: Chosen`. arguments: the words after
    the command's name; None: it is not the one that runs. Raises UsageError for a plugin that cannot be had.
    """
    if arguments is None:
        return _extended(command, kinds, {}, {})
    switches = registry.switches() if "regularizers" in kinds else {}
    valued = [text for text, takes in takes_value(_extended(command, kinds, {}, {})).items() if takes]
    chosen = choosing.plugins(arguments, valued, kinds, switches)
    try:
        registry.refuse_clashes(chosen)
    except FewganError:
        if not choosing.completing():
            raise
        chosen = {}
    taken = {text for (_, name), plugin in chosen.items() for text in flags_of(name, plugin.options)}
    switches = {name: entry for name, entry in switches.items() if not taken & {flag(name), flag(f"no-{name}")}}
    return _extended(command, kinds, switches, chosen)


def takes_value(command: Command) -> dict[str, bool]:
    """Every flag that typer makes of a command, and whether the next word is its value."""
    single = typer.Typer(add_completion=False)
    single.command()(command)
    found = {"--help": False}
    for parameter in typer.main.get_command(single).params:
        if parameter.param_type_name == "option":
            for text in (*parameter.opts, *parameter.secondary_opts):
                found[text] = not getattr(parameter, "is_flag", False)
    return found


def _extended(
    command: Command, kinds: Sequence[str], switches: Mapping[str, registry.Entry], chosen: Mapping[Key, Plugin]
) -> Command:
    """command with a keyword for each flag, which it gets back gathered in its `plugins`, by signature alone."""
    signature = inspect.signature(command, eval_str=True)
    choosers = [_chooser_option(kind) for kind in kinds if kind in CHOOSERS]
    turns = {name: _switch_option(name, entry, chosen.get(("regularizers", name))) for name, entry in switches.items()}
    options = {
        (key, item.name): _own_option(key[1], plugin, item)
        for key, plugin in chosen.items()
        for item in fields_of(plugin.options)
        if not item.hidden
    }
    own = [parameter for parameter in signature.parameters.values() if parameter.name != "plugins"]
    parameters = [*choosers, *turns.values(), *own, *options.values()]

    def run(**line: Any) -> None:
        for parameter in choosers:  # known already, from before typer saw the line
            del line[parameter.name]
        on = {name: line.pop(parameter.name) for name, parameter in turns.items()}
        values: dict[Key, dict[str, Any]] = {key: {} for key in chosen}
        for (key, name), parameter in options.items():
            values[key][name] = line.pop(parameter.name)
        choices = tuple(
            registry.choose(*key, registry.options_from(plugin, key[1], values[key])) for key, plugin in chosen.items()
        )
        command(**line, plugins=Chosen(choices, tuple(name for name, value in on.items() if value is False)))

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
        help=_escaped(plugin.summary if plugin else f"From {entry.origin}; its options: fewgan plugins show {name}"),
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
    """The panel of a plugin, no wider than the terminal, or its frame would break."""
    whole = summary if summary.lower().startswith(name.lower()) else f"{name}: {summary}"
    room = max(20, shutil.get_terminal_size().columns - 6)
    return _escaped(textwrap.shorten(registry.one_line(whole), room, placeholder=" …"))


def _escaped(text: str) -> str:
    """Text for typer's help pages, which read [words] as markup."""
    return re.sub(r"\[(?=[a-zA-Z#/@])", r"\\[", registry.one_line(text))
