"""HTML, written so that no text can become markup: whatever is not `Html` already is escaped."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Sequence
from typing import Any

from fewgan.commands.report.files import shown


class Html(str):
    """Markup, as opposed to text."""

    __slots__ = ()


def tag(name: str, /, *inner: object, **attributes: Any) -> Html:
    """An element. inner: Html, text, or lists of them. Attributes: `_` is `-`, a final one is dropped, None is none."""
    words = [name]
    for key, value in attributes.items():
        label = key.rstrip("_").replace("_", "-")
        if value is True:
            words.append(label)
        elif value is not None and value is not False:
            words.append(f'{label}="{html.escape(shown(str(value), 4_000_000))}"')
    start = f"<{' '.join(words)}>"
    if name in ("img", "input", "meta", "link"):
        return Html(start)
    return Html(f"{start}{joined(inner)}</{name}>")


def joined(parts: Iterable[object]) -> Html:
    return Html("".join(_part(part) for part in parts))


def _part(part: object) -> str:
    if isinstance(part, Html):
        return part
    if isinstance(part, list | tuple):
        return joined(part)
    return "" if part is None else html.escape(shown(str(part)))


def table(head: Sequence[str], rows: Sequence[Sequence[object]], *, numbers: int, label: str) -> Html:
    """A table that scrolls sideways on a narrow screen. The cells from column `numbers` on are numbers."""
    side = ["n" if index >= numbers else None for index in range(len(head))]
    top = tag("tr", [tag("th", cell, scope="col", class_=kind) for cell, kind in zip(head, side, strict=True)])
    body = [tag("tr", [tag("td", cell, class_=kind) for cell, kind in zip(row, side, strict=True)]) for row in rows]
    made = tag("table", tag("thead", top), tag("tbody", body))
    return tag("div", made, class_="scroll", tabindex=0, role="region", aria_label=label)


def facts(rows: Sequence[tuple[str, object]]) -> Html:
    """Names and values, a row each; rows whose value is None are left out."""
    body = [tag("tr", tag("th", name, scope="row"), tag("td", value)) for name, value in rows if value is not None]
    return tag("table", tag("tbody", body), class_="facts")


def tools(group: str, what: str, *more: Html) -> Html:
    """The buttons of a group of charts."""
    names = (("in", "Zoom in"), ("out", "Zoom out"), ("reset", "Show all"))
    buttons = [
        tag("button", label, type="button", data_zoom=key, data_group=group, aria_label=f"{label}: {what}")
        for key, label in names
    ]
    return tag("div", buttons, more, class_="tools")


def script_data(content: Any) -> str:
    """JSON that may stand in a script element: nothing in it can end the element or begin a comment."""
    text = json.dumps(content, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
