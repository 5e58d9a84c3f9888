"""The conformance kit: what fewgan asks of a plugin, as tests to subclass. Needs pytest: `fewgan[testing]`.

    from fewgan.testing import RegularizerTests

    class TestLeCam(RegularizerTests):
        plugin = "lecam"               # the name of the installed entry point
        options = {"weight": 0.5}      # where defaults are too slow for a test, or do too little in 20 steps

Everything runs on the CPU with networks of 16 px that the kit brings along, in seconds. A failure names the rule that
was broken and where it is documented.
"""

from fewgan.testing.architectures import ArchitectureTests
from fewgan.testing.augmentations import AugmentationTests
from fewgan.testing.commands import CommandTests
from fewgan.testing.features import FeaturesTests
from fewgan.testing.regularizers import RegularizerTests
from fewgan.testing.trackers import TrackerTests
from fewgan.testing.transfers import TransferTests

__all__ = [
    "ArchitectureTests", "AugmentationTests", "CommandTests", "FeaturesTests", "RegularizerTests", "TrackerTests",
    "TransferTests",
]  # fmt: skip
