"""The trackers of a run: they are shown what metrics.jsonl and samples/ hold, and cannot end it."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

from fewgan.registry import Choice
from fewgan.screen import Screen, one_line, others_aside


class Trackers:
    """Passes each call on to every tracker. One that fails is told of once and left out from then on."""

    def __init__(self, choices: Iterable[Choice], screen: Screen) -> None:
        self._screen = screen
        self._running: dict[str, Any] = {}
        for choice in choices:
            try:
                with others_aside():
                    plugin, options = choice.plugin()
                    self._running[choice.name] = plugin.build(options)
            except (Exception, SystemExit) as error:  # one that was uninstalled before a resume, too
                self._warn(choice.name, error)

    def start(self, record: Mapping[str, Any]) -> None:
        self._call("start", record)

    def line(self, metrics: Mapping[str, Any]) -> None:
        self._call("line", metrics)

    def pictures(self, step: int, pictures: Tensor) -> None:
        self._call("pictures", step, pictures)

    def end(self, summary: Mapping[str, Any]) -> None:
        self._call("end", summary)
        self._running.clear()

    def _call(self, hook: str, *arguments: Any) -> None:
        for name, tracker in list(self._running.items()):
            try:
                with others_aside():
                    getattr(tracker, hook)(*copy.deepcopy(arguments))  # which it may change
            except (Exception, SystemExit) as error:
                del self._running[name]
                self._warn(name, error)

    def _warn(self, name: str, error: BaseException) -> None:
        what = one_line(f"{type(error).__name__}: {error}")
        self._screen.warn(f"the tracker {name} does not work ({what}); the run continues without it")
