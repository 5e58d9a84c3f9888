"""plugins/template, copied under another name, installed in a fresh environment, tested and used."""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from drawn import smooth

PLUGINS = Path(__file__).parents[2] / "plugins"


def run(*words, folder, expected=0):
    done = subprocess.run([*map(str, words)], cwd=folder, capture_output=True, text=True, timeout=600)
    assert done.returncode == expected, f"{words}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """A fresh environment that sees what is installed here, torch above all."""
    folder = tmp_path_factory.mktemp("venv")
    run(sys.executable, "-m", "venv", folder, folder=folder)
    site = next(folder.glob("lib/python*/site-packages"))
    (site / "here.pth").write_text(
        f"{sysconfig.get_path('purelib')}\nimport site; site.addsitedir({sysconfig.get_path('purelib')!r})\n"
    )
    return folder / "bin" / "python"


def test_a_copy_is_a_package_of_its_own(python, tmp_path):
    made = Path(
        run(sys.executable, PLUGINS / "template" / "rename.py", "dusk-light", tmp_path, folder=tmp_path).strip()
    )
    assert made == tmp_path / "fewgan-dusk-light"
    left = [path for path in made.rglob("*") if path.is_file() and "template" in path.read_text() + path.name]
    assert not left

    run(python, "-m", "pip", "install", "--quiet", "--no-deps", made, folder=tmp_path)
    shown = run(python, "-m", "fewgan", "plugins", folder=tmp_path)
    for name in ("net", "warm", "shade", "calm", "means", "note", "average"):
        assert f"dusk-light-{name}" in shown
    assert "passed" in run(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", made, folder=tmp_path)

    (tmp_path / "photos").mkdir()
    for index in range(12):
        smooth(40, 40, index).save(tmp_path / "photos" / f"{index}.png")
    run(python, "-m", "fewgan", "prepare", "photos", "--size", "16", folder=tmp_path)
    method = [
        "--arch",
        "dusk-light-net",
        "--dusk-light-net-width",
        "4",
        "--aug",
        "dusk-light-shade",
        "--dusk-light-calm",
    ]
    run(python, "-m", "fewgan", "train", *method, "--steps", "2", "--batch-size", "4", folder=tmp_path)
    run(python, "-m", "fewgan", "sample", "--count", "2", folder=tmp_path)
    scoring = ["--features", "dusk-light-means", "--count", "8"]
    scored = run(python, "-m", "fewgan", "fid", *scoring, folder=tmp_path)
    assert "Fréchet distance (mean colours)" in scored

    run(python, "-m", "pip", "uninstall", "--quiet", "--yes", "fewgan-dusk-light", folder=tmp_path)
    assert "dusk-light" not in run(python, "-m", "fewgan", "plugins", folder=tmp_path)
    told = run(python, "-m", "fewgan", "sample", folder=tmp_path, expected=2)
    assert "install the package that provides it, named 'fewgan-dusk-light'" in told
    assert told.strip().count("\n") == 0


@pytest.mark.parametrize("name", ["template", "Mine", "a--b", "1a", ""])
def test_names_that_no_plugin_may_have(name, tmp_path):
    told = run(sys.executable, PLUGINS / "template" / "rename.py", name, tmp_path, folder=tmp_path, expected=1)
    assert "lower-case letters" in told
    assert not os.listdir(tmp_path)


def test_what_is_there_is_not_overwritten(tmp_path):
    (tmp_path / "fewgan-mine").mkdir()
    told = run(sys.executable, PLUGINS / "template" / "rename.py", "mine", tmp_path, folder=tmp_path, expected=1)
    assert "exists" in told
