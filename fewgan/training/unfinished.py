"""--continue: the run that the same command has started before."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fewgan import registry, run
from fewgan.errors import UsageError
from fewgan.options import fields_of
from fewgan.photos import dataset
from fewgan.screen import Screen
from fewgan.training.config import Config


def unfinished(config: Config, screen: Screen) -> Path | None:
    """The newest run that the same command has started, finished or not; None where there is none.

    Versions of packages may differ, and options that the older ones did not have count as their defaults. A run on
    other photos than the dataset holds now is passed over with a note.
    """
    asked = _asked(config.as_dict())
    for folder in reversed(run.runs_in(Path(config.out))):
        try:
            record = run.read_config(folder)
            same = _asked(record.get("asked", {})) == asked
        except (UsageError, TypeError, ValueError, AttributeError):  # not a run that this version can read
            continue
        if same and _holds_others(Path(config.data), record):
            screen.note(f"{folder} is left as it is: {config.data} holds other photos now than it was trained on")
        elif same:
            return folder
    return None


def _holds_others(data: Path, record: Mapping[str, Any]) -> bool:
    try:
        return dataset.load(data).fingerprint != record.get("fingerprint")
    except UsageError:  # moved or removed: the run may know another place
        return False


def _asked(content: dict[str, Any]) -> dict[str, Any]:
    """A command's config, from a file or not, to be compared: complete, and without versions."""
    content = {field.name: field.default for field in dataclasses.fields(Config)} | content
    places = {name: content[name] for name in ("data", "out", "source") if content[name] is not None}
    content |= {name: os.path.normpath(place) for name, place in places.items()}  # a shell completes them with a /
    return {name: _plain(value) for name, value in json.loads(json.dumps(content, default=str)).items()}


def _plain(value: Any) -> Any:
    """A choice with all options that the plugin has now, and no version; anything else as it is."""
    if isinstance(value, list):
        return list(map(_plain, value))
    if not isinstance(value, dict):
        return value
    choice = registry.Choice(**value)
    fields = fields_of(choice.found().options)
    options = {item.name: choice.options.get(item.name, item.default) for item in fields}
    return choice.kind, choice.name, choice.package, options
