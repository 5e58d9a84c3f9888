"""Where fewgan keeps what it can download or compute again: weights, features of photos."""

from __future__ import annotations

import os
import tempfile
from contextlib import AbstractContextManager
from pathlib import Path

from fewgan import run


def folder() -> Path:
    """FEWGAN_CACHE, else `fewgan` in XDG_CACHE_HOME, else ~/.cache/fewgan. It need not exist yet.

    Without a home folder it is in the system's temporary folder.
    """
    if chosen := os.environ.get("FEWGAN_CACHE"):
        return _expanded(chosen)
    return _expanded(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "fewgan"


def _expanded(path: str) -> Path:
    try:
        return Path(path).expanduser()
    except RuntimeError:  # no home folder
        return Path(tempfile.gettempdir()) / f"fewgan-{os.getuid() if hasattr(os, 'getuid') else 'cache'}"


def waiting(place: Path) -> AbstractContextManager[None]:
    """Waits until no other process is in here with the same folder. A network disk without locks lets all in."""
    return run.lock(place / ".lock")
