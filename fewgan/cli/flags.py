"""Short words for the options of the commands."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import typer

from fewgan.errors import UsageError
from fewgan.screen import one_line

LARGEST = 2**31 - 1  # of a whole number
PATHS = ("--out", "--source", "--resume", "--latents", "--against")


def text(metavar: str, help: str, panel: str | None = None, *, among: Sequence[str] = ()) -> Any:
    """An option with a value. among: what a shell completes."""

    def complete(incomplete: str) -> list[str]:
        return [word for word in among if word.startswith(incomplete)]

    return typer.Option(metavar=metavar, help=escaped(help), rich_help_panel=panel, autocompletion=complete)


def whole(low: int, help: str, panel: str | None = None, *, most: int = LARGEST) -> Any:
    """An option with a whole number from low to most."""

    def bounded(value: int | None) -> int | None:  # not `max=`, which would stand in every line of the help
        if value is not None and value > most:
            raise typer.BadParameter(f"must be at most {most}, not {value}")
        return value

    return typer.Option(metavar="N", min=low, callback=bounded, help=escaped(help), rich_help_panel=panel)


def real(help: str, panel: str | None = None) -> Any:
    """An option with a finite number, 0 or more."""
    return typer.Option(metavar="X", min=0, callback=finite, help=escaped(help), rich_help_panel=panel)


def switch(text: str, help: str, panel: str | None = None) -> Any:
    """An option without a value."""
    return typer.Option(text, metavar="", help=escaped(help), rich_help_panel=panel)


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


def ratio(option: str, text: str | None) -> float | None:
    """`3:2` or `1.5` as width by height. Raises UsageError that names the option."""
    if text is None:
        return None
    width, _, height = text.partition(":")
    try:
        value = float(width) / float(height or 1)
    except (ValueError, ZeroDivisionError):
        value = math.nan
    if not math.isfinite(value) or value <= 0:
        raise UsageError(f"{option} {text}: must be a width by height, such as 3:2 or 1.5")
    return value


def refuse_empty(arguments: Sequence[str]) -> None:
    """Raises UsageError for an empty argument, such as a variable that is not set: as a path it is the current folder.

    Options other than those of paths may be empty.
    """
    for before, word in pairwise(arguments):
        empty = not word and (before in PATHS or not before.startswith("-"))
        if empty or (word.endswith("=") and word[:-1] in PATHS):
            place = before if empty else word
            raise UsageError(f"the argument after {place!r} is empty; give a path (the current folder is .)")


def given_with_resume(context: typer.Context, *, allowed: Collection[str]) -> set[str]:
    """The parameters that are given beside --resume. Raises UsageError for one that is not allowed."""
    resume = str(context.params["resume"])
    if resume.startswith("-") and not Path(resume).exists():
        raise UsageError(f"--resume {resume}: give a run first, or latest, as in --resume latest {resume}")
    found: set[str] = set()
    for name, parameter in _on_the_line(context):
        if name not in allowed:
            turned_off = context.params[name] is False and parameter.secondary_opts
            shown = (parameter.secondary_opts if turned_off else parameter.opts)[0]
            raise UsageError(f"{shown} cannot be used with --resume, which takes the settings of the run; leave it out")
        found.add(name)
    return found


def _on_the_line(context: typer.Context) -> Iterator[tuple[str, Any]]:
    """The parameters of the command that are given on the command line, by their names."""
    for parameter in context.command.params:
        name = parameter.name or ""
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            yield name, parameter


def scoring(context: typer.Context, features: Any, every: int | None) -> Any:
    """The features that score a training; None where none are asked for. Raises UsageError where they have no use."""
    if every is not None:
        return features
    for name, parameter in _on_the_line(context):
        if name == "plugin_features" or name.startswith(f"option_{features.name}_".replace("-", "_")):
            raise UsageError(f"{parameter.opts[0]} has an effect only with --score-every; add --score-every N")
    return None


def escaped(text: str) -> str:
    """Text for typer's help pages, where [words] are markup."""
    return re.sub(r"\[(?=[a-zA-Z#/@])", r"\\[", one_line(text))


Quiet = Annotated[bool, switch("--quiet", "Print only warnings and the result.")]
Json = Annotated[bool, switch("--json", "Print the result as JSON.")]
Seed = Annotated[int, whole(0, "Random seed; the same seed gives the same result.", most=2**63 - 1)]
Device = Annotated[str, text("NAME", "auto, cpu, cuda, cuda:N or mps.", among=("auto", "cpu", "cuda", "mps"))]
StandingStats = Annotated[int, whole(0, "Re-estimate batch-norm statistics over N batches; 0: as trained.")]
