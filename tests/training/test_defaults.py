"""What an architecture's defaults give way to: the options that their description names, and no others."""

import re

import pytest

from fewgan.cli import commands
from fewgan.networks import Defaults
from fewgan.testing import tiny
from fewgan.testing.base import config
from fewgan.training import settle

GIVEN = {
    "--loss": ("loss", "wasserstein"),
    "--lr-g": ("lr_g", 0.5),
    "--lr-d": ("lr_d", 0.25),
    "--d-steps": ("d_steps", 7),
}


def test_every_option_that_the_description_names_exists():
    named = set(re.findall(r"--[a-z][a-z-]*[a-z]\b(?!-)", Defaults.__doc__)) - {"--no"}
    assert named == GIVEN.keys()
    assert named <= commands.core_flags()


@pytest.mark.parametrize("given", [None, *GIVEN])
def test_defaults_give_way_to_what_is_given(tmp_path, tiny_installed, given):
    changes = dict([GIVEN[given]]) if given else {}
    networks = tiny.build(tiny.Options(), size=tiny.SIZE, classes=0)
    defaults = networks.defaults
    settled = settle.with_defaults(config(tmp_path, **changes), networks)
    expected = {
        "loss": defaults.loss,
        "lr_g": defaults.generator.learning_rate,
        "lr_d": defaults.discriminator.learning_rate,
        "d_steps": defaults.discriminator_steps,
    }
    assert {name: getattr(settled, name) for name in expected} == expected | changes
