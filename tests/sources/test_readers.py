"""What other architectures do when they are asked to read files that are not theirs, or generate what is no picture."""

import shutil
from pathlib import Path

import pytest
import torch
from packages import install

import fewgan
from fewgan.plugin import FewganError, UsageError

OWN = Path(__file__).parents[1] / "golden" / "biggan-32"


@pytest.fixture
def foreign(tmp_path):
    folder = tmp_path / "foreign"
    folder.mkdir()
    for name in ("G_ema.pth", "D.pth"):
        shutil.copy(OWN / name, folder)
    return folder


READER = """
    from dataclasses import dataclass
    from fewgan.plugin import Plugin

    @dataclass(frozen=True, kw_only=True)
    class Options: ...

    def read(files):
        return files["nothing like it"]

    plugin = Plugin(api=1, summary="R", options=Options, build=lambda options, **facts: None, read=read)
"""


def test_an_architecture_that_cannot_read_stops_no_other(foreign, tmp_path, monkeypatch):
    points = {"architectures": ["aaa = reader_plugin:plugin"]}
    monkeypatch.syspath_prepend(install(tmp_path / "site", "fewgan-aaa", points, {"reader_plugin": READER}))
    assert fewgan.load(foreign).architecture.name == "biggan"
    torch.save({"x": torch.zeros(1)}, foreign / "G_ema.pth")
    (foreign / "D.pth").unlink()
    with pytest.raises(UsageError, match=r"layout of G_ema\.pth \(it holds x\); that of aaa fails with KeyError"):
        fewgan.load(foreign)


def test_an_architecture_that_refuses_stops_no_other(foreign, tmp_path, monkeypatch):
    points = {"architectures": ["aaa = refusing_plugin:plugin"]}
    refusing = READER.replace('return files["nothing like it"]', 'raise UsageError("tensor main is missing")')
    refusing = refusing.replace("import Plugin", "import Plugin, UsageError")
    monkeypatch.syspath_prepend(install(tmp_path / "site", "fewgan-aaa", points, {"refusing_plugin": refusing}))
    assert fewgan.load(foreign).architecture.name == "biggan"
    torch.save({"x": torch.zeros(1)}, foreign / "G_ema.pth")
    (foreign / "D.pth").unlink()
    with pytest.raises(UsageError, match=r"tensor main is missing \(read as aaa\)"):
        fewgan.load(foreign)


def test_images_of_another_shape_name_the_architecture(foreign, monkeypatch):
    model = fewgan.load(foreign)
    monkeypatch.setattr(model.generator, "forward", lambda z, condition: torch.zeros(len(z), 1, 32, 32))
    with pytest.raises(FewganError, match=r"architecture biggan: its generator made images of shape \[1, 32, 32\]"):
        model.sample(2)
