"""The conformance kit: the built-in plugins pass it."""

import pytest
from seeded import write_inception

from fewgan.testing import ArchitectureTests, AugmentationTests, FeaturesTests, RegularizerTests, TransferTests


class TestTiny(ArchitectureTests):
    """The kit's own networks."""

    plugin, size = "tiny", 16


class TestBigGAN(ArchitectureTests):
    plugin, options = "biggan", {"width": 2}


class TestNone(TransferTests):
    plugin = "none"


class TestFinetune(TransferTests):
    plugin = "finetune"


class TestMineGAN(TransferTests):
    plugin = "minegan"


class TestDiffAugment(AugmentationTests):
    plugin = "diffaugment"


class TestCR(RegularizerTests):
    plugin = "cr"


class TestInception(FeaturesTests):
    plugin = "inception"

    @pytest.fixture(autouse=True)
    def _weights(self, tmp_path_factory, monkeypatch):
        path = tmp_path_factory.getbasetemp() / "kit-seeded.pth"
        if not path.exists():
            write_inception(path)
        monkeypatch.setenv("FEWGAN_INCEPTION_WEIGHTS", str(path))
