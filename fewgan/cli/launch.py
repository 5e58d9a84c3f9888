"""One command line in one process, or in each of those that torchrun starts. Imports no torch for a single one."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence

from fewgan.cli import failures
from fewgan.errors import FewganError

TOGETHER = ("train", "fid")  # commands whose work is shared

Speaks = Callable[[], bool]


def launch(run: Callable[[Sequence[str], Speaks], int], arguments: Sequence[str]) -> int:
    """The exit code of run(arguments, speaks); speaks: whether it is this process's to say why it fails."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return run(arguments, failures.always)
    if not arguments or arguments[0] not in TOGETHER:
        return run(arguments, failures.always) if os.environ.get("RANK", "0") == "0" else 0
    code = _together(run, arguments)
    sys.stdout.flush()
    sys.stderr.flush()
    # Everything is written. Taking the connections down in order now and then aborts a process that has succeeded.
    os._exit(code)


def _together(run: Callable[[Sequence[str], Speaks], int], arguments: Sequence[str]) -> int:
    from fewgan import distributed

    try:
        first_to_fail = distributed.join()
    except FewganError as error:
        return failures.report(error, arguments)
    try:
        code = run(arguments, first_to_fail)
    except SystemExit as done:  # dismissed: the first process does the rest alone
        code = int(done.code or 0)
    if code:
        return code
    try:
        distributed.finish()
    except FewganError as error:
        return failures.report(error, arguments, first_to_fail)
    return 0
