"""plugins/README.md: what it quotes is what stands in the files, and what it runs, runs."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from drawn import smooth
from inprocess import fewgan

PLUGINS = Path(__file__).parents[2] / "plugins"
TEXT = (PLUGINS / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", TEXT, re.M | re.S)
QUOTED = [block.split("\n", 1) for _, block in BLOCKS if re.match(r"# fewgan-\S+\n", block)]


@pytest.mark.parametrize(("name", "content"), QUOTED, ids=[name for name, _ in QUOTED])
def test_quotes_are_the_files(name, content):
    assert (PLUGINS / name.removeprefix("# ")).read_text(encoding="utf-8").strip() == content.strip()


def test_commands_run(tmp_path, capsys):
    for index in range(8):
        (tmp_path / "photos").mkdir(exist_ok=True)
        smooth(40, 40, index).save(tmp_path / "photos" / f"{index}.png")
    lines = ["fewgan prepare photos --size 32"]
    lines += [line for language, block in BLOCKS if language == "bash" for line in block.splitlines()]
    assert len(lines) > 4
    for line in lines:
        words = shlex.split(line)
        quick = ["--biggan-width", "2", "--batch-size", "4"] if words[1] == "train" else []
        assert fewgan([*words[1:], *quick], tmp_path) == 0, f"{line}\n{capsys.readouterr().err}"


def test_the_tests_it_shows_pass(tmp_path):
    (shown,) = [block for language, block in BLOCKS if language == "python" and "RegularizerTests" in block]
    (tmp_path / "test_shown.py").write_text(shown)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_shown.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert "passed" in done.stdout


def test_the_directory_names_every_package():
    for folder in PLUGINS.glob("fewgan-*"):
        assert f"[{folder.name}]({folder.name})" in TEXT
        for file in ("pyproject.toml", "README.md"):
            assert (folder / file).is_file()
        assert list((folder / "tests").glob("test_*.py"))


def test_the_files_it_points_to_exist():
    for target in re.findall(r"\]\(([^)#]+)\)", TEXT):
        assert os.path.exists(PLUGINS / target), target
