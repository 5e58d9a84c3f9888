"""One HTML page with everything in it: style, script, pictures, numbers. It asks the network for nothing."""

from __future__ import annotations

import base64
import functools
import hashlib
import importlib.resources
from pathlib import Path

from fewgan.commands.report import charts, pictures, record, scored, sections
from fewgan.commands.report.markup import Html, joined, script_data, tag
from fewgan.commands.report.record import Record

EVERY = 3000  # milliseconds between two looks of a served page
SIGN = "Made by fewgan report."  # stands in every page


def make(paths: list[Path], *, state: str = "", live: bool = False) -> str:
    """The page of a run, compared with a second one where there are two. Raises UsageError for what is no run.

    live: it asks its server for `state` (a text beside it) and renews itself when that differs.
    """
    runs = [record.read(path, pictures.BYTES // len(paths)) for path in paths]
    specs = charts.training([run.series for run in runs]) + charts.scored([run.scores for run in runs])
    data = {
        "runs": [run.name for run in runs],
        "samples": [[vars(one) for one in run.samples] for run in runs],
        "charts": specs,
        "live": live,
        "state": state,
        "every": EVERY,
    }
    style = _asset("page.css")
    script = f'"use strict";\n{{\n{_asset("page.js")}\n{_asset("charts.js")}\n{_asset("start.js")}}}\n'
    policy = "; ".join(
        ("default-src 'none'", "img-src data:", f"style-src '{_hash(style)}'", f"script-src '{_hash(script)}'",
         f"connect-src {chr(39)}{'self' if live else 'none'}{chr(39)}", "base-uri 'none'", "form-action 'none'")
    )  # fmt: skip
    head = [
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("link", rel="icon", href="data:,"),
        tag("title", " and ".join(run.name for run in runs), " · fewgan"),
        tag("style", Html(style)),
    ]
    body = [
        tag("header", sections.head(runs, live=live), data_part="head"),
        tag("main", _main(runs, specs)),
        tag("footer", tag("p", f"{SIGN} This file holds everything it shows; the photos, too.")),
        tag("script", Html(script_data(data)), type="application/json", id="data"),
        tag("script", Html(script)),
    ]
    page = tag("html", tag("head", head), tag("body", body), lang="en")
    return f"<!doctype html>\n{page}\n"


def _main(runs: list[Record], specs: list[charts.Chart]) -> Html:
    off = "The samples and the curves need JavaScript, which is switched off here."
    return joined([
        tag("noscript", tag("p", off)),
        tag("section", sections.samples(runs), data_part="samples"),
        tag("section", sections.curves(specs), data_part="curves"),
        tag("div", sections.signs(runs), data_part="signs"),
        tag("section", scored.scores(runs), data_part="scores"),
        tag("div", scored.nearest(runs), data_part="nearest"),
        tag("section", sections.about(runs), data_part="about"),
        tag("section", sections.following(runs[0], other=len(runs) > 1), data_part="next"),
        tag("div", sections.notes(runs), data_part="notes"),
    ])  # fmt: skip


@functools.cache
def _asset(name: str) -> str:
    return importlib.resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")
