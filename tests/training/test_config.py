"""A run's settings as config.json holds them."""

import json
from pathlib import Path

import pytest

from fewgan.errors import UsageError
from fewgan.testing.base import config
from fewgan.training.config import Config


@pytest.mark.parametrize(("name", "value"), [("batch_size", 0), ("lr_g", -1.0), ("precision", "fp16")])
def test_a_wrong_number_is_told_with_the_file(tmp_path, tiny_installed, name, value):
    facts = {"network_classes": 0, "classes": [], "data_path": "", "fingerprint": ""}
    content = json.loads(json.dumps({**facts, **config(tmp_path).as_dict()}))
    assert Config.from_dict(content, Path("config.json")).batch_size == 4
    with pytest.raises(UsageError, match=rf"^config\.json: --{name.replace('_', '-')} {value}: "):
        Config.from_dict({**content, name: value}, Path("config.json"))
