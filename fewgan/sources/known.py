"""Pretrained GANs by name: what `sources/known.toml` lists, found in the package, in the cache, or downloaded once."""

from __future__ import annotations

import difflib
import tomllib
from functools import lru_cache
from pathlib import Path
from typing import Any

from fewgan.errors import UsageError
from fewgan.screen import Screen
from fewgan.sources import cache, download

DEFAULT = "embedded"
"""What a transfer method starts from when no source is given."""
FOLDER = Path(__file__).parent


@lru_cache
def sources() -> dict[str, dict[str, Any]]:
    """The table: name -> summary, licence, files, and where to get them."""
    return tomllib.loads((FOLDER / "known.toml").read_text(encoding="utf-8"))


def locate(place: str | Path, screen: Screen | None = None) -> Path:
    """The path of a source: of a known name the folder with its files, downloaded if need be; else `place` itself.

    A known name comes before a folder of that name; give such a folder as ./NAME/ or with its full path. Raises
    UsageError for a path that is not there, or files that have no plain download; FewganError where a download fails.
    """
    table = sources()
    if str(place) not in table:
        if not Path(place).exists():
            near = difflib.get_close_matches(str(place), table, 1)
            hint = f"did you mean {near[0]}?" if near else f"known by name: {', '.join(table)}"
            raise UsageError(f"{place}: no such file or folder; {hint}")
        return Path(place)
    entry = table[str(place)]
    if entry.get("packaged"):
        return FOLDER / str(place)
    folder = cache.folder() / "sources" / str(place)
    missing = [file for file in entry["files"] if not (folder / file["name"]).is_file()]
    by_hand = [file["name"] for file in missing if "url" not in file or "sha256" not in file]
    if by_hand:
        raise UsageError(
            f"--source {place}: is not downloaded by fewgan; get it from {entry['get']} and put "
            f"{' and '.join(by_hand)} into {folder}"
        )
    for file in missing:
        download.download(
            entry.get("base", "") + file["url"],
            folder / file["name"],
            sha256=file["sha256"],
            screen=screen or Screen(),
            otherwise=f"get it from {entry['get']} and put it into {folder}",
        )
    return folder
