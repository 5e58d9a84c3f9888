"""Where fewgan keeps what it can get or compute again: downloaded weights, features of photos."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: nobody waits there
    fcntl = None  # type: ignore[assignment]


def folder() -> Path:
    """FEWGAN_CACHE, else `fewgan` in XDG_CACHE_HOME, else ~/.cache/fewgan. It need not exist yet."""
    if chosen := os.environ.get("FEWGAN_CACHE"):
        return Path(chosen).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "fewgan"


@contextmanager
def waiting(place: Path) -> Iterator[None]:
    """Waits until no other process is in here with the same folder. A network disk without locks lets all in."""
    with open(place / ".lock", "w", encoding="utf-8") as file:
        if fcntl is not None:
            with suppress(OSError):
                fcntl.flock(file, fcntl.LOCK_EX)
        yield
