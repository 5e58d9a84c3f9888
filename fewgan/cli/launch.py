"""One command line in one process, or in each of those that torchrun starts. Imports no torch for a single one."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from fewgan import screen
from fewgan.cli import failures, threads
from fewgan.errors import FewganError, UsageError

TOGETHER = ("train", "fid")  # commands whose work is shared by the processes

Speaks = Callable[[], bool]


def launch(run: Callable[[Sequence[str], Speaks], int], arguments: Sequence[str]) -> int:
    """The exit code of run(arguments, speaks). speaks: whether this process is the one to print why it fails."""
    screen.open_streams()
    if not _positive(os.environ.get("COLUMNS", "1")):  # rich would print nothing at all in 0 columns
        del os.environ["COLUMNS"]
    try:
        _check_current_folder()
        rank, world_size = _ranks()
    except UsageError as error:
        return failures.report(error, arguments)
    try:
        threads.mind_others(arguments, alone=world_size == 1)
    except KeyboardInterrupt as error:
        return failures.report(error, arguments)
    if world_size == 1:
        return run(arguments, failures.always)
    if not arguments or arguments[0] not in TOGETHER:
        if rank > 0:
            if "TORCHELASTIC_RUN_ID" not in os.environ:  # not torchrun's: left over, perhaps
                said = f"nothing is done here: RANK is {rank}, and rank 0 does it; unset WORLD_SIZE to do it here"
                screen.Screen().warn(said)
            return 0
        return run(arguments, failures.always)
    code = _together(run, arguments)
    screen.flush()
    # Everything is written. Closing the connections in order now and then aborts a process that has succeeded.
    os._exit(code)


def _positive(text: str) -> bool:
    return text.isdecimal() and int(text) > 0


def _check_current_folder() -> None:
    """Raises UsageError where it was removed: torch's libraries would end the process with a message of their own."""
    try:
        os.getcwd()
    except OSError:
        raise UsageError("the current folder no longer exists; change to another one with cd") from None


def _ranks() -> tuple[int, int]:
    """(rank, number of processes) from the environment, as torchrun sets it. Raises UsageError for other values."""
    world_size = _number("WORLD_SIZE", 1, 1)
    if world_size == 1:  # what another program means by RANK does not matter
        return 0, 1
    _number("LOCAL_RANK", 0, 0)
    rank = _number("RANK", 0, 0)
    if rank >= world_size:
        raise UsageError(f"RANK={rank} in the environment: must be below WORLD_SIZE, which is {world_size}")
    return rank, world_size


def _number(name: str, default: int, low: int) -> int:
    text = os.environ.get(name, "").strip()
    if not text:
        return default
    if not (text.isascii() and text.isdecimal() and low <= int(text[:10]) and len(text) < 10):
        raise UsageError(
            f"{name}={text[:40]} in the environment: must be a whole number, {low} or more, as torchrun sets it; "
            "unset WORLD_SIZE to run in one process"
        )
    return int(text)


def _together(run: Callable[[Sequence[str], Speaks], int], arguments: Sequence[str]) -> int:
    from fewgan import distributed

    try:
        first_to_fail = distributed.init()
    except FewganError as error:
        return failures.report(error, arguments)
    try:
        code = run(arguments, first_to_fail)
    except SystemExit as done:  # this rank's part is done; rank 0 does the rest
        code = done.code if isinstance(done.code, int) else int(done.code is not None)
    if code:
        return code
    try:
        distributed.barrier()
    except FewganError as error:
        return failures.report(error, arguments, first_to_fail)
    return 0
