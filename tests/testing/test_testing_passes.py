# ruff: noqa: E501
"""Plugins that keep the rules pass every test of the kit, those that do something unusual, too."""

import pytest
from kits import BUILDS, FORGETFUL, FROM_W, MAPPED, MAPPER, SERVING, fails

from fewgan.testing import ArchitectureTests, RegularizerTests, TransferTests

WRITING = FORGETFUL.replace("linear.weight'] / 2", "linear.weight']").replace(", classes=3", ", classes=0") + (
    "def written(networks):\n"
    "    if networks.generator.classes:\n        raise UsageError('no place for classes')\n"
    "    return write(networks)\n"
    "def own(files):\n    return read(files) if 'generator' in files else None\n"
)
OF_W = FROM_W + (
    "    def sample(self, z, condition, truncation):\n        return self.from_w(truncation * self.mapping(z, condition))\n"
    "    def standing_statistics(self, batches):\n        for z, condition in batches:\n            self(z, condition)\n"
    "    def latents(self, count, random):\n        return torch.rand(count, self.latent_dim, generator=random)\n"
)
HOOKED = (
    "def __init__(self, networks):\n    super().__init__()\n    self.held = (networks.discriminator,)\n"
    "def discriminator_loss(self, step):\n    kept = []\n"
    "    hook = self.held[0].first.register_forward_hook(lambda module, given, made: kept.append(made))\n"
    "    step.discriminator.features(step.real)\n    hook.remove()\n    return kept[0].square().mean()\n"
)


@pytest.mark.parametrize(
    ("kit", "good"),
    [
        (ArchitectureTests, {"build": SERVING.format("classes"), "attributes": {"classes": (0,)}}),
        (ArchitectureTests, {"build": SERVING.format("classes == 0"), "attributes": {"classes": (1, 3)}}),
        (ArchitectureTests, {"body": WRITING + OF_W, "extra": "dict(read=own, write=written)"}),
        (RegularizerTests, {"body": HOOKED, "build": "def build(options, *, networks):\n    return Made(networks)\n"}),
        (TransferTests, {"body": MAPPED, "build": MAPPER.format("pass")}),
    ],
    ids=["without classes", "classes alone", "hooks of a generator", "looks into its networks", "mapper"],
)
def test_a_good_plugin_of_another_kind_passes(kit, good, monkeypatch, tmp_path, capsys):
    for number, test in enumerate(name for name in dir(kit) if name.startswith("test_")):
        (tmp_path / str(number)).mkdir()
        assert fails(kit, test, monkeypatch, tmp_path / str(number), capsys, **good) is None, test


@pytest.mark.parametrize("kit", list(BUILDS))
def test_a_good_plugin_passes(kit, monkeypatch, tmp_path, capsys):
    for number, test in enumerate(name for name in dir(kit) if name.startswith("test_")):
        (tmp_path / str(number)).mkdir()
        assert fails(kit, test, monkeypatch, tmp_path / str(number), capsys) is None, test
