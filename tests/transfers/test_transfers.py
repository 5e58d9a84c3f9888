from __future__ import annotations

from typing import Any

import pytest

from fewgan.transfers import finetune, none


@pytest.mark.parametrize(("module", "needs_source"), [(none, False), (finetune, True)])
def test_all_weights_learn_from_the_first_step(module: Any, needs_source: bool) -> None:
    transfer = module.plugin.build(module.Options(), networks=None)
    assert module.plugin.needs_source is needs_source
    assert transfer.conditional is True
    assert transfer.mapper is None
    assert transfer.state_dict() == {}
    assert not hasattr(transfer, "trainable")
    assert not hasattr(transfer, "groups")


def test_modules_import_no_torch() -> None:
    import subprocess
    import sys

    names = "fewgan.transfers.none, fewgan.transfers.finetune, fewgan.transfers.minegan, fewgan.regularizers.cr"
    code = f"import sys, {names}, fewgan.augmentations.diffaugment; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
