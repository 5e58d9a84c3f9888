"""The conformance kit: what fewgan asks of a plugin, as tests to subclass. Needs pytest: `fewgan[testing]`.

    from fewgan.testing import RegularizerTests

    class TestLeCam(RegularizerTests):
        plugin = "lecam"               # the name of the installed entry point
        options = {"weight": 0.5}      # where defaults are too slow for a test, or do too little in 20 steps

Everything runs on the CPU with networks of 16 px that the kit brings along, in seconds. A failure names the rule that
was broken and where it is documented.

For tests of your own there are networks(classes), these networks; in RegularizerTests, made(networks) and
step(networks); and run_command(words), a command line of fewgan in this process.
"""

from fewgan.testing.architectures import ArchitectureTests
from fewgan.testing.augmentations import AugmentationTests
from fewgan.testing.base import networks
from fewgan.testing.commands import CommandTests, run_command
from fewgan.testing.features import FeaturesTests
from fewgan.testing.regularizers import RegularizerTests
from fewgan.testing.trackers import TrackerTests
from fewgan.testing.transfers import TransferTests

__all__ = [
    "ArchitectureTests", "AugmentationTests", "CommandTests", "FeaturesTests", "RegularizerTests", "TrackerTests",
    "TransferTests", "networks", "run_command",
]  # fmt: skip
