"""Commands that packages bring."""

import json

import pytest
from packages import install

COMMAND = """
    from dataclasses import dataclass
    from fewgan.plugin import Plugin, UsageError, option

    @dataclass(frozen=True, kw_only=True)
    class Options:
        run: str | None = option(None, "A run", argument=True)
        pictures: tuple[str, ...] = option(("x",), "Pictures", argument=True)
        loud: bool = option(False, "Whether it shouts")
        times: int = option(2, "How often", min=1, max=5)
        also: tuple[str, ...] = option((), "Words to add")

    class Shout:
        def run(self, options, screen):
            screen.note("working")
            if options.run == "bad":
                raise UsageError("bad: not a run")
            words = [options.run or "nobody", *options.pictures, *options.also] * options.times
            return {"words": [word.upper() for word in words] if options.loud else words}

    plugin = Plugin(api=1, summary="Shout [loudly]", options=Options, build=lambda options: Shout())
"""


@pytest.fixture
def shout(tmp_path, monkeypatch):
    install(tmp_path / "site", "fewgan-shout", {"commands": ["shout = calm_shout:plugin"]}, {"calm_shout": COMMAND})
    monkeypatch.syspath_prepend(tmp_path / "site")


def test_it_stands_in_the_list_and_has_a_help_page(shout, run):
    assert "shout" in run("--help")[1]
    assert "Plugins of a test" in run("--help")[1]
    code, shown, _ = run("shout --help")
    assert code == 0
    for text in ("Shout [loudly]", "[RUN]", "PICTURES", "--loud", "--times", "1<=x<=5", "--json", "--quiet"):
        assert text in shown


def test_its_options_are_its_own(shout, run):
    assert run("shout") == (0, "words  nobody, x, nobody, x\n", "working\n")
    code, out, error = run("shout a b c --loud --times 1 --json --quiet")
    assert (code, json.loads(out), error) == (0, {"words": ["A", "B", "C"]}, "")
    assert run("shout a --times 1 --also p --also q --quiet")[1] == "words  a, x, p, q\n"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("shout bad", "Error: bad: not a run\n"),
        ("shout --times 9", "Invalid value for '--times'"),
        ("shout --shout-times 1", "No such option: --shout-times"),
        ("shoot", "No such command 'shoot'"),
    ],
)
def test_wrong_use_is_one_line(shout, run, line, message):
    code, _, error = run(line)
    assert code == 2
    assert message in error
    assert error.splitlines()[-1].startswith("Error: ")


def test_an_argument_without_a_default_must_be_given(run, tmp_path, monkeypatch):
    source = COMMAND.replace('("x",)', "()").replace("str | None = option(None", 'str = option(""')
    install(tmp_path / "site", "fewgan-shout", {"commands": ["shout = calm_shout:plugin"]}, {"calm_shout": source})
    monkeypatch.syspath_prepend(tmp_path / "site")
    assert "Missing argument 'RUN'" in run("shout")[2]
    assert "Missing argument 'PICTURES'" in run("shout a")[2]
    assert run("shout a b --times 1")[1] == "words  a, b\n"


def test_the_range_of_an_argument_is_that_of_its_name(run, tmp_path, monkeypatch):
    source = COMMAND.replace('str | None = option(None, "A run",', 'int = option(0, "A run", min=0, max=3,')
    install(tmp_path / "site", "fewgan-shout", {"commands": ["shout = calm_shout:plugin"]}, {"calm_shout": source})
    monkeypatch.syspath_prepend(tmp_path / "site")
    assert "0<=x<=3" in run("shout --help")[1]
    code, _, error = run("shout 5")
    assert (code, "'RUN'" in error, "--shout" in error) == (2, True, False)


def test_plugins_show_and_check_know_it(shout, run):
    code, shown, _ = run("plugins show shout")
    assert code == 0
    assert "  fewgan shout\n" in shown
    assert "RUN " in shown
    assert "--times" in shown
    assert "shout" in run("plugins check")[1]


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("fid", ("", ""), "fid is a command of fewgan itself"),
        ("shout", ("loud: bool", "json: bool"), "--json is an option of fewgan itself"),
    ],
)
def test_a_name_of_fewgan_is_refused(run, tmp_path, monkeypatch, *, name, change, message):
    source = COMMAND.replace(*change) if change[0] else COMMAND
    install(tmp_path / "site", "fewgan-shout", {"commands": [f"{name} = calm_shout:plugin"]}, {"calm_shout": source})
    monkeypatch.syspath_prepend(tmp_path / "site")
    assert message in run("plugins check")[1]
    if name == "fid":  # fewgan's own goes on working
        assert "--standing-stats" in run("fid --help")[1]


def test_a_broken_one_breaks_no_other_command(run, tmp_path, monkeypatch):
    install(tmp_path / "site", "fewgan-shout", {"commands": ["shout = calm_shout:plugin"]}, {"calm_shout": "1 / 0"})
    monkeypatch.syspath_prepend(tmp_path / "site")
    assert run("--help")[0] == 0
    code, _, error = run("shout")
    assert (code, "does not import: ZeroDivisionError" in error, error.count("\n")) == (2, True, 1)


def test_a_run_that_cannot_be_called_is_its_authors_mistake(run, tmp_path, monkeypatch):
    source = COMMAND.replace("def run(self, options, screen)", "def run(self, options)")
    assert source != COMMAND
    install(tmp_path / "site", "fewgan-shout", {"commands": ["shout = calm_shout:plugin"]}, {"calm_shout": source})
    monkeypatch.syspath_prepend(tmp_path / "site")
    code, _, error = run("shout")
    assert code == 1
    assert error.startswith("Error: the command shout: its run is called with 2 arguments: too many")


def test_what_it_prints_is_not_in_its_json(run, tmp_path, monkeypatch):
    source = COMMAND.replace('screen.note("working")', 'print("working")')
    install(tmp_path / "site", "fewgan-shout", {"commands": ["shout = calm_shout:plugin"]}, {"calm_shout": source})
    monkeypatch.syspath_prepend(tmp_path / "site")
    code, out, error = run("shout --json")
    assert (code, json.loads(out)["words"], error) == (0, ["nobody", "x", "nobody", "x"], "working\n")


def test_one_that_builds_something_else_is_its_authors_mistake(run, tmp_path, monkeypatch):
    source = COMMAND.replace("lambda options: Shout()", "lambda options: None")
    install(tmp_path / "site", "fewgan-shout", {"commands": ["shout = calm_shout:plugin"]}, {"calm_shout": source})
    monkeypatch.syspath_prepend(tmp_path / "site")
    code, _, error = run("shout")
    message = "Error: the command shout: its build returned NoneType, which has no run; report it to its author\n"
    assert (code, error) == (1, message)
