"""The two errors that carry a message for the user, and one that several commands give."""

from __future__ import annotations

import errno
import re
from pathlib import Path

KEPT_OUT = (errno.EACCES, errno.EPERM, errno.EROFS)
"""Numbers of an OSError where somebody may not write, or nobody may."""


class FewganError(Exception):
    """Something failed. The message is one line for the user: what, where, what to do. Exit code 1."""


class UsageError(FewganError):
    """The request itself cannot be served; the message says what can. Exit code 2."""


def of_address(place: str | Path) -> UsageError | None:
    """The error for an address in the place of a path; None where it is none. A Path has lost one of its slashes."""
    if re.match(r"(?i)https?:/", str(place)):
        address = re.sub(r"(?i)^(https?):/+", r"\1://", str(place))
        return UsageError(f"{address}: addresses are not fetched; download the file and give its path")
    return None
