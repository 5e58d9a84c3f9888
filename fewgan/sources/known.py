"""Pretrained GANs by name, in fewgan's `known.toml` and the tables of plugins; packaged, cached or downloaded once."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from fewgan import registry, run
from fewgan.errors import UsageError, of_address
from fewgan.screen import Screen, one_line
from fewgan.sources import cache, download, hub

DEFAULT = "embedded"
"""What a transfer method starts from when no source is given."""
FOLDER = Path(__file__).parent
LICENCES = "licences"
"""In a config: the licences of the weights that a generator descends from, [{"source": name, "licence": text}]."""

_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


def sources() -> dict[str, dict[str, Any]]:
    """The tables of fewgan and of every architecture: name -> summary, licence, files, and where to get them.

    fewgan's own names come first; of two packages with the same name, the plugin that is first by name. A plugin that
    cannot be loaded, or whose table is damaged, brings none.
    """
    return _tables()[0]


def _tables() -> tuple[dict[str, dict[str, Any]], list[str]]:
    """All sources, and what is wrong with tables that were left out: they stop no command that does not need them."""
    found: dict[str, dict[str, Any]] = dict(_core())
    problems = []
    for name in sorted(registry.find("architectures")):
        try:
            place = registry.load("architectures", name).sources
            found |= {key: entry for key, entry in of_plugin(name, place).items() if key not in found}
        except UsageError as error:
            problems.append(str(error))
    return found, problems


@lru_cache
def _core() -> dict[str, dict[str, Any]]:
    return tomllib.loads((FOLDER / "known.toml").read_text(encoding="utf-8"))


@lru_cache
def of_plugin(name: str, place: str | None) -> dict[str, dict[str, Any]]:
    """The table that a plugin has at package:file. Raises UsageError, one line for its author."""
    if place is None:
        return {}
    try:
        package, _, file = place.partition(":")
        table = tomllib.loads(files(package).joinpath(file).read_text(encoding="utf-8"))
        for key, entry in table.items():
            texts = [entry[word] for word in ("summary", "licence", "get")] + [one["name"] for one in entry["files"]]
            if not _NAME.fullmatch(key) or not all(isinstance(text, str) and text for text in texts):
                raise ValueError(f"{key}: a name has lower-case letters, digits and dashes; texts are not empty")
            if any(Path(one["name"]).name != one["name"] for one in entry["files"]):
                raise ValueError(f"{key}: the name of a file is no path")
    except (ImportError, OSError) as error:
        raise UsageError(f"{name}: its table of sources, {place}, cannot be read: {one_line(str(error))}") from None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UsageError(f"{name}: its table of sources, {place}, is damaged: {one_line(str(error))}") from None
    return table


def is_name(place: str | Path) -> bool:
    """Whether a source is known by this name. Tables of packages are read only for what looks like a name."""
    text = str(place)
    return text in _core() or (_NAME.fullmatch(text) is not None and text in sources())


def locate(place: str | Path, screen: Screen | None = None) -> Path:
    """The path of a source: of a known name the folder with its files, downloaded if need be; else `place` itself.

    A known name comes before a folder of that name; give such a folder as ./NAME/ or with its full path. Raises
    UsageError for a path that is not there, or files that have no plain download; FewganError where a download fails.
    What starts with hf: is a repository of the Hugging Face Hub.
    """
    if hub.is_place(place):
        return hub.locate(place)
    if not is_name(place):
        if not Path(place).exists():
            if (error := of_address(place)) is not None:
                raise error
            if hint := run.meant(place):
                raise UsageError(f"{place}: no such file or folder{hint}")
            table = sources()
            near = difflib.get_close_matches(str(place), table, 1)
            hint = f"did you mean {near[0]}?" if near else f"known by name: {', '.join(table)}"
            raise UsageError("; ".join([f"{place}: no such file or folder; {hint}", *_tables()[1]]))
        return Path(place)
    entry = sources()[str(place)]
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


def licences(place: str | Path, config: Mapping[str, Any]) -> list[dict[str, str]]:
    """The licences of a source's weights: those that its config carries, and that of its own name in the tables.

    place: as the user named it. A file in another layout that bears the name of one known source's file, such as
    ffhq-res256-mirror-paper256-noaug.pkl, is taken for it, unless that one's SHA-256 is known to be another.
    """
    carried = config.get(LICENCES)
    found = [one for one in carried if _is_licence(one)] if isinstance(carried, list) else []
    name: str | None = str(place) if is_name(place) else None
    foreign = name is None and "network_classes" not in config  # not written by fewgan
    if foreign and hub.is_place(place):
        stated = hub.licence(place)
        found += [] if stated is None else [{"source": str(place), "licence": stated}]
    elif foreign:
        name = _by_file(Path(place))
    if name is not None and (text := sources()[name].get("licence")):
        found.append({"source": name, "licence": text})
    return [one for index, one in enumerate(found) if one not in found[:index]]


def _is_licence(one: Any) -> bool:
    return (
        isinstance(one, dict) and one.keys() == {"source", "licence"} and all(isinstance(x, str) for x in one.values())
    )


def _by_file(path: Path) -> str | None:
    """The source that a file, or one of a folder's, has the name of. A name that several sources use tells nothing."""
    here = {file.name: file for file in (path.iterdir() if path.is_dir() else [path])}
    table = sources()
    owners = [(file, name) for name, entry in table.items() for file in entry["files"]]
    names = [file["name"] for file, _ in owners]
    for file, name in owners:
        found = here.get(file["name"])
        if found is None or names.count(file["name"]) > 1:
            continue
        if "sha256" not in file or download.digest(found) == file["sha256"]:
            return name
    return None
