"""Plugins found, refused and remembered, with packages that really lie on sys.path."""

import ast
import re
import sys
import tomllib
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packages import PLUGIN, install

from fewgan import registry
from fewgan.cli.commands import core_flags
from fewgan.options import checked, fields_of, flags_of
from fewgan.plugin import Plugin, UsageError, option

ROOT = Path(__file__).parents[1]
_serial = count()


CORE = core_flags()


def broken(place: Path, source: str, name: str = "odd", kind: str = "regularizers") -> str:
    """The message of loading a plugin with this source."""
    module = f"odd_{next(_serial)}"
    install(place, "fewgan-odd", {kind: [f"{name} = {module}:plugin"]}, {module: source})
    with pytest.raises(UsageError) as caught:
        registry.load(kind, name, CORE)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def with_options(fields: str, head: str = "@dataclass(frozen=True, kw_only=True)") -> str:
    return (
        "from dataclasses import dataclass, field\nfrom fewgan.plugin import Plugin, option\n\n"
        f"{head}\nclass Options:\n    {fields}\n\n"
        'plugin = Plugin(api=1, summary="Odd", options=Options, build=lambda options, **given: None)\n'
    )


# What is there ------------------------------------------------------------------------------------------------------


def test_built_ins_come_through_their_entry_points():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]
    for kind in registry.KINDS:
        found = registry.find(kind)
        for name in declared.get(f"fewgan.{kind}", {}):
            assert [entry.package for entry in found[name]] == ["fewgan"]
            assert registry.load(kind, name).api == 1
    assert [registry.default(kind) for kind in ("architectures", "augmentations")] == ["biggan", None]
    assert all(error is None for _, error in registry.check())


def test_listing_reads_metadata_alone(place):
    install(place, "fewgan-calm", {"transfers": ["calm = no_such_module:plugin"]}, summary="Calm \x1b[31mtransfers")
    [entry] = registry.find("transfers")["calm"]
    assert (entry.package, entry.version, entry.summary) == ("fewgan-calm", "1.0", "Calm \\x1b[31mtransfers")
    assert entry in registry.describe()


def test_a_package_cannot_change_a_default(place):
    points = {"transfers": ["calm = calm:plugin"], "defaults": ["transfers = calm"]}
    install(place, "fewgan-calm", points, {"calm": PLUGIN})
    assert registry.default("transfers") == "none"


def test_the_same_package_seen_twice_is_one(place):
    install(place / "here", "fewgan-calm", {"transfers": ["calm = calm:plugin"]}, {"calm": PLUGIN})
    install(place / "there", "Fewgan_Calm", {"transfers": ["calm = calm:plugin"]}, {"calm": PLUGIN}, version="0.9")
    sys.path[:0] = [str(place / "here"), str(place / "there")]  # undone by the fixture
    try:
        assert [entry.version for entry in registry.find("transfers")["calm"]] == ["1.0"]
        assert registry.load("transfers", "calm").api == 1
    finally:
        del sys.path[:2]


def test_damaged_metadata_of_one_package_stops_nobody(place):
    info = install(place, "fewgan-calm", {"transfers": ["this is no entry point"]}) / "fewgan_calm-1.0.dist-info"
    assert "minegan" in registry.find("transfers")
    (info / "METADATA").unlink()
    (info / "entry_points.txt").write_text("[fewgan.transfers]\ncalm = calm:plugin\n")
    sys.path.append(f"{place}/.")  # another spelling, so that the folder is read again
    try:
        assert registry.find("transfers")["calm"][0].package == "a package without a name"
    finally:
        sys.path.pop()


# What is refused ----------------------------------------------------------------------------------------------------


def test_unknown_name():
    with pytest.raises(UsageError, match=r"called 'minegn' \(installed: .*none\); did you mean 'minegan'\?$"):
        registry.load("transfers", "minegn")
    with pytest.raises(
        UsageError,
        match=r"no regularizer is called 'minegan' .*; that is the name of another kind of plugin: transfer method",
    ):
        registry.load("regularizers", "minegan")
    for name in ("MineGAN", "MINEGAN"):
        with pytest.raises(UsageError, match=rf"called '{name}' \(installed: .*none\); did you mean 'minegan'\?$"):
            registry.load("transfers", name)
    with pytest.raises(UsageError, match=r"called 'ada,diffaugment' .*; a name has no comma; give one$"):
        registry.load("augmentations", "ada,diffaugment")
    with pytest.raises(UsageError, match=r"no plugin is called 'crr' .*; did you mean 'cr'"):
        registry.kind_of("crr")


@pytest.mark.parametrize("kind", ["regularizers", "transfers"])
@pytest.mark.parametrize("name", ["cr", "CR"])
def test_two_packages_claim_a_name(place, kind, name):
    install(place, "fewgan-other", {kind: [f"{name} = other:plugin"]}, {"other": PLUGIN})
    with pytest.raises(UsageError, match=r"claimed by .*fewgan 0.*fewgan-other 1\.0|claimed by .*other 1\.0.*fewgan 0"):
        registry.load("regularizers", "cr")
    registry.load("transfers", "minegan")
    assert {entry.name for entry, error in registry.check() if error} == {"cr", name}


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("1/0", r"'odd' of fewgan-odd 1\.0 does not import: ZeroDivisionError: division by zero"),
        ("import no_such_thing", r"ModuleNotFoundError: No module named 'no_such_thing'"),
        ("raise SystemExit('two\\nlines')", r"SystemExit: two lines"),
        ("x = 1", r"does not import: AttributeError"),
        ("plugin = {}", r"is of type dict, and must be an object that Plugin"),
        ("from fewgan.plugin import Plugin as plugin", r"is the class Plugin, and must be an object"),
        (PLUGIN.replace("api=1", "api=2"), r"plugin api 2, and this fewgan has plugin api 1; upgrade fewgan$"),
        (PLUGIN.replace("api=1", "api=0"), r"api 0, .*; upgrade fewgan-odd"),
        (PLUGIN.replace("api=1", "api='1'"), r"its api is '1', and must be a whole number, such as 1$"),
        (PLUGIN.replace("api=1", "api=True"), r"its api is True, and must be a whole number"),
        (PLUGIN.replace("build=lambda options, **more: options", "build=3"), r"its build is of type int"),
        (
            PLUGIN.replace("build=lambda options, **more: options", "build=lambda options, size: options"),
            r"its build is called as build\(options, networks=…\): missing a required argument: 'size'",
        ),
        (
            PLUGIN.replace("options=Options", "options=Options()"),
            r"an object of Options, and must be a dataclass, the cl",
        ),
        (PLUGIN.replace("options=Options", "options=dict"), r"must be a dataclass"),
        (with_options("a: int = option(1, 'x')", "@dataclass(kw_only=True)"), r"must be a frozen dataclass"),
        (with_options("a: int = option(1, 'x')", "@dataclass(frozen=True)"), r"'a' must be keyword-only"),
        (with_options("a: list[int] = option(1, 'x')"), r"'a' is list\[int\]; an option is bool, int"),
        (with_options("a: int | str = option(1, 'x')"), r"'a' is int \| str; an option is"),
        (with_options("a: 'Missing' = option(1, 'x')"), r"type of an option is not there at run time: name 'Missing'"),
        (with_options("a: str = option([], 'x')"), r"the default of an option is \[\]; an option of texts is tuple"),
        (
            with_options("a_b: int = option(1, 'x')\n    a_b_: int = option(1, 'x')"),
            r"two of its options have .*--odd-a-b$",
        ),
        (with_options("a: int = 1"), r"'a' must be made with fewgan.plugin.option"),
        (with_options("a: int = option(0, 'x', min=1)"), r"default of its option 'a' must be 1 or more, not 0"),
        (with_options("a: int = option(1, 5)"), r"the help of its option 'a' must be text, not 5"),
        (with_options("a: int = option(1, 'x', min='a')"), r"min and max of its option 'a' must be numbers"),
        (PLUGIN.replace('summary="Calm: a [bold] method"', "summary=None"), r"summary is of type NoneType"),
        (with_options("a: int = option(None, 'x')"), r"default of its option 'a' must be a whole number, not None"),
        (with_options("a: float = option(float('nan'), 'x')"), r"must be a finite number"),
        (
            with_options("a: int = option(1, 'x')\n\n    def __post_init__(self): raise RuntimeError('no')"),
            r"1\.0: no$",
        ),
        (
            with_options("a: int = option(1, 'x')\n\n    def __post_init__(self): assert self.a < 0"),
            r"1\.0: AssertionError$",
        ),
    ],
)
def test_broken_plugins(place, source, message):
    assert re.search(message, broken(place, source))
    assert registry.load("regularizers", "cr").api == 1
    assert [(entry.name, error is None) for entry, error in registry.check() if error] == [("odd", False)]


@pytest.mark.parametrize("name", ["size", "no-flip", "flip", "Odd", "odd one", "-odd", "odd--one"])
def test_names_that_cannot_be(place, name):
    assert re.search("a plugin's name is|is an option of fewgan itself", broken(place, PLUGIN, name))
    assert name not in registry.switches(CORE)


def test_a_negative_flag_of_a_command_that_is_another_option(place):
    source = with_options("up: bool = option(True, 'x')\n    no_up: int = option(1, 'x')")
    assert broken(place, source, kind="commands").endswith("two of its options have the flag --no-up")


def test_a_misspelt_group_is_told(place):
    install(place, "fewgan-calm", {"regularizer": ["calm = calm:plugin"]})
    told = (
        "'calm' of fewgan-calm 1.0: its entry point is in the group fewgan.regularizer, which is of no kind; did you "
    )
    assert [told in error for entry, error in registry.check() if error] == [True]
    with pytest.raises(UsageError, match=f"called 'calm' .*{told}mean fewgan.regularizers"):
        registry.kind_of("calm")


def test_flags_that_are_the_core_s(place):
    assert "--lr-g is an option of fewgan itself" in broken(place, with_options("g: float = option(1.0, 'x')"), "lr")


def test_flags_that_two_plugins_share(place):
    points = {"transfers": ["a = one:plugin"], "augmentations": ["a-b = two:plugin"]}
    sources = {"one": with_options("b_c: int = option(1, 'x')"), "two": with_options("c: int = option(1, 'x')")}
    install(place, "fewgan-odd", points, sources)
    plugins = {(kind, name): registry.load(kind, name) for kind, name in [("transfers", "a"), ("augmentations", "a-b")]}
    with pytest.raises(UsageError, match="'a' and 'a-b' both have the flag --a-b-c"):
        registry.refuse_clashes(plugins)
    assert [entry.name for entry, error in registry.check() if error] == ["a-b"]


# Options and choices ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Options:
    share: float = option(0.5, "A share", min=0, max=1)
    steps: int | None = option(None, "Steps", min=1)
    on: bool = option(False, "On")
    word: str = option("a", "A word")
    secret: int = option(2, "Derived", min=0, hidden=True)


SOME = Plugin(api=1, summary="Some", options=Options, build=print)


def test_options_from_values():
    assert registry.options_from(SOME, "some", {}) == Options()
    made = registry.options_from(SOME, "some", {"share": 1, "steps": None, "on": True})
    assert made == Options(share=1.0, on=True)
    assert type(made.share) is float
    assert flags_of("some-", Options) == ["--some-share", "--some-steps", "--some-on", "--no-some-on", "--some-word"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"shar": 1}, "some has no option 'shar'; did you mean 'share'?"),
        ({"zzz": 1}, "some has no option 'zzz'; it has on, secret, share, steps, word"),
        ({"share": 1.5}, "--some-share must be 0 to 1, not 1.5"),
        ({"share": float("inf")}, "--some-share must be a finite number, not inf"),
        ({"share": float("nan")}, "--some-share must be a finite number, not nan"),
        ({"share": True}, "--some-share must be a number, not True"),
        ({"share": None}, "--some-share must be a number, not None"),
        ({"steps": 0}, "--some-steps must be 1 or more, not 0"),
        ({"steps": 2.0}, "--some-steps must be a whole number, not 2.0"),
        ({"on": 1}, "--some-on must be true or false, not 1"),
        ({"word": 3}, "--some-word must be text, not 3"),
        ({"secret": -1}, "option 'secret' of some must be 0 or more, not -1"),
    ],
)
def test_options_that_are_wrong(values, message):
    with pytest.raises(UsageError) as caught:
        registry.options_from(SOME, "some", values)
    assert str(caught.value) == message


@given(st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text()))
def test_checked_gives_the_type_or_refuses(value):
    for item in fields_of(Options):
        try:
            result = checked("some", item, value)
        except UsageError:
            continue
        assert type(result) is item.type or (result is None and item.optional)
        assert result == value
        assert result is None or item.min is None or result >= item.min


def test_nothing_in_the_core_names_a_plugin():
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]
    names = {name for group, points in groups.items() if group != "fewgan.defaults" for name in points}
    english = {"none", "random", "report", "export", "push"}
    words = re.compile(rf"\b({'|'.join(map(re.escape, names - english))})\b", re.IGNORECASE)
    kinds = re.compile(rf"fewgan\.({'|'.join(registry.KINDS)})\b")
    found = []
    core = [path for path in (ROOT / "fewgan").rglob("*.py") if path.parts[len(ROOT.parts) + 1] not in registry.KINDS]
    assert len(core) > 30
    for path in sorted(core):
        for parent in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(parent, ast.ImportFrom) and kinds.match(parent.module or ""):
                found.append(f"{path.name}:{parent.lineno}: imports {parent.module}")
            for node in ast.iter_child_nodes(parent):
                text = node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
                docstring = isinstance(parent, ast.Expr)
                # English words count where they are compared, passed or looked up, and not within a sentence.
                used = isinstance(parent, ast.Compare | ast.Call | ast.keyword | ast.Subscript | ast.arguments)
                if not docstring and (words.search(text) or (text in english and used)):
                    found.append(f"{path.name}:{node.lineno}: {text!r}")
    assert not found, "\n".join(found)
