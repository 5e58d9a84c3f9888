"""The README's command blocks are run, word for word, but for options that make them quick."""

import os
import re
import shlex
import shutil
from pathlib import Path

import pytest
from drawn import smooth
from inprocess import fewgan
from seeded import write_inception

ROOT = Path(__file__).parents[2]
BLOCKS = re.findall(r"^```(bash|python)\n(.*?)^```", (ROOT / "README.md").read_text(), re.M | re.S)

# Appended where the line does not give them itself: small pictures, few steps.
QUICK = {
    "prepare": {"--size": "64"},
    "train": {"--steps": "2", "--batch-size": "4"},
    "sample": {"--count": "4"},
    "fid": {"--count": "8"},
}
OVERRIDDEN = {"--size", "--steps"}  # appended even then: the last one wins


def quick(words: list[str]) -> list[str]:
    options = dict(QUICK[words[1]])
    if "--resume" in words:
        options = {"--steps": "3"}
    if words[1] == "train" and not {"--resume", "--transfer"} & set(words):
        options["--biggan-width"] = "2"
    added = [(name, value) for name, value in options.items() if name in OVERRIDDEN or name not in words]
    return [*words[1:], *(word for pair in added for word in pair)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reader")
    (folder / "photos").mkdir()
    for index in range(40):
        smooth(80, 60, index).save(folder / "photos" / f"{index:03d}.jpg")
    (folder / "biggan").mkdir()
    for name in ("G_ema.pth", "D.pth"):
        shutil.copy(ROOT / "tests" / "golden" / "biggan-32" / name, folder / "biggan")
    write_inception(folder / "seeded.pth")
    return folder


def test_blocks(folder, monkeypatch, capsys):
    """In order: each finds what those before it left."""
    monkeypatch.setenv("FEWGAN_INCEPTION_WEIGHTS", str(folder / "seeded.pth"))
    assert len(BLOCKS) > 3
    for language, block in BLOCKS:
        if language == "python":
            monkeypatch.chdir(folder)
            exec(compile(block, "README.md", "exec"), {})
            continue
        for line in block.splitlines():
            assert fewgan(quick(shlex.split(line, comments=True)), folder) == 0, f"{line}\n{capsys.readouterr().err}"


def test_the_files_it_points_to_exist():
    for target in re.findall(r"\]\(([^)#]+)\)", (ROOT / "README.md").read_text()):
        assert (ROOT / target).exists(), target
    for target in re.findall(r"\./((?:examples|tests)/\S+\.sh)", (ROOT / "README.md").read_text()):
        assert os.access(ROOT / target, os.X_OK), target
