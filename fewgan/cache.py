"""Where fewgan keeps what it can get or compute again: downloaded weights, features of photos."""

from __future__ import annotations

import os
from pathlib import Path


def folder() -> Path:
    """FEWGAN_CACHE, else `fewgan` in XDG_CACHE_HOME, else ~/.cache/fewgan. It need not exist yet."""
    if chosen := os.environ.get("FEWGAN_CACHE"):
        return Path(chosen).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "fewgan"
