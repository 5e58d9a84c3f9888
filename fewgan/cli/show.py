"""Results on stdout: plain aligned text for a person, JSON for a program."""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from fewgan import registry
from fewgan.cli import choosing
from fewgan.installed import KINDS
from fewgan.options import exact, fields_of, flag, limits, prefix
from fewgan.screen import Screen, command, counted, duration, is_terminal, one_line, output, safe, size_text


def result(content: Any, as_json: bool, text: Callable[[Any], str]) -> None:
    """Prints content as JSON, or what `text` makes of it."""
    output(json.dumps(plain(content), indent=2) if as_json else text(content))


def next_command(screen: Screen, name: str, path: Path, *, default: bool = False) -> None:
    """Tells the command to run next, with path unless the command takes that one by default."""
    word = f"./{path}" if str(path).startswith("-") else str(path)  # a path and not an option
    screen.note(f"Next: {command('fewgan', name, *(() if default else (word,)))}")


def plain(content: Any) -> Any:
    """content as JSON can hold it: dataclasses as objects, paths as text, nan and infinities as null."""
    if hasattr(content, "as_dict"):
        return plain(content.as_dict())
    if dataclasses.is_dataclass(content):
        return {item.name: plain(getattr(content, item.name)) for item in dataclasses.fields(content)}
    if isinstance(content, Mapping):
        return {str(key): plain(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [plain(value) for value in content]
    if isinstance(content, float):
        return content if math.isfinite(content) else None
    return content if content is None or isinstance(content, bool | int | str) else str(content)


def prepared(summary: Any) -> str:
    """The dataset, and the photos that were left out."""
    total = sum(summary.rejected.values())
    reasons = ", ".join(f"{count} {reason}" for reason, count in summary.rejected.items() if count)
    lines = [f"{_path(summary.out)}: {counted(summary.count, 'photo')} at {summary.size} px"]
    if summary.classes:
        shown = [f'"{name}"' if "," in name else name for name in map(safe, summary.classes[:8])]
        names = ", ".join(shown) + (", …" if len(summary.classes) > 8 else "")
        lines.append(f"classes: {len(summary.classes)} ({names})")
    if summary.held_out:
        lines.append(f"held out: {summary.held_out}")
    if summary.enlarged:
        lines.append(f"enlarged: {summary.enlarged}, smaller than {summary.size} px")
    if total:
        lines.append(f"left out: {total} ({reasons}); see {_path(summary.out / 'rejected.jsonl')}")
    return "\n".join(lines)


def trained(done: Any) -> str:
    return f"{_path(done.folder)}: step {done.step:,}, trained for {duration(done.seconds)}"


def sampled(made: Any) -> str:
    if len(made.files) == 1:
        return _path(made.folder / made.files[0])
    return f"{_path(made.folder)}: {counted(len(made.files), 'picture')} in {duration(made.seconds)}"


def runs(listed: Sequence[Any]) -> str:
    if not listed:
        return "no runs here"
    rows = [
        (
            safe(one.folder.name.partition("-")[0]),
            "-" if one.trouble else f"{one.step:,} of {one.steps:,}",
            _value("", one.size),
            "-" if one.kid is None else f"{one.kid:.4f}",
            "-" if one.trouble else _value("_bytes", one.disk),
            safe(one.trouble or one.recipe),
        )
        for one in listed
    ]
    return table(("RUN", "STEPS", "PIXELS", "KID", "DISK", "METHODS"), rows)


def about(name: str, core: Collection[str]) -> dict[str, Any]:
    """One plugin as plain values: where it is from, how to choose it, its options. Imports it alone."""
    kind = registry.kind_of(name)
    plugin = registry.load(kind, name, core)
    entry = registry.find(kind)[name][0]
    options = [
        {
            "flag": item.name.upper() if item.argument else flag(prefix(kind, name) + item.name),
            "type": item.type.__name__,
            "default": item.default,
            "min": item.min,
            "max": item.max,
            "help": one_line(item.help),
        }
        for item in fields_of(plugin.options)
        if not item.hidden
    ]
    return {
        "name": name,
        "kind": KINDS[kind],
        "summary": one_line(plugin.summary),
        "package": entry.package,
        "version": entry.version,
        "object": entry.value,
        "use": f"{command('fewgan', choosing.command_of(kind, name))} {choosing.chooser(kind, name)}".strip(),
        "options": options,
    }


def listed(entries: Sequence[Any]) -> str:
    rows = [(KINDS[entry.kind], entry.name, entry.package, entry.version, entry.summary) for entry in entries]
    return table(("KIND", "NAME", "PACKAGE", "VERSION", "SUMMARY OF THE PACKAGE"), rows)


def checked(results: Sequence[Any]) -> str:
    rows = [
        (KINDS.get(one["kind"], "?"), one["name"], one["package"], one["version"], "broken" if one["error"] else "ok")
        for one in results
    ]
    broken = [f"\n{one['error']}" for one in results if one["error"]]
    return "\n".join((table(("KIND", "NAME", "PACKAGE", "VERSION", "RESULT"), rows), *dict.fromkeys(broken)))


def plugin(content: Mapping[str, Any]) -> str:
    head = [
        f"{content['name']}: {content['summary']}",
        f"  {content['kind']}, from {content['package']} {content['version']} ({content['object']})",
        f"  {content['use']}",
    ]
    options = content["options"]
    if not options:
        return "\n".join((*head, "", "It has no options."))
    rows = [
        (item["flag"], item["type"], _default(item["default"]), limits(item["min"], item["max"])) for item in options
    ]
    first, *lines = table(("OPTION", "TYPE", "DEFAULT", "RANGE"), rows).splitlines()
    return "\n".join(
        (*head, "", first, *(f"{line}\n    {item['help']}" for line, item in zip(lines, options, strict=True)))
    )


def facts(content: Mapping[str, Any], indent: str = "") -> str:
    """Nested names and values, one per line, values aligned."""
    width = max((len(name) for name, value in content.items() if not isinstance(value, Mapping)), default=0)
    lines = []
    for name, value in content.items():
        words = name.removesuffix("_bytes").replace("_", " ")
        if isinstance(value, Mapping):
            lines += [f"{indent}{words}", facts(value, indent + "  ")]
        else:
            lines.append(f"{indent}{words:<{width}}  {_value(name, value)}")
    return "\n".join(lines)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Aligned columns; on a terminal the last one is cut at the end of the line."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    room = shutil.get_terminal_size().columns if is_terminal(sys.stdout) else 0
    lines = []
    for row in (head, *rows):
        *cells, last = row
        line = "".join(f"{cell:<{width}}  " for cell, width in zip(cells, widths, strict=False)) + last
        lines.append(line[: room - 1] + "…" if room and len(line) > room else line.rstrip())
    return "\n".join(lines)


def _path(path: Path) -> str:
    return safe(str(path))


def _default(value: Any) -> str:
    return exact(value) if type(value) in (int, float) else _value("", value)


def _value(name: str, value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if name.endswith("_bytes"):
        return size_text(value)
    if isinstance(value, int | float):
        return f"{value:.5g}" if isinstance(value, float) else f"{value:,}" if abs(value) >= 10_000 else str(value)
    if isinstance(value, list | tuple):
        return ", ".join(_value("", item) for item in value)
    return safe(str(value))
