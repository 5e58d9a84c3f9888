"""A team of networks of 16 px, for single steps."""

import dataclasses

import torch
from torch import Tensor

from fewgan.networks import Networks
from fewgan.registry import choose
from fewgan.testing import tiny
from fewgan.training.config import Config
from fewgan.training.players import Players, assemble, optimizers
from fewgan.training.steps import Clock, discriminator_step


def team(device="cpu", *, classes=0, discriminator=None, defaults=None, **regularizers) -> Players:
    networks = tiny.build(tiny.Options(), size=tiny.SIZE, classes=classes)
    networks = Networks(networks.generator, discriminator or networks.discriminator, defaults or networks.defaults)
    settled = dataclasses.replace(
        plain(), transfer=choose("transfers", "none"), loss="hinge", lr_g=1e-3, lr_d=1e-3, size=tiny.SIZE
    )
    players = assemble(settled, networks)
    players.regularizers.update(regularizers)
    for module in players.modules.values():
        module.to(device)
    return players


def plain() -> Config:
    return Config(architecture=choose("architectures", "tiny"), transfer=choose("transfers", "none"), precision="fp32")


def batch(device="cpu", count=4, classes=0):
    images = torch.rand(count, 3, tiny.SIZE, tiny.SIZE, device=device) * 2 - 1
    return images, torch.arange(count, device=device) % max(classes, 1)


def step_d(players: Players, clock=None, **settings) -> dict[str, Tensor]:
    both = optimizers(players, dataclasses.replace(plain(), **settings))
    return discriminator_step(players, both["discriminator"], [batch(players.device)], clock or Clock())
