"""How a command says that it failed: one line for anything that a user can cause, and the exit code."""

from __future__ import annotations

import os
import re
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

from fewgan import registry, screen
from fewgan.cli import choosing
from fewgan.errors import KEPT_OUT, FewganError, UsageError
from fewgan.installed import KINDS

OUT_OF_MEMORY = {
    "train": "use a smaller --batch-size (half of it with --grad-accumulation 2 gives the same update), a "
    "smaller --size, or ",
    "sample": "take fewer with --count, or ",
    "fid": "take fewer with --count, or ",
}
# What typer says of values from 0.29 on.
_PLAINLY = {
    "Input should be a valid integer, .*": "must be a whole number",
    "Input should be a valid number, .*": "must be a number",
    "Input should be greater than or equal to (.*)": r"must be \1 or more",
    "Input should be less than or equal to (.*)": r"must be \1 or less",
}
_ENDS = [one for one in signal.Signals if one.name in ("SIGTERM", "SIGHUP")]


def exit_on_signals() -> None:
    """Has SIGTERM and SIGHUP raise SystemExit, so that unfinished files are removed; one that is ignored stays so."""
    for signum in _ENDS:
        if signal.getsignal(signum) != signal.SIG_IGN:
            signal.signal(signum, lambda number, _: sys.exit(128 + number))


def always() -> bool:
    return True


def report(error: BaseException, arguments: Sequence[str], speaks: Callable[[], bool] = always) -> int:
    """Prints what went wrong to stderr and returns the exit code. FEWGAN_DEBUG=1: raises an internal error again.

    An exit, such as that of SIGTERM, goes on, unless a plugin exits where it has no right to. speaks: whether this
    process is the one to print it, where there are several.
    """
    if isinstance(error, SystemExit) and isinstance(error.__context__, BrokenPipeError):
        return 0  # rich's, where whoever reads the help has gone
    if isinstance(error, SystemExit) and not _by_a_plugin(error):
        ended_by = next((one.name for one in _ENDS if error.code == 128 + one), None)
        if ended_by is not None and speaks():
            screen.error(f"stopped by {ended_by}")
        raise error
    code, message = _explain(error, arguments)
    if code is None and os.environ.get("FEWGAN_DEBUG"):
        raise error
    if speaks():
        screen.error(message)
    return 1 if code is None else code


def _explain(error: BaseException, arguments: Sequence[str]) -> tuple[int | None, str]:
    """(exit code, message); the code of an internal error is None."""
    kind = type(error).__name__
    if isinstance(error, FewganError):
        return getattr(error, "exit_code", 2 if isinstance(error, UsageError) else 1), str(error)
    if isinstance(error, KeyboardInterrupt) or kind == "Abort":
        return 130, "stopped"
    if hasattr(error, "format_message"):  # typer's own; where its classes are depends on its version
        return 2, _usage(error, arguments)
    if (told := _of_the_system(error, arguments)) is not None:
        return 1, told
    last = traceback.extract_tb(error.__traceback__)[-1:]
    where = "".join(f" in {'/'.join(Path(frame.filename).parts[-3:])}:{frame.lineno}" for frame in last)
    whose = _whose(error)
    report_it = "report it to its author" if whose else "please report it"
    return None, f"internal error{whose} ({report_it}): {kind}: {error}{where}; FEWGAN_DEBUG=1 prints the traceback"


def _of_the_system(error: BaseException, arguments: Sequence[str]) -> str | None:
    """What memory, disk or permissions refused; None for other errors."""
    said = str(error)
    if isinstance(error, ImportError) and "failed to map segment" in said:
        library = said.partition(":")[0]
        return f"{library} cannot be loaded: too little memory is allowed (ulimit -v), or its disk is mounted noexec"
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in said:
        return f"out of memory; {OUT_OF_MEMORY.get(next(iter(arguments), ''), '')}close other programs"
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        advice = "; check who may use it, or name another place" if error.errno in KEPT_OUT else ""
        return f"{where}{error.strerror or error}{advice}"
    return None


def _by_a_plugin(error: BaseException) -> bool:
    """Whether it came from a plugin, other than a command, which may exit as it likes."""
    whose = _whose(error)
    return bool(whose) and not whose.startswith(f" in the {KINDS['commands']} ")


def _whose(error: BaseException) -> str:
    """` in the augmentation NAME of the package PACKAGE`, if its code failed, or was the last to call what failed."""
    modules = [_module(frame) for frame, _ in traceback.walk_tb(error.__traceback__)]
    entries = {entry: entry.value.partition(":")[0] for entry in registry.describe()}
    for module in reversed(modules):
        top = module.partition(".")[0]
        if top == "fewgan":
            return ""
        of_package = [entry for entry, own in entries.items() if own.partition(".")[0] == top]
        found = [entry for entry in of_package if entries[entry] == module] or of_package
        if found:
            plugin = f"the {KINDS[found[0].kind]} {found[0].name} of " if len(found) == 1 else ""
            return f" in {plugin}the package {found[0].package}"
    return ""


def _module(frame: FrameType) -> str:
    """The module whose code runs in a frame; of a method of torch, that of the class of its object.

    A forward that cannot be called with what it is given fails in torch, before a line of it runs.
    """
    module, runs = str(frame.f_globals.get("__name__")), frame.f_locals.get("self")
    return type(runs).__module__ if runs is not None and module.startswith("torch.") else module


def _usage(error: BaseException, arguments: Sequence[str]) -> str:
    """typer's message, and where to read on; more for an option that the command lacks."""
    message: str = error.format_message().rstrip(".")  # type: ignore[attr-defined]
    for theirs, plain in _PLAINLY.items():
        message = re.sub(theirs, plain, message)
    context = getattr(error, "ctx", None)
    named = [word for word in arguments if not word.startswith("-")][:1]
    path = context.command_path if context is not None else " ".join(["fewgan", *named])
    option = getattr(error, "option_name", None)
    if option is not None and "o such option" in message:
        taken = path.removeprefix("fewgan ")
        if taken == "train" and any(word.partition("=")[0] == "--resume" for word in arguments):
            return f"{option} cannot be used with --resume, which takes the settings of the run; leave it out"
        if hint := choosing.hint(option, taken):
            return hint
    package = next((known for known in registry.PACKAGES if f"No such command '{known[7:]}'" in message), None)
    more = f" For that of the package {package}: {registry.how_to_install(package)}." if package else ""
    return f"{message}{'' if message.endswith('?') else '.'}{more} See '{path} --help'."
