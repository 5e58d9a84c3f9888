"""Which file of the package imports which, inside functions too."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import fewgan_projected

FILES = {path.stem: path for path in Path(fewgan_projected.__file__).parent.glob("*.py")}


def imports(path):
    """The package's modules that a file imports anywhere but under TYPE_CHECKING, which never runs."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            node.body = []
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("fewgan_projected"):
            inner = node.module.partition(".")[2]
            found |= {inner} if inner else {alias.name for alias in node.names}
    return found


def test_no_file_imports_another_in_a_circle():
    graph = {name: imports(path) for name, path in FILES.items()}
    assert {"huggan", "layouts"} <= graph["architecture"]
    assert set(TopologicalSorter(graph).static_order()) == FILES.keys()  # raises CycleError
