"""What a page knows by itself of fewgan, because a command imports fewgan.plugin alone, is what fewgan does."""

import dataclasses

from fewgan import registry
from fewgan.cli.choosing import CHOOSERS
from fewgan.commands.report import words
from fewgan.installed import KINDS
from fewgan.training import diagnostics
from fewgan.training.config import Config


def test_the_options_of_train_and_their_defaults():
    fields = {item.name: item.default for item in dataclasses.fields(Config)}
    assert words.FLAGS.items() <= fields.items()
    told = {*words.FLAGS, *words.CHOOSERS, "data", "regularizers", "no_regularizers", "trackers", "flip"}
    assert told | {"planned_steps", "keep_generators"} == fields.keys()


def test_the_plugins_that_are_taken_where_none_is_named():
    for kind, flag in CHOOSERS.items():
        name = {"architectures": "architecture", "transfers": "transfer", "augmentations": "augmentation"}.get(
            kind, kind
        )
        assert kind == "trackers" or words.CHOOSERS[name] == flag
        assert kind not in KINDS or words.USUAL.get(name) == registry.default(kind)


def test_every_sign_has_its_advice():
    assert words.SIGNS.keys() == diagnostics.RULES.keys()
