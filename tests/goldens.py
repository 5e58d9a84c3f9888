"""Golden numbers: in tests/golden, and more of the same kinds in the folder that FEWGAN_GOLDEN names, if any."""

import os
from pathlib import Path

GOLDEN = Path(__file__).parent / "golden"
GIVEN = os.environ.get("FEWGAN_GOLDEN")


def found(*names: str) -> list[Path]:
    """The files or folders of these names, in either place."""
    places = [GOLDEN, *([Path(GIVEN)] if GIVEN else [])]
    return [place / name for place in places for name in names if (place / name).exists()]
