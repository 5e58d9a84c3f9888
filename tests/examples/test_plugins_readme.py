"""plugins/README.md: what it quotes is what stands in the files, and what it runs, runs."""

import ast
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import hooks
import pytest
from drawn import smooth
from hooks import HOOKS
from inprocess import fewgan

ROOT = Path(__file__).parents[2]
PLUGINS, FEWGAN = ROOT / "plugins", ROOT / "fewgan"
TEXT = (PLUGINS / "README.md").read_text(encoding="utf-8")
# What fewgan looks for by name on other objects than those of plugins.
NOT_HOOKS = {"SIGHUP", "getuid", "reason"}
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", TEXT, re.M | re.S)
QUOTED = [block.split("\n", 1) for _, block in BLOCKS if re.match(r"# fewgan-\S+\n", block)]


@pytest.mark.parametrize(("name", "content"), QUOTED, ids=[name for name, _ in QUOTED])
def test_quotes_are_the_files(name, content):
    assert (PLUGINS / name.removeprefix("# ")).read_text(encoding="utf-8").strip() == content.strip()


def test_commands_run(tmp_path, capsys):
    for index in range(8):
        (tmp_path / "photos").mkdir(exist_ok=True)
        smooth(40, 40, index).save(tmp_path / "photos" / f"{index}.png")
    lines = ["fewgan prepare photos --size 32"]
    lines += [line for language, block in BLOCKS if language == "bash" for line in block.splitlines()]
    assert len(lines) > 4
    for line in lines:
        words = shlex.split(line)
        quick = ["--biggan-width", "2", "--batch-size", "4"] if words[1] == "train" else []
        assert fewgan([*words[1:], *quick], tmp_path) == 0, f"{line}\n{capsys.readouterr().err}"


def test_the_tests_it_shows_pass(tmp_path):
    (shown,) = [block for language, block in BLOCKS if language == "python" and "RegularizerTests" in block]
    (tmp_path / "test_shown.py").write_text(shown)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_shown.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert "passed" in done.stdout


def test_the_directory_names_every_package():
    for folder in PLUGINS.glob("fewgan-*"):
        assert f"[{folder.name}]({folder.name})" in TEXT
        for file in ("pyproject.toml", "README.md"):
            assert (folder / file).is_file()
        assert list((folder / "tests").glob("test_*.py"))


def test_the_files_it_points_to_exist():
    for target in re.findall(r"\]\(([^)#]+)\)", TEXT):
        assert os.path.exists(PLUGINS / target), target


def test_the_table_of_hooks_is_that_of_now():
    assert hooks.written(TEXT) == TEXT, "run: python tests/hooks.py"


def parsed(file):
    return ast.parse((FEWGAN / file).read_text(encoding="utf-8"))


def functions(file, name):
    found = [node for node in ast.walk(parsed(file)) if isinstance(node, ast.FunctionDef) and node.name == name]
    assert found, f"{file} has no {name}"
    return found


def asked_for(node):
    """Names that code asks an object for, plainly or by hasattr and getattr, and those it calls."""
    for inner in ast.walk(node):
        if isinstance(inner, ast.Attribute):
            yield inner.attr
        elif isinstance(inner, ast.Constant) and isinstance(inner.value, str):
            yield inner.value
        elif isinstance(inner, ast.Call) and isinstance(inner.func, ast.Name):
            yield inner.func.id


CALLERS = [(hook, caller) for hook in HOOKS for caller in hook.callers if ":" in caller]


@pytest.mark.parametrize(("hook", "caller"), CALLERS, ids=[f"{hook.kind}-{hook.name}-{c}" for hook, c in CALLERS])
def test_who_is_said_to_call_a_hook_does(hook, caller):
    file, function = caller.split(":")
    # forward is called through its module, which the callers name as the table does.
    names = {hook.name} if hook.name != "forward" else {hook.kind}
    assert any(names & set(asked_for(node)) for node in functions(file, function))


def test_every_optional_hook_that_fewgan_looks_for_is_in_the_table():
    known = {hook.name for hook in HOOKS}
    rooms = [path for room in ("training", "sampling", "scoring", "sources") for path in (FEWGAN / room).glob("*.py")]
    found = set()
    for path in (FEWGAN / "layers.py", *rooms):
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("hasattr", "getattr"):
                name = node.args[1]
                found |= {name.value} if isinstance(name, ast.Constant) else set()
    assert len(found & known) > 10
    assert found - known <= NOT_HOOKS, found - known - NOT_HOOKS


def test_every_hook_of_the_protocols_is_in_the_table():
    known = {(hook.kind, hook.name) for hook in HOOKS}
    kinds = {"Generator": "generator", "Discriminator": "discriminator", "Transfer": "transfer",
             "Augmentation": "augmentation", "Regularizer": "regularizer", "Features": "features"}  # fmt: skip
    missing = []
    for file in ("plugin.py", "networks.py"):
        for node in ast.walk(parsed(file)):
            if not isinstance(node, ast.ClassDef) or node.name not in kinds:
                continue
            names = {inner.target.id for inner in node.body if isinstance(inner, ast.AnnAssign)}
            names |= {inner.name for inner in node.body if isinstance(inner, ast.FunctionDef)}
            text = ast.get_docstring(node) or ""
            names |= set(re.findall(r"^optional (\w+)", text, re.M))  # as the docstrings have them
            names |= set(re.findall(r"^(\w+)(?:\([\w, ]*\) ->|: (?:int|bool|str)\b)", text, re.M))
            names = {"forward" if name == "__call__" else name for name in names} - {"parameters"}
            assert names
            missing += [(kinds[node.name], name) for name in names if (kinds[node.name], name) not in known]
    assert not missing
