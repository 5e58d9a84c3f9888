"""Commands that plugins bring: each is one entry point, its options are the command's own flags."""

from __future__ import annotations

import inspect
from collections.abc import Collection
from typing import Annotated, Any

import typer

from fewgan import registry
from fewgan.cli import choosing, show
from fewgan.cli.flags import Json, Quiet, escaped
from fewgan.errors import FewganError
from fewgan.faults import check_call, fault
from fewgan.options import Field, fields_of
from fewgan.plugin import Plugin
from fewgan.screen import Screen, others_aside


def add(app: typer.Typer, running: str, core: Collection[str]) -> None:
    """Adds the installed commands to the app. Only the one that runs is imported; for the list of all, fewgan's own.

    core: the names of fewgan's commands. Raises UsageError for a running one that cannot be loaded.
    """
    for name, entries in registry.find("commands").items():
        if name in core:  # fewgan's own goes on working; `fewgan plugins check` tells of the other
            continue
        summary = entries[0].summary
        function = _absent
        if name == running or (not running and entries[0].package == "fewgan"):
            try:
                plugin = registry.load("commands", name, core)
                summary, function = plugin.summary, _command(name, plugin)
            except FewganError:
                if name == running and not choosing.completing():
                    raise
        app.command(name, help=escaped(summary), short_help=escaped(summary))(function)


def _absent() -> None:
    """Stands in the list of commands; typer runs another one."""


def _command(name: str, plugin: Plugin) -> choosing.Command:
    fields = {f"option_{item.name}": item for item in fields_of(plugin.options) if not item.hidden}

    def run(*, quiet: bool, as_json: bool, **line: Any) -> None:
        values = {fields[key].name: tuple(value) if isinstance(value, list) else value for key, value in line.items()}
        options = registry.options_from(plugin, name, values)
        with others_aside(as_json):
            command = plugin.build(options)
            if not callable(getattr(command, "run", None)):
                raise fault("commands", name, f"its build returned {type(command).__name__}, which has no run")
            check_call("commands", name, "run", command.run, 2)
            found = command.run(options, Screen(quiet))
        if found is not None:
            show.result(found, as_json, _text)

    parameters = [_argument(item) if item.argument else choosing.parameter(item, "") for item in fields.values()]
    switches = [_keyword("quiet", False, Quiet), _keyword("as_json", False, Json)]
    return choosing.with_parameters(run, run, [*parameters, *switches])


def _keyword(name: str, default: Any, annotation: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _argument(item: Field) -> inspect.Parameter:
    kind, default = choosing.typed(item)
    place = typer.Argument(metavar=item.name.upper(), help=escaped(item.help), min=item.min, max=item.max)
    return _keyword(
        f"option_{item.name}",
        inspect.Parameter.empty if default in ("", []) else default,
        Annotated[kind, place],
    )


def _text(found: Any) -> str:
    if hasattr(found, "text"):
        return str(found.text())
    return show.facts(found) if isinstance(found, dict) else str(found)
