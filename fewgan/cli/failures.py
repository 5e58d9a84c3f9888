"""How a command says that it failed: one line for anything that a user can cause, and the exit code."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

import typer

from fewgan import registry
from fewgan.cli import choosing
from fewgan.errors import FewganError, UsageError

OUT_OF_MEMORY = (
    "out of memory; take a smaller --batch-size (--grad-accumulation 2 makes up for half of it), a smaller --size, or "
    "close other programs"
)
PLUGINS = "Packages in the plugins/ folder of fewgan's repository bring theirs: pip install ./plugins/fewgan-NAME"


def always() -> bool:
    return True


def report(error: BaseException, arguments: Sequence[str], speaks: Callable[[], bool] = always) -> int:
    """Says what went wrong on stderr and returns the exit code. FEWGAN_DEBUG=1: raises what nobody expected again.

    speaks: whether it is this process's to say so, where there are several.
    """
    if isinstance(error, BrokenPipeError):
        # Whoever read the output has gone; what is still in the buffer must not fail again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    code, message = _explain(error, arguments)
    if code is None and os.environ.get("FEWGAN_DEBUG"):
        raise error
    if not speaks():
        return 1 if code is None else code
    typer.secho("Error: ", fg=typer.colors.RED, bold=True, nl=False, err=True)
    typer.echo(registry.one_line(message), err=True)
    return 1 if code is None else code


def _explain(error: BaseException, arguments: Sequence[str]) -> tuple[int | None, str]:
    """(exit code, message); no code for what nobody expected."""
    kind = type(error).__name__
    if isinstance(error, FewganError):
        return getattr(error, "exit_code", 2 if isinstance(error, UsageError) else 1), str(error)
    if isinstance(error, KeyboardInterrupt) or kind == "Abort":
        return 130, "stopped"
    if hasattr(error, "format_message"):  # typer's own; its classes have moved between versions
        return 2, _usage(error, arguments)
    if isinstance(error, MemoryError) or kind == "OutOfMemoryError" or "can't allocate memory" in str(error):
        return 1, OUT_OF_MEMORY
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return 1, f"{where}{error.strerror or error}"
    last = traceback.extract_tb(error.__traceback__)[-1:]
    where = "".join(f" in {'/'.join(Path(frame.filename).parts[-3:])}:{frame.lineno}" for frame in last)
    return None, f"a fault in the program, not in what you did: {kind}: {error}{where}; FEWGAN_DEBUG=1 shows the rest"


def _usage(error: BaseException, arguments: Sequence[str]) -> str:
    """What typer says, and where to read on; more for an option that the command lacks."""
    message = error.format_message()  # type: ignore[attr-defined]
    context = getattr(error, "ctx", None)
    command = next((word for word in arguments if not word.startswith("-")), "")
    path = context.command_path if context is not None else f"fewgan {command}".strip()
    option = getattr(error, "option_name", None)
    if option is not None and "o such option" in message:
        taken = path.removeprefix("fewgan ")
        if taken == "train" and any(word.partition("=")[0] == "--resume" for word in arguments):
            return f"{option} cannot go with --resume, which takes everything from the run; leave it out"
        found = choosing.owner(option)
        if found is not None:
            return _of_plugin(option, *found, taken)
        if taken in choosing.COMMANDS and not getattr(error, "possibilities", None):
            message += f". {PLUGINS}"
    message = message.rstrip(".")
    return f"{message}{'' if message.endswith('?') else '.'} See '{path} --help'."


def _of_plugin(option: str, entry: registry.Entry, real: bool, command: str) -> str:
    if choosing.command_of(entry.kind) != command:
        return f"{option} belongs to {entry.name}, which is for 'fewgan {choosing.command_of(entry.kind)}'"
    if real:
        return f"{option} belongs to {entry.name}; add {choosing.chooser(entry)}"
    return f"{entry.name} has no option {option}; see 'fewgan plugins show {entry.name}'"
