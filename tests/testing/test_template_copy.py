"""A renamed copy of the template says nothing that is true of the template alone, and keeps to what is public."""

import ast
import runpy
from pathlib import Path

import pytest

TEMPLATE = Path(__file__).parents[2] / "plugins" / "template"


@pytest.fixture
def copy(tmp_path):
    return runpy.run_path(str(TEMPLATE / "rename.py"))["rename"]("mine", tmp_path)


def test_its_readme_names_nothing_that_is_not_there(copy):
    text = (copy / "README.md").read_text()
    for lost in ("rename.py", "](..", "~", "<!--"):
        assert lost not in text
    assert "rename.py" in (TEMPLATE / "README.md").read_text()


def test_it_imports_what_is_public_alone(copy):
    found = set()
    for path in copy.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            found |= {node.module or ""} if isinstance(node, ast.ImportFrom) else set()
            found |= {name.name for name in node.names} if isinstance(node, ast.Import) else set()
    ours = {name for name in found if name.split(".")[0] == "fewgan"}
    assert ours == {"fewgan.plugin", "fewgan.testing"}
