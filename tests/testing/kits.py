# ruff: noqa: E501
"""Plugins made of a few lines, and the tests of the kit that are run for them."""

import inspect
import itertools
import sys
from textwrap import indent

import pytest
from packages import install

from fewgan.testing import ArchitectureTests, AugmentationTests, FeaturesTests, RegularizerTests, TransferTests
from fewgan.testing.base import install_tiny

HEAD = """
from dataclasses import dataclass
import random, torch
from torch import nn
from torch.nn import functional as F
from fewgan.plugin import Adam, Defaults, Group, Networks, Plugin, UsageError, advance, option
from fewgan.testing import tiny

@dataclass(frozen=True, kw_only=True)
class Options:
    strength: float = option(0.5, "How strong it is", min=0)
"""
TAIL = """
plugin = Plugin(api=1, summary={summary!r}, options=Options, build=build, **{extra})
"""
BUILDS = {
    AugmentationTests: "def build(options, *, size):\n    return Made()\n",
    RegularizerTests: "def build(options, *, networks):\n    return Made()\n",
    TransferTests: "def build(options, *, networks):\n    return Made(networks)\n",
    FeaturesTests: "def build(options):\n    return Made()\n",
    ArchitectureTests: (
        "def build(options, *, size, classes):\n"
        "    return Networks(G(classes), D(classes), Defaults(discriminator_steps=1))\n"
    ),
}
GOOD = {
    AugmentationTests: "def forward(self, images):\n    return images * (1 + 0.2 * torch.rand(len(images), 1, 1, 1).to(images))",
    RegularizerTests: "def discriminator_loss(self, step):\n    return 0.1 * step.logits_real.square().mean()",
    TransferTests: "conditional, mapper = True, None\ndef __init__(self, networks):\n    super().__init__()",
    FeaturesTests: (
        "dim, score_name = 12, 'Distance (means)'\n"
        "def forward(self, images):\n"
        "    return F.adaptive_avg_pool2d(images.float(), 2).flatten(1)"
    ),
    ArchitectureTests: "",
}
TRANSFER = "conditional, mapper = True, None\ndef __init__(self, networks):\n    super().__init__()\n    self.held = (networks,)\n"
MAPPER = """
class Mapper(nn.Module):
    def __init__(self, generator):
        super().__init__()
        self.generator, self.linear = (generator,), nn.Linear(6, 6)
    def forward(self, z, labels):
        {}
        return z + self.linear(z), self.generator[0].embed(labels)
""" + BUILDS[TransferTests]
MAPPED = TRANSFER.replace(", mapper = True, None", " = True") + "    self.mapper = Mapper(networks.generator)"
SERVING = "def build(options, *, size, classes):\n    if {}:\n        raise UsageError('not served')\n"
SERVING += BUILDS[ArchitectureTests].split("\n", 1)[1]
FROM_W = (
    "class G(tiny.Generator):\n    w_shape = (2, 6)\n"
    "    def mapping(self, z, condition):\n        return z\n"
    "    def from_w(self, w):\n        w = w.mean(1) if w.dim() == 3 else w\n        return self(w, w[:, : self.condition_dim])\n"
)
FORGETFUL = (
    "from fewgan.plugin import Pretrained\n"
    "def write(networks):\n    return {name: getattr(networks, name).state_dict() for name in ('generator', 'discriminator')}\n"
    "def read(files):\n"
    "    other = {**files['discriminator'], 'linear.weight': files['discriminator']['linear.weight'] / 2}\n"
    "    return Pretrained(options=Options(), size=16, classes=3, generator=files['generator'], discriminator=other)\n"
)
numbers = itertools.count()


def fails(kit, test, monkeypatch, tmp_path, capsys, *, body=None, source=None, **more):
    """Runs one test of a kit's class for a plugin; the message of its failure, or None."""
    name = f"broken{next(numbers)}"
    if kit is ArchitectureTests:
        made = "class G(tiny.Generator):\n    pass\nclass D(tiny.Discriminator):\n    pass\n" + (body or "")
    else:
        made = "class Made(nn.Module):\n" + indent(GOOD[kit] if body is None else body, "    ")
    tail = TAIL.format(summary=more.get("summary", "A method"), extra=more.get("extra", "{}"))
    text = source or HEAD + made + "\n" + more.get("build", BUILDS[kit]) + tail
    points = {kit.kind: [f"{name} = {name}_plugin:plugin"]}
    folder = install(tmp_path / "packages", f"fewgan-{name}", points, {f"{name}_plugin": text})
    monkeypatch.syspath_prepend(str(folder))
    tests = type("Broken", (kit,), {"plugin": name, "size": 16, **more.get("attributes", {})})()
    monkeypatch.syspath_prepend(str(install_tiny(tmp_path / "tiny")))
    (tmp_path / "run").mkdir()
    fixtures = {"tmp_path": tmp_path / "run", "monkeypatch": monkeypatch, "capsys": capsys}
    method = getattr(tests, test)
    try:
        method(**{key: fixtures[key] for key in inspect.signature(method).parameters})
    except pytest.fail.Exception as failure:
        message = str(failure)
    else:
        return None
    finally:
        sys.modules.pop(f"{name}_plugin", None)
    assert f"{name} breaks a rule of fewgan.plugin." in message
    return message
