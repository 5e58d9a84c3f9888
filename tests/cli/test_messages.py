"""What messages tell a user to type exists."""

import ast
import re
from pathlib import Path

import pytest
import typer

import fewgan
from fewgan import registry
from fewgan.cli import commands
from fewgan.options import flags_of, prefix

ROOT = Path(fewgan.__file__).parent
FILES = sorted(path for path in ROOT.rglob("*.py") if "testing" not in path.parts)
COMMAND = re.compile(r"(?:^|')(fewgan [a-z{][^']*)(?:$|')")
"""A command in a message: in quotes, or what screen.command() makes."""


def strings(path: Path) -> list[str]:
    """The strings of a file; parts that are filled in are `{}`. Docstrings count where they are help pages."""
    found = []
    tree = ast.parse(path.read_text(encoding="utf-8"))
    quiet = (
        {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)} if path.stem != "commands" else set()
    )
    inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in ast.walk(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            found.append("".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and not {id(node)} & (quiet | inside):
            found.append(node.value)
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "command":
            words = [part.value if isinstance(part, ast.Constant) else "{}" for part in node.args]
            found.append(" ".join(map(str, words)))
    return found


@pytest.fixture(scope="module")
def parsers():
    """Each command of fewgan with its options."""
    group = typer.main.get_command(commands.build(["train"]))
    found = {"": group, **group.commands}
    found |= {f"plugins {name}": command for name, command in group.commands["plugins"].commands.items()}
    return {
        name: {"--help"}.union(*((*option.opts, *option.secondary_opts) for option in command.params))
        for name, command in found.items()
    }


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_options_and_commands_of_messages_exist(parsers, path):
    options = set().union(*parsers.values(), commands.core_flags())
    for entry in registry.describe():
        options.update(flags_of(prefix(entry.kind, entry.name), registry.load(entry.kind, entry.name).options))
    for text in strings(path):
        for option in re.findall(r"(?<![\w{-])--[a-z][a-z-]*[a-z](?![a-z{-])", text):
            assert option in options, text
        for words in re.findall(COMMAND, text):
            name = words.split()[1]
            assert name in parsers or "{" in name, text


def test_the_examples_of_messages_are_found():
    """The test above would notice: these are among what it looks at."""
    found = [text for path in FILES for text in strings(path)]
    assert any("--batch-size" in text for text in found)
    assert "fewgan plugins show {}" in found
    assert any("then fewgan train, fewgan sample and fewgan fid" in text for text in found)


def told() -> list[str]:
    """Every command that a message tells, with a run, a plugin or numbers in the place of what is filled in."""
    found = {words for path in FILES for text in strings(path) for words in re.findall(COMMAND, text)}
    filled = [re.sub(r"--steps \{\}", "--steps 5", words) for words in found]
    filled = [words.replace("show {}", "show cr").replace("DATASET", "dataset") for words in filled]
    return sorted(words.replace("{}", "runs/00001-x") for words in filled if not words.startswith("fewgan {}"))


def test_commands_are_found():
    assert len(told()) >= 6
    assert "fewgan plugins show cr" in told()


@pytest.mark.parametrize("line", told())
def test_a_command_that_a_message_tells_is_taken(run, calls, line):
    """Functions stand in for the work: what is tested is that each word of it is understood."""
    code, _, error = run(line.removeprefix("fewgan "))
    assert (code, "Error" in error) == (0, False), error
