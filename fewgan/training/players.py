"""Who takes part in a training: networks and plugins, built from a config, and their optimizers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from fewgan import distributed
from fewgan.plugin import Group, Networks
from fewgan.training.config import Config


@dataclass
class Players:
    """All that takes part in a step.

    loss: hinge, nonsaturating or wasserstein. names: the plugin behind "transfer" and "augmentation". random: draws
    what all processes must agree on; None: torch's global generator, in a single process.
    """

    networks: Networks
    transfer: Any
    augmentation: Any | None
    regularizers: dict[str, Any]
    loss: str
    names: Mapping[str, str] = field(default_factory=dict)
    precision: str = "fp32"
    orthogonal: float = 0.0
    random: torch.Generator | None = None
    conditional: bool = field(init=False)

    def __post_init__(self) -> None:
        # D is told labels where the generator knows classes and the transfer does not replace them.
        self.conditional = self.transfer.conditional and self.networks.generator.classes > 0

    @property
    def generator(self) -> Any:
        return self.networks.generator

    @property
    def discriminator(self) -> Any:
        return self.networks.discriminator

    @property
    def modules(self) -> dict[str, nn.Module]:
        """Every module by the name that checkpoints know it by; their parameters are told apart by it too."""
        found = {"generator": self.generator, "discriminator": self.discriminator, "transfer": self.transfer}
        if self.augmentation is not None:
            found["augmentation"] = self.augmentation
        return found | {f"regularizer.{name}": module for name, module in self.regularizers.items()}

    @property
    def device(self) -> torch.device:
        return next(self.generator.parameters()).device  # type: ignore[no-any-return]

    def autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.precision == "bf16")

    def draw(self, count: int) -> tuple[Tensor, Tensor]:
        """Latents [count, Z] and labels [count] for fakes: this process's share of those of all processes."""
        total = count * distributed.world()
        z = torch.randn(total, self.generator.latent_dim, device=self.device, generator=self.random)
        labels = torch.randint(max(self.generator.classes, 1), (total,), device=self.device, generator=self.random)
        return distributed.part(z), distributed.part(labels)

    def generate(self, z: Tensor, labels: Tensor | None) -> Tensor:
        """Images through the mapper and G, float32 or wider."""
        if labels is None:
            labels = torch.zeros(len(z), dtype=torch.int64, device=z.device)
        with self.autocast():
            if self.transfer.mapper is not None:
                z, condition = self.transfer.mapper(z, labels)
            else:
                condition = self.generator.embed(labels)
            images: Tensor = self.generator(z, condition)
        return _wide(images)

    def judge(self, images: Tensor, labels: Tensor | None) -> Tensor:
        """Logits of D, float32 or wider."""
        with self.autocast():
            logits: Tensor = self.discriminator(images, labels)
        return _wide(logits)

    def augment(self, images: Tensor) -> Tensor:
        return images if self.augmentation is None else self.augmentation(images)

    @property
    def logged(self) -> dict[str, Tensor]:
        """0-d buffers of the plugins, as `<plugin>.<buffer>` for the metrics."""
        found: dict[str, Tensor] = {}
        for name, module in self.modules.items():
            if name not in ("generator", "discriminator"):
                plugin = self.names.get(name, name.removeprefix("regularizer."))
                found |= {f"{plugin}.{buffer}": value for buffer, value in module.named_buffers() if value.dim() == 0}
        return found


def _wide(tensor: Tensor) -> Tensor:
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def assemble(config: Config, networks: Networks) -> Players:
    """The plugins of a settled config around its networks, in training mode, on the CPU.

    Raises UsageError for what a plugin cannot serve.
    """
    plugin, options = config.transfer.plugin()
    transfer = plugin.build(options, networks=networks)
    names = {"transfer": config.transfer.name}
    augmentation = None
    if config.augmentation is not None:
        plugin, options = config.augmentation.plugin()
        augmentation = plugin.build(options, size=config.size)
        names["augmentation"] = config.augmentation.name
    regularizers = {}
    for choice in config.regularizers:
        plugin, options = choice.plugin()
        regularizers[choice.name] = plugin.build(options, networks=networks)
    return Players(
        networks=networks,
        transfer=transfer,
        augmentation=augmentation,
        regularizers=regularizers,
        loss=config.loss or networks.defaults.loss,
        names=names,
        precision=config.precision,
        orthogonal=config.orthogonal,
    )


def optimizers(players: Players, config: Config) -> dict[str, torch.optim.Optimizer]:
    """Adam for "generator" (with the transfer's own parameters) and for "discriminator" (with the regularizers').

    Groups that the transfer names come with their own rates; what they hold leaves the default group.
    """
    defaults = players.networks.defaults
    own: list[Group] = list(players.transfer.groups()) if hasattr(players.transfer, "groups") else []
    named = {id(parameter) for group in own for parameter in group.parameters}
    sides = {
        "generator": ([players.generator, players.transfer], config.lr_g),
        "discriminator": ([players.discriminator, *players.regularizers.values()], config.lr_d),
    }
    found: dict[str, torch.optim.Optimizer] = {}
    for side, (modules, rate) in sides.items():
        rest = [p for module in modules for p in module.parameters() if p.requires_grad and id(p) not in named]
        groups = [{"params": rest, "lr": rate}]
        groups += [{"params": list(g.parameters), "lr": g.learning_rate} for g in own if g.network == side]
        fused = players.device.type in ("cpu", "cuda")
        found[side] = torch.optim.Adam(groups, betas=defaults.betas, eps=defaults.epsilon, fused=fused)
    return found


def freeze(players: Players, trainable: Sequence[nn.Parameter] | None, learning: Sequence[nn.Parameter]) -> None:
    """Lets only `trainable` learn, out of all parameters that ever do; None: all of them.

    What is frozen loses its gradient, so that the optimizer passes over it, and its power iteration stops.
    """
    chosen = None if trainable is None else {id(parameter) for parameter in trainable}
    for parameter in learning:
        learns = chosen is None or id(parameter) in chosen
        if parameter.requires_grad != learns:
            parameter.requires_grad_(learns)
            parameter.grad = None
