"""Choices: plugins with their options as config.json remembers them."""

import dataclasses

import pytest
from packages import PLUGIN, install

from fewgan import registry
from fewgan.plugin import UsageError


def test_a_choice_remembers_and_loads():
    choice = registry.choose("regularizers", "cr", registry.load("regularizers", "cr").options(weight=3.0))
    assert (choice.package, choice.options) == ("fewgan", {"weight": 3.0})
    plugin, options = registry.Choice(**vars(choice)).plugin()
    assert options == plugin.options(weight=3.0)
    assert registry.choose("regularizers", "cr").options == {"weight": None}


def test_options_of_another_version_name_both(place):
    install(place, "fewgan-calm", {"regularizers": ["calm = calm:plugin"]}, {"calm": PLUGIN}, version="2.0")
    made = registry.Choice("regularizers", "calm", "fewgan-calm", "1.0", {"old": 1})
    with pytest.raises(
        UsageError, match=r"no option 'old'.*; this was made with fewgan-calm 1\.0, and 2\.0 is installed"
    ):
        made.plugin()
    with pytest.raises(UsageError, match=r"must be 0 to 9, not 10\.0; this was made with fewgan-calm 1\.0"):
        dataclasses.replace(made, options={"weight": 10.0}).plugin()
    with pytest.raises(UsageError) as same:
        dataclasses.replace(made, version="2.0").plugin()
    assert "installed" not in str(same.value)


def test_a_choice_whose_package_is_gone(place, monkeypatch):
    monkeypatch.setattr(registry, "PACKAGES", ("fewgan-faraway",))
    gone = registry.Choice("augmentations", "faraway", "Fewgan_FarAway", "0.2", {})
    with pytest.raises(UsageError) as caught:
        gone.plugin()
    assert str(caught.value) == (
        "the augmentation 'faraway' is needed and not installed: in fewgan's repository, run pip install "
        "./plugins/fewgan-faraway"
    )
    install(place, "another", {"regularizers": ["calm = calm:plugin"]}, {"calm": PLUGIN})
    with pytest.raises(UsageError, match=r"not installed \(another 1\.0 has one of that name\): install the package"):
        registry.Choice("regularizers", "calm", "fewgan-calm", "0.2", {}).plugin()


@pytest.mark.parametrize("package", ["totally-evil", "fewgan-evil", "../fewgan-ada", "fewgan-ada evil", "\x1b[2J" * 99])
def test_a_file_cannot_name_what_to_install(package):
    with pytest.raises(UsageError) as caught:
        registry.Choice("nonsense\n", "calm\x1b]0;x\x07", package, "6.6.6", {}).plugin()
    message = str(caught.value)
    assert "install the package that provides it" in message
    assert "pip" not in message
    assert len(message) < 300
    assert message.isprintable()


# The core names no plugin -------------------------------------------------------------------------------------------
