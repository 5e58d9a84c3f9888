"""Copies this template under another name: `python rename.py NAME FOLDER` makes FOLDER/fewgan-NAME."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

HERE = Path(__file__).parent
HERE_ALONE = re.compile(r"<!-- not in a copy -->\n.*?<!-- end -->\n", re.DOTALL)
IGNORED = shutil.ignore_patterns("__pycache__", "*.egg-info", "build", "rename.py", ".*")


def rename(name: str, folder: Path) -> Path:
    """The new package. Raises ValueError for a name that no plugin may have, FileExistsError where it is there."""
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name) or name == "template":
        raise ValueError(f"{name!r}: give lower-case letters and digits, with single dashes between words")
    made = folder / f"fewgan-{name}"
    shutil.copytree(HERE, made, ignore=IGNORED)
    module = name.replace("-", "_")
    for path in [*made.rglob("*")]:
        if path.is_file():
            text = HERE_ALONE.sub("", path.read_text(encoding="utf-8"))
            text = text.replace("fewgan_template", f"fewgan_{module}").replace("test_template", f"test_{module}")
            path.write_text(text.replace("template", name), encoding="utf-8")
    (made / "fewgan_template").rename(made / f"fewgan_{module}")
    (made / "tests" / "test_template.py").rename(made / "tests" / f"test_{module}.py")
    return made


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python rename.py NAME FOLDER")
    try:
        print(rename(sys.argv[1], Path(sys.argv[2]).expanduser()))
    except (ValueError, OSError) as error:
        sys.exit(str(error))
