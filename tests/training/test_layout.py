"""The layout of tensors in memory: MPS computes wrong gradients of batch norm in channels_last."""

import pytest
import torch
from torch.nn import functional as F

from fewgan import device
from fewgan.registry import choose
from fewgan.screen import Screen
from fewgan.training import batches, session
from fewgan.training.config import Config
from fewgan.training.steps import Clock, discriminator_step, generator_step


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_everything_is_in_the_layout_of_its_device(data, monkeypatch, layout):
    seen = []

    def noted(x, *rest, **named):
        seen.append((x.is_contiguous(memory_format=layout), x.shape[2]))
        return batch_norm(x, *rest, **named)

    batch_norm = F.batch_norm
    monkeypatch.setattr(F, "batch_norm", noted)
    monkeypatch.setattr(device, "memory_format", lambda _: layout)
    biggan = choose("architectures", "biggan")
    biggan = choose("architectures", "biggan", biggan.plugin()[0].options(width=4))
    config = Config(data=str(data), architecture=biggan, transfer=choose("transfers", "none"), size=32, device="cpu")
    work = session.begin(config, Screen(quiet=True))
    images = batches.batch(work)
    players = work.state.players
    assert images[0].is_contiguous(memory_format=layout)
    for network in (players.generator, players.discriminator):
        assert all(p.is_contiguous(memory_format=layout) for p in network.parameters() if p.dim() == 4)
    discriminator_step(players, work.state.optimizers["discriminator"], [images], Clock())
    generator_step(players, work.state.optimizers["generator"], [4], Clock())
    assert max(side for _, side in seen) == 32
    assert all(right for right, _ in seen)
