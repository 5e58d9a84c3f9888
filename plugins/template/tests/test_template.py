"""fewgan's conformance kit, and what the methods promise beyond it."""

import torch
from fewgan_template import calm, shade, warm
from PIL import Image

from fewgan.testing import (
    ArchitectureTests,
    AugmentationTests,
    CommandTests,
    FeaturesTests,
    RegularizerTests,
    TrackerTests,
    TransferTests,
    run_command,
)  # fmt: skip


class TestNet(ArchitectureTests):
    plugin, size, options = "template-net", 16, {"width": 4}


class TestWarm(TransferTests):
    plugin, options = "template-warm", {"steps": 5}


class TestShade(AugmentationTests):
    plugin = "template-shade"


class TestCalm(RegularizerTests):
    plugin = "template-calm"


class TestMeans(FeaturesTests):
    plugin = "template-means"


class TestNote(TrackerTests):
    plugin = "template-note"


class TestAverage(CommandTests):
    plugin = "template-average"


def test_average(tmp_path, capsys):
    Image.new("RGB", (4, 4), (255, 128, 0)).save(tmp_path / "a.png")
    assert run_command(["template-average", str(tmp_path / "a.png"), "--digits", "0"]) == 0
    assert capsys.readouterr().out.endswith("255 128 0\n")
    assert run_command(["template-average", str(tmp_path / "b.png")]) == 2
    assert "b.png: not a picture" in capsys.readouterr().err


def test_shade_shifts_all_pixels_of_a_picture_alike():
    images = torch.rand(8, 3, 16, 16) * 2 - 1
    shifts = shade.build(shade.Options(strength=0.3), size=16)(images) - images
    assert shifts.abs().max() <= 0.3
    assert torch.allclose(shifts, shifts[:, :1, :1, :1].expand_as(shifts), atol=1e-6)


def test_defaults():
    assert (calm.Options().weight, warm.Options().steps) == (0.01, 50)
