"""The three plugins through the conformance kit, and their defaults, options and messages."""

from typing import ClassVar

import pytest
import torch
from fewgan_transgan.architecture import Options, build, read, write
from fewgan_transgan.augmentation import parts

from fewgan import run
from fewgan.plugin import UsageError
from fewgan.registry import choose
from fewgan.testing import ArchitectureTests, AugmentationTests, RegularizerTests
from fewgan.testing.base import QUIET, config
from fewgan.training.loop import train

TINY = {"width": 64, "depths": "1,1,1", "latent_dim": 8, "d_width": 32, "d_depth": 1}


class TestTransgan(ArchitectureTests):
    plugin = "transgan"
    options: ClassVar = TINY


class TestWindowed(ArchitectureTests):
    plugin = "transgan"
    size = 64
    options: ClassVar = TINY | {"width": 256, "depths": "1,1,1,1", "norm": "pn", "d_norm": "pn"}


class TestAugment(AugmentationTests):
    plugin = "transgan-augment"
    options: ClassVar = {"policy": "translation,cutout,erase_ratio,stl_erase_ratio,color,hue,filter"}


class TestGradientPenalty(RegularizerTests):
    plugin = "gradient-penalty"
