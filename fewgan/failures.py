"""How a command says that it failed: one line for anything that a user can cause, and the exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import typer

from fewgan import choosing, registry
from fewgan.plugin import FewganError, UsageError


def report(error: BaseException, arguments: Sequence[str]) -> int:
    """Says what went wrong on stderr and returns the exit code. FEWGAN_DEBUG=1: raises what nobody expected again."""
    if isinstance(error, BrokenPipeError):
        # Whoever read the output has gone; what is still in the buffer must not fail again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    code, message = _explain(error, arguments)
    if code is None:
        if os.environ.get("FEWGAN_DEBUG"):
            raise error
        code = 1
    typer.secho("Error: ", fg=typer.colors.RED, bold=True, nl=False, err=True)
    typer.echo(registry.one_line(message), err=True)
    return code


def _explain(error: BaseException, arguments: Sequence[str]) -> tuple[int | None, str]:
    """(exit code, message); no code for a fault of fewgan's own."""
    kind = type(error).__name__
    if isinstance(error, FewganError):
        return getattr(error, "exit_code", 2 if isinstance(error, UsageError) else 1), str(error)
    if isinstance(error, KeyboardInterrupt) or kind == "Abort":
        return 130, "stopped"
    if hasattr(error, "format_message"):  # typer's own; its classes have moved between versions
        return 2, _usage(error, arguments)
    if isinstance(error, MemoryError) or kind == "OutOfMemoryError" or "can't allocate memory" in str(error):
        return 1, "out of memory; take a smaller --batch-size (with --grad-accumulation for the same effect) or --size"
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return 1, f"{where}{error.strerror or error}"
    return None, f"this is a fault of fewgan, not of yours: {kind}: {error} (FEWGAN_DEBUG=1 shows where)"


def _usage(error: BaseException, arguments: Sequence[str]) -> str:
    message = error.format_message()  # type: ignore[attr-defined]
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "fewgan"
    option = getattr(error, "option_name", None)
    if option is not None and "No such option" in message:
        return _unknown(option, message, path, arguments)
    return f"{message.rstrip('.')}. See '{path} --help'."


def _unknown(option: str, message: str, path: str, arguments: Sequence[str]) -> str:
    """An option that the command lacks, most often one of a plugin that is not chosen."""
    takes_plugins = path.endswith((" train", " fid"))
    if not takes_plugins:
        return f"{message.rstrip('.')}. See '{path} --help'."
    if any(word.partition("=")[0] == "--resume" for word in arguments):
        return f"{option} cannot go with --resume, which takes it from the run; leave it out"
    found = choosing.owner(option)
    if found is None:
        return (
            f"{message.rstrip('.')}. See '{path} --help'. Plugins in the plugins/ folder of fewgan's repository bring "
            "theirs: pip install ./plugins/fewgan-NAME"
        )
    entry, real = found
    chosen = choosing.chooser(entry)
    if real:
        return f"{option} belongs to {entry.name}; add {chosen}"
    return f"{entry.name} has no option {option}; see 'fewgan plugins show {entry.name}'"
