"""The frozen api 1: `python tests/api.py` writes tests/api.txt, and a test compares it.

It lists what `fewgan.plugin` and `fewgan.testing` export, with signatures, fields and members, and every hook. Lines
may be added to it. A line that changes or goes breaks plugins that exist: that needs another `API`.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import hooks

from fewgan import plugin, testing

FILE = Path(__file__).with_name("api.txt")
SPECIAL = ("__init__", "__call__")


def text() -> str:
    """One line each; members are indented."""
    lines = []
    for module in (plugin, testing):
        lines += [f"# {module.__name__}", ""]
        for name in sorted(module.__all__):
            lines += described(name, getattr(module, name))
        lines.append("")
    lines += ["# hooks", ""]
    lines += [f"{hook.kind}: {hook.form}{'' if hook.optional else ' (required)'}" for hook in hooks.HOOKS]
    return "\n".join(lines) + "\n"


def described(name: str, value: Any) -> Iterator[str]:
    if inspect.isclass(value):
        own = [base for base in value.__mro__ if base.__module__.startswith("fewgan.")]
        outside = next((base.__name__ for base in value.__mro__ if base not in own and base is not object), None)
        fields = dataclasses.fields(value) if dataclasses.is_dataclass(value) else None
        kind = "class" if fields is None else "dataclass"
        kind = f"keyword-only {kind}" if fields and all(item.kw_only for item in fields) else kind
        yield f"{kind} {name}" + (f"({outside})" if outside not in (None, "Generic") else "")
        found: dict[str, str] = {}
        for base in reversed(own):  # what a subclass defines again comes from it
            found |= dict(members(base))
        yield from (f"    {line}" for line in found.values())
    elif inspect.isfunction(value):
        (node,) = parsed(value).body
        yield signature(node)
    else:
        yield f"{name} = {value!r}"


def members(base: type) -> Iterator[tuple[str, str]]:
    """Public ones by name: fields in their order, then methods; not the tests of the kit, which may change."""
    (node,) = parsed(base).body
    for inner in node.body:
        if isinstance(inner, ast.AnnAssign) and isinstance(inner.target, ast.Name) and public(inner.target.id):
            yield inner.target.id, ast.unparse(inner)
        elif isinstance(inner, ast.Assign) and isinstance(inner.targets[0], ast.Name) and public(inner.targets[0].id):
            yield inner.targets[0].id, ast.unparse(inner)
        elif isinstance(inner, ast.FunctionDef) and (inner.name in SPECIAL or public(inner.name)):
            is_property = any(ast.unparse(decorator) == "property" for decorator in inner.decorator_list)
            yield inner.name, ("property " if is_property else "") + signature(inner)


def public(name: str) -> bool:
    return not name.startswith(("_", "test_"))


def signature(node: Any) -> str:
    returned = "" if node.returns is None else f" -> {ast.unparse(node.returns)}"
    return f"{node.name}({ast.unparse(node.args)}){returned}"


def parsed(value: Any) -> Any:
    return ast.parse(dedent(inspect.getsource(value)))


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
