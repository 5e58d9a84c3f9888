"""What a training would do, without doing it: sizes, parameters, memory, source."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from fewgan.screen import Screen
from fewgan.training import session
from fewgan.training.config import Config
from fewgan.training.players import Players

PROBE = 2  # photos in the passes that measure memory


def plan(config: Config, screen: Screen) -> dict[str, Any]:
    """The settled plan as plain values. Builds the networks and runs one small pass; writes nothing."""
    work = session.begin(config, screen)
    config, players = work.config, work.state.players
    return {
        "dataset": {
            "path": work.record["data_path"],
            "photos": work.record["photos"],
            "classes": ", ".join(work.record["classes"]) or "unlabelled",
        },
        "networks": {
            "architecture": config.architecture.name,
            "size": config.size,
            "classes": work.record["network_classes"] or "unconditional",
            "generator_parameters": _count(players.generator),
            # With those of regularizers, which learn with D.
            "discriminator_parameters": sum(map(_count, (players.discriminator, *players.regularizers.values()))),
            **({"mapper_parameters": _count(players.transfer.mapper)} if players.transfer.mapper is not None else {}),
        },
        "method": {
            "transfer": config.transfer.name,
            "source": config.source or "none",
            "augmentation": config.augmentation.name if config.augmentation else "none",
            "regularizers": ", ".join(choice.name for choice in config.regularizers) or "none",
            "loss": _loss(players),
        },
        "training": {
            "steps": config.steps,
            "batch_size": config.batch_size,
            "d_steps": config.d_steps,
            "grad_accumulation": config.grad_accumulation,
            "photos_shown": config.steps * work.images_per_step,
            "learning_rates": f"G {config.lr_g:g}, D {config.lr_d:g}",
            "precision": config.precision,
            "device": str(work.device),
            "memory_estimate_bytes": _memory(players, config),
        },
    }


def _loss(players: Players) -> str:
    """The adversarial loss, or the regularizer that brings both losses in its place."""
    return players.loss if players.loss_plugin_name is None else f"of {players.loss_plugin_name}"


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _memory(players: Players, config: Config) -> int:
    """Weights, gradients, Adam's moments, the average, and what autograd keeps in the larger of the two steps."""
    everything = list(players.modules.values())
    weights = 4 * sum(_count(module) for module in everything)
    average = 4 * _count(players.generator)
    z, labels = players.draw(PROBE)
    shown = labels if players.conditional else None

    def generator_pass() -> Tensor:
        return players.discriminate(players.augment(players.generate(z, labels)), shown).mean()

    def discriminator_pass() -> Tensor:
        with torch.no_grad():
            fake = players.generate(z, labels)
        return players.discriminate(players.augment(fake), shown).mean()

    # D sees real and fake, and each regularizer is taken to add a pass.
    passes = 2 + len(config.regularizers)
    activations = max(_kept(players, generator_pass), passes * _kept(players, discriminator_pass))
    return weights * 4 + average + activations * config.batch_size // PROBE


def _kept(players: Players, forward: Any) -> int:
    """Bytes that autograd saves in a forward, parameters apart."""
    weights = {p.untyped_storage().data_ptr() for module in players.modules.values() for p in module.parameters()}
    found: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            found[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = forward()
    del loss
    return sum(found.values())
