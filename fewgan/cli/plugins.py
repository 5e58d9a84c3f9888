"""`fewgan plugins`: what is installed, what one can do, and whether all load."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Annotated

import typer

from fewgan import registry
from fewgan.cli import show
from fewgan.cli.flags import Json


def group(core: Callable[[], set[str]]) -> typer.Typer:
    """The command and its subcommands. core: gives the flags and names that no plugin may have."""
    app = typer.Typer(invoke_without_command=True)

    @app.callback()
    def listing(*, ctx: typer.Context, as_json: Json = False) -> None:
        """List the installed plugins, show one, or check them all."""
        ctx.obj = as_json  # for the subcommands, before which it may stand
        if ctx.invoked_subcommand is None:
            show.result(registry.describe(), as_json, show.listed)

    @app.command("show")
    def show_one(
        *,
        ctx: typer.Context,
        name: Annotated[str, typer.Argument(metavar="NAME", help="A plugin.")],
        as_json: Json = False,
    ) -> None:
        """Print a plugin's options: flags, types, defaults, ranges."""
        show.result(show.about(name, core()), as_json or ctx.obj, show.plugin)

    @app.command("check")
    def check(*, ctx: typer.Context, as_json: Json = False) -> None:
        """Load every plugin and report the broken ones; exit code 1 if there are any."""
        results = [{**dataclasses.asdict(entry), "error": error} for entry, error in registry.check(core())]
        show.result(results, as_json or ctx.obj, show.checked)
        if any(result["error"] for result in results):
            raise typer.Exit(1)

    return app
