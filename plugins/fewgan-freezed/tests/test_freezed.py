"""Freeze-D freezes what it says and nothing else."""

from types import SimpleNamespace

import pytest
import torch
from fewgan_freezed import Options, build

from fewgan.plugin import Networks, UsageError
from fewgan.testing import TransferTests


class Stack(torch.nn.Module):
    def __init__(self, count):
        super().__init__()
        self.parts = torch.nn.ModuleList(torch.nn.Linear(2, 2) for _ in range(count))

    def blocks(self):
        return list(self.parts)


@pytest.fixture
def networks():
    return Networks(Stack(3), Stack(5), None)


@pytest.mark.parametrize(("blocks", "frozen"), [(None, 3), (0, 0), (1, 1), (4, 4)])
def test_the_first_blocks_of_d_are_frozen(networks, blocks, frozen):
    method = build(Options(blocks=blocks), networks=networks)
    learning = {id(parameter) for parameter in method.trainable(0, 10)}
    assert all(id(parameter) in learning for parameter in networks.generator.parameters())
    for index, block in enumerate(networks.discriminator.blocks()):
        assert all((id(parameter) in learning) == (index >= frozen) for parameter in block.parameters())
    assert {id(p) for p in method.trainable(9, 10)} == learning
    assert not list(method.parameters())
    assert method.conditional
    assert method.mapper is None


def test_the_head_must_learn(networks):
    with pytest.raises(UsageError, match=r"--freezed-blocks 5: D has 5 blocks.*give 4 at most"):
        build(Options(blocks=5), networks=networks)


def test_a_source_without_d_is_refused(networks):
    bare = SimpleNamespace(has_discriminator=False)
    with pytest.raises(UsageError, match=r"the source has no discriminator.*--transfer finetune"):
        build(Options(), networks=networks).start(networks, [bare])
    build(Options(blocks=0), networks=networks).start(networks, [bare])  # nothing is frozen


class TestConformance(TransferTests):
    plugin, options = "freezed", {"blocks": 1}
