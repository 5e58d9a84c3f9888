"""The rooms of the house: which file may import which. Every import counts, those inside functions too."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "fewgan"
BUILT_IN = ("architectures", "transfers", "augmentations", "regularizers", "features", "trackers", "commands")
# An arrow goes from a room to those it may import. The ground floor is open to all rooms.
ROOMS = {
    "cli": {"photos", "training", "sampling", "scoring", "sources"},
    "training": {"photos", "sampling", "scoring", "sources"},
    "scoring": {"photos", "sampling", "sources"},
    "sampling": {"sources"},
    "sources": {"sampling", "training"},  # a model samples itself; a run's config.json is a training's
    "photos": set(),
    "testing": {"cli", "photos", "training", "sampling", "sources"},
}


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {module_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}
SHIPPED = [*FILES.values(), *sorted((ROOT / "plugins").glob("*/fewgan_*/**/*.py"))]


def imports(path: Path) -> set[str]:
    """fewgan's modules that a file imports anywhere but under TYPE_CHECKING, which never runs."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for inner in ast.walk(node)
    }
    found: set[str] = set()
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.add(inner if inner in FILES else node.module)
        elif (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and node.value in FILES
            and node.value != "fewgan"
        ):
            found.add(node.value)  # import_module("fewgan.layers")
    return {name for name in found if name in FILES} - {module_of(path)}


GRAPH = {name: imports(path) for name, path in FILES.items()}


def test_no_file_imports_another_in_a_circle():
    state: dict[str, int] = {}

    def visit(name: str, trail: list[str]) -> None:
        if state.get(name) == 2:
            return
        assert state.get(name) != 1, " -> ".join([*trail[trail.index(name) :], name])
        state[name] = 1
        for other in sorted(GRAPH[name]):
            visit(other, [*trail, name])
        state[name] = 2

    for name in GRAPH:
        visit(name, [])


def room(name: str) -> str:
    parts = name.split(".")
    return parts[1] if len(parts) > 2 or (PACKAGE / parts[-1]).is_dir() else ""


@pytest.mark.parametrize("name", sorted(FILES))
def test_arrows_point_down(name):
    for other in GRAPH[name]:
        here, there = room(name), room(other)
        if here == there or not there:
            continue
        if here in BUILT_IN:
            pytest.fail(f"{name} imports {other}")
        if not here:
            assert name in ("fewgan", "fewgan.__main__", "fewgan.plugin"), f"{name}, on the ground, imports {other}"
        else:
            assert there in ROOMS[here], f"{name} imports {other}"


@pytest.mark.parametrize("kind", BUILT_IN)
def test_built_ins_import_what_a_stranger_would(kind):
    for name in FILES:
        if name.startswith(f"fewgan.{kind}."):
            own = (f"fewgan.{kind}", "fewgan.plugin")
            strange = {other for other in GRAPH[name] if not other.startswith(own) and other != "fewgan"}  # fewgan.load
            assert not strange, f"{name} imports {strange}"


@pytest.mark.parametrize("package", sorted((ROOT / "plugins").glob("fewgan-*")), ids=lambda path: path.name)
def test_packages_import_what_a_stranger_would(package):
    """But fewgan-project, which makes squares of photos and pictures of latents with the core's own functions."""
    strange = {other for path in package.glob("fewgan_*/**/*.py") for other in imports(path)}
    strange -= {"fewgan", "fewgan.plugin"}
    assert bool(strange) == (package.name == "fewgan-project"), strange


def test_files_are_short():
    long = {str(path.relative_to(ROOT)): count for path in SHIPPED if (count := lines(path)) > 300}
    assert not long


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_plugin_says_its_api_as_a_number(path):
    """`api=API` would be the api of the installed fewgan, whatever the plugin was written for."""
    assert "api=API" not in path.read_text(encoding="utf-8")


def test_the_map_shows_every_file():
    """CONTRIBUTING.md; the files of built-in plugins, of the reader of pickles and of the kit are not in it."""
    whole = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    shown = set(re.findall(r"\w+", whole.partition("    fewgan/\n")[2].partition("\n\n")[0]))
    inside = (*BUILT_IN, "testing", "pickles")
    files = {path.stem for path in FILES.values() if not set(path.relative_to(PACKAGE).parts) & set(inside)}
    assert files - {"__init__", "__main__"} <= shown, files - shown


def lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_tensor_is_made_by_an_import(path):
    """A module may be imported while networks are built without data; such a tensor then has none either."""
    made = [
        ast.unparse(call)
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None
        for call in ast.walk(node.value)
        if isinstance(call, ast.Call) and ast.unparse(call.func).startswith("torch.")
    ]
    assert not made
