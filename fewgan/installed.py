"""The plugins that installed packages declare, read from their metadata. Nothing is imported."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.metadata import Distribution, EntryPoint, distributions

from fewgan.screen import one_line

KINDS = {
    "architectures": "architecture",
    "transfers": "transfer method",
    "augmentations": "augmentation",
    "regularizers": "regularizer",
    "features": "feature network",
    "trackers": "tracker",
    "commands": "command",
}
"""Each kind and what a person calls one of it, in the order of every list."""


@dataclass(frozen=True, order=True)
class Entry:
    """One plugin as its package's metadata tells it, nothing imported. summary is the package's own."""

    kind: str
    name: str
    package: str
    version: str
    summary: str
    value: str = field(repr=False)

    @property
    def origin(self) -> str:
        return f"{self.package} {self.version}".rstrip()

    def __str__(self) -> str:
        return f"{KINDS.get(self.kind, 'plugin')} {self.name!r} of {self.origin}"


def installed() -> tuple[Entry, ...]:
    """All entry points of fewgan's groups on sys.path, those of no known kind too."""
    return _read(_path())


def same(one: str, other: str) -> bool:
    """Names that differ in case, dash, underscore or dot alone count as one (as for packages)."""
    return re.sub(r"[-_.]+", "-", one).lower() == re.sub(r"[-_.]+", "-", other).lower()


def _path() -> tuple[tuple[str, int], ...]:
    """sys.path, and when each folder on it last changed, so that what has been installed since is found."""
    return tuple((folder, os.stat(folder or ".").st_mtime_ns) for folder in sys.path if os.path.exists(folder or "."))


@lru_cache(maxsize=8)
def _read(path: tuple[tuple[str, int], ...]) -> tuple[Entry, ...]:
    """All entry points of fewgan's groups on sys.path; the cache spares a command a dozen walks over it."""
    entries, packages = list[Entry](), list[str]()
    for distribution in distributions(path=[folder for folder, _ in path]):
        try:
            points = _points(distribution)
        except Exception:  # damaged metadata of one package must not stop every command
            continue
        package = _fact(distribution, "Name") or "a package without a name" if points else ""
        if not points or any(same(package, other) for other in packages):
            continue  # one package seen twice, such as an editable install beside its build
        packages.append(package)
        version, summary = _fact(distribution, "Version"), _fact(distribution, "Summary")
        for group, name, value in dict.fromkeys((point.group, point.name, point.value) for point in points):
            entries.append(Entry(group.removeprefix("fewgan."), name, package, version, summary, value))
    return tuple(entries)


def _points(distribution: Distribution) -> list[EntryPoint]:
    if "[fewgan" not in (distribution.read_text("entry_points.txt") or ""):
        return []
    return [point for point in distribution.entry_points if point.group.partition(".")[0] == "fewgan"]


def _fact(distribution: Distribution, key: str) -> str:
    try:
        return one_line(distribution.metadata[key] or "")
    except Exception:  # no metadata file, or one without this field
        return ""
