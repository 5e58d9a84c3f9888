"""What other architectures do when they are asked to read files that are not theirs, or generate what is no picture."""

import pytest
import torch
from packages import install

import fewgan
from fewgan.plugin import FewganError, UsageError

READER = """
    from dataclasses import dataclass
    from fewgan.plugin import Plugin, UsageError

    @dataclass(frozen=True, kw_only=True)
    class Options: ...

    def read(files):
        {read}

    plugin = Plugin(api=1, summary="R", options=Options, build=lambda options, **facts: None, read=read)
"""


@pytest.mark.parametrize(
    ("read", "message"),
    [
        ('return files["nothing like it"]', r"layout of G_ema\.pth \(it holds x\); that of aaa fails with KeyError"),
        ('raise UsageError("tensor main is missing")', r"tensor main is missing \(read as aaa\)"),
    ],
    ids=["fails", "refuses"],
)
def test_an_architecture_that_cannot_read_stops_no_other(read, message, foreign, place):
    points = {"architectures": ["aaa = reader_plugin:plugin"]}
    install(place, "fewgan-aaa", points, {"reader_plugin": READER.format(read=read)})
    assert fewgan.load(foreign).architecture.name == "biggan"
    torch.save({"x": torch.zeros(1)}, foreign / "G_ema.pth")
    (foreign / "D.pth").unlink()
    with pytest.raises(UsageError, match=message):
        fewgan.load(foreign)


def test_images_of_another_shape_name_the_architecture(foreign, monkeypatch):
    model = fewgan.load(foreign)
    monkeypatch.setattr(model.generator, "forward", lambda z, condition: torch.zeros(len(z), 1, 32, 32))
    with pytest.raises(FewganError, match=r"architecture biggan: its generator made images of shape \[1, 32, 32\]"):
        model.sample(2)
