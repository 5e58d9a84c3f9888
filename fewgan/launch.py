"""One command line in one process, or in each of those that torchrun starts. Imports no torch for a single one."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from fewgan import failures
from fewgan.plugin import FewganError

TOGETHER = ("train", "fid")  # commands whose work is shared

Speaks = Callable[[], bool]


def launch(run: Callable[[Sequence[str], Speaks], int], arguments: Sequence[str]) -> int:
    """The exit code of run(arguments, speaks); speaks: whether it is this process's to say why it fails."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return run(arguments, failures.always)
    if not arguments or arguments[0] not in TOGETHER:
        return run(arguments, failures.always) if os.environ.get("RANK", "0") == "0" else 0
    from fewgan import distributed

    try:
        with distributed.joined() as first_to_fail:
            return run(arguments, first_to_fail)
    except FewganError as error:
        return failures.report(error, arguments)
