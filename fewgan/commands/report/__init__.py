"""`fewgan report`: a run as one HTML page that needs no network, and, with --serve, as it is being trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fewgan.plugin import Plugin, option

if TYPE_CHECKING:
    from fewgan.plugin import Screen


@dataclass(frozen=True, kw_only=True)
class Options:
    run: str | None = option(None, "A run; default: the latest run.", argument=True)
    with_: str | None = option(None, "Another run to compare it with.")
    out: str | None = option(None, "The file to write; default: report.html in the run.")
    serve: bool = option(False, "Show the page on this machine alone, and renew it while the run is being trained.")
    port: int | None = option(None, "Port of --serve; default: a free one.", min=1, max=65535)


class Report:
    """Imports what it needs when it runs, because the help of all commands loads this file."""

    def run(self, options: Options, screen: Screen) -> Any:
        from fewgan.commands.report import command

        return command.run(options, screen)


def build(options: Options) -> Report:
    return Report()


plugin = Plugin(api=1, summary="Make a page of a run: samples, curves, scores", options=Options, build=build)
