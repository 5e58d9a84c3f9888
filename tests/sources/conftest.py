import shutil
from pathlib import Path

import pytest


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """The golden networks as a folder of another program's files."""
    folder = tmp_path / "foreign"
    folder.mkdir()
    for name in ("G_ema.pth", "D.pth"):
        shutil.copy(Path(__file__).parents[1] / "golden" / "biggan-32" / name, folder)
    return folder
