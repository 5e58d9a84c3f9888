"""api 1 is frozen: what plugins import and the hooks they have are those of the committed list."""

import api
import pytest

from fewgan import plugin

WRITTEN = api.FILE.read_text(encoding="utf-8")


def test_the_api_is_the_committed_one():
    assert api.text() == WRITTEN, "a change breaks plugins; after adding to the api, run: python tests/api.py"


def test_it_is_the_list_of_api_1():
    assert plugin.API == 1
    assert "\nAPI = 1\n" in WRITTEN


def other(default, help):
    """Another signature."""


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (
            lambda patch: patch.setattr(plugin, "__all__", [n for n in plugin.__all__ if n != "Group"]),
            "dataclass Group",
        ),
        (
            lambda patch: patch.setattr(plugin, "option", other),
            "option(default: Any, help: str",
        ),
        (lambda patch: patch.setattr(api.hooks, "HOOKS", api.hooks.HOOKS[1:]), "`Plugin`: build(options, …)"),
    ],
)
def test_a_change_is_seen(change, line, monkeypatch):
    assert f"\n{line}" in WRITTEN
    change(monkeypatch)
    assert f"\n{line}" not in api.text()
