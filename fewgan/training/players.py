"""Everything that takes part in a training step: networks and plugins, built from a config, and their optimizers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from fewgan import distributed
from fewgan.networks import Adam, Networks
from fewgan.plugin import Group
from fewgan.registry import Choice
from fewgan.training import checked
from fewgan.training.config import Config


@dataclass
class Players:
    """Networks and plugins of a run.

    loss: hinge, nonsaturating or wasserstein. names: the plugin behind "transfer" and "augmentation". frequencies: how
    often fakes are drawn of each class, as often as the photos have it; None: uniform. random: draws what all processes
    must agree on; None: torch's global generator, in a single process. steps: what the run was started for. terms: of
    the last step, hook -> (kind, name) -> what that plugin added to the loss; under ("", "") the core's own.
    """

    networks: Networks
    transfer: Any
    augmentation: Any | None
    regularizers: dict[str, Any]
    loss: str
    names: Mapping[str, str] = field(default_factory=dict)
    precision: str = "fp32"
    orthogonal: float = 0.0
    frequencies: Tensor | None = None
    random: torch.Generator | None = None
    steps: int = 1
    terms: dict[str, dict[tuple[str, str], Tensor]] = field(default_factory=dict)

    @property
    def conditional(self) -> bool:
        """Whether D gets labels: the generator has classes, and the transfer does not replace them."""
        return bool(self.transfer.conditional) and self.generator.classes > 0

    @property
    def generator(self) -> Any:
        return self.networks.generator

    @property
    def discriminator(self) -> Any:
        return self.networks.discriminator

    @property
    def modules(self) -> dict[str, nn.Module]:
        """Every module by the name that checkpoints have for it."""
        found = {"generator": self.generator, "discriminator": self.discriminator, "transfer": self.transfer}
        if self.augmentation is not None:
            found["augmentation"] = self.augmentation
        return found | {f"regularizer.{name}": module for name, module in self.regularizers.items()}

    @property
    def loss_plugin_name(self) -> str | None:
        """The name of the regularizer that brings the losses of D and G in place of the core's, or None."""
        return next(iter(checked.loss_plugins(self.regularizers)), None)

    @property
    def loss_plugin(self) -> Any | None:
        """That regularizer itself."""
        return None if self.loss_plugin_name is None else self.regularizers[self.loss_plugin_name]

    @property
    def judge(self) -> Any:
        """(images, labels) -> logits: D, or what the regularizer that brings the losses has in its place."""
        return getattr(self.loss_plugin, "discriminator", self.discriminator)

    @cached_property
    def groups(self) -> list[Group]:
        """Parameters that the transfer gives rates of their own."""
        made = self.transfer.groups() if hasattr(self.transfer, "groups") else ()
        return checked.groups(self.names.get("transfer", ""), made)

    @property
    def plugins(self) -> list[tuple[str, str, Any]]:
        """(kind, name, module) of those that may have losses and a schedule: the transfer and the regularizers."""
        own = (checked.TRANSFER, self.names.get("transfer", ""), self.transfer)
        return [own, *((checked.REGULARIZER, name, module) for name, module in self.regularizers.items())]

    @property
    def keeping(self) -> list[str]:
        """The names of those that need the source on a resume, too."""
        return [name for _, name, module in self.plugins if getattr(module, "keeps_source", False)]

    @property
    def needs_real(self) -> bool:
        """Whether a plugin asks for photos in the G step."""
        return any(getattr(module, "needs_real", False) for _, _, module in self.plugins)

    @property
    def device(self) -> torch.device:
        return next(self.generator.parameters()).device  # type: ignore[no-any-return]

    def autocast(self) -> AbstractContextManager[Any]:
        if self.precision == "fp32":
            return nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16)

    def draw(self, count: int) -> tuple[Tensor, Tensor]:
        """Latents [count, Z] and labels [count] for fakes: this rank's shard of those of all ranks."""
        total, generator = count * distributed.world_size(), self.generator
        if hasattr(generator, "latents"):
            z = generator.latents(total, self.random).to(self.device)
        else:
            z = torch.randn(total, generator.latent_dim, device=self.device, generator=self.random)
        if self.frequencies is not None:
            labels = torch.multinomial(self.frequencies, total, replacement=True, generator=self.random)
        else:
            labels = torch.randint(max(generator.classes, 1), (total,), device=self.device, generator=self.random)
        return distributed.shard(z), distributed.shard(labels)

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
        return to_float32(images)

    def discriminate(self, images: Tensor, labels: Tensor | None) -> Tensor:
        """Logits of the discriminator that plays, float32 or wider."""
        with self.autocast():
            logits: Tensor = self.judge(images, labels)
        return to_float32(logits)

    def augment(self, images: Tensor) -> Tensor:
        """Augmented images, in their own precision: what is not differentiable in bfloat16 need not be."""
        if self.augmentation is None:
            return images
        learning = images.requires_grad and torch.is_grad_enabled()
        return checked.images(self.names.get("augmentation", ""), self.augmentation(images), images, learning=learning)

    @property
    def logged(self) -> dict[str, Tensor]:
        """0-d buffers of the plugins, as `<plugin>.<buffer>` for the metrics."""
        found: dict[str, Tensor] = {}
        for name, module in self.modules.items():
            if name not in ("generator", "discriminator"):
                plugin = self.names.get(name, name.removeprefix("regularizer."))
                # sum: True is 1
                found |= {
                    f"{plugin}.{buffer}": value.sum() for buffer, value in module.named_buffers() if not value.dim()
                }
        return found


def to_float32(tensor: Tensor) -> Tensor:
    """float32, or float64 where it is that."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def wide(value: Any) -> Any:
    """Tensors as float32 or wider; in tuples, too; anything else as it is."""
    if isinstance(value, Tensor):
        return to_float32(value) if value.is_floating_point() else value
    return tuple(map(wide, value)) if type(value) is tuple else value


class InPrecision:
    """A network as plugins see it: it and its methods run in the run's precision and give float32.

    called: what a call goes to, if not to the network itself.
    """

    def __init__(self, players: Players, module: Any, called: Any = None) -> None:
        self._players, self._module = players, module
        self._called = module if called is None else called

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with self._players.autocast():
            return wide(self._called(*args, **kwargs))

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._module, name)
        return _in_precision(self._players, value) if callable(value) and not isinstance(value, nn.Module) else value


def _in_precision(players: Players, function: Callable[..., Any]) -> Callable[..., Any]:
    def run(*args: Any, **kwargs: Any) -> Any:
        with players.autocast():
            return wide(function(*args, **kwargs))

    return run


def assemble(config: Config, networks: Networks) -> Players:
    """The plugins of a settled config around its networks, in training mode, on the CPU.

    Raises UsageError for what a plugin cannot serve.
    """
    networks = networks.with_discriminator()
    transfer = _built(config.transfer, networks=networks)
    generator: Any = networks.generator
    generator.mapped = transfer.mapper is not None
    names = {"transfer": config.transfer.name}
    augmentation = None
    if config.augmentation is not None:
        augmentation = _built(config.augmentation, size=config.size)
        names["augmentation"] = config.augmentation.name
    regularizers = {choice.name: _built(choice, networks=networks) for choice in config.regularizers}
    checked.together(regularizers, augmentation, names.get("augmentation", ""))
    return Players(
        networks=networks,
        transfer=transfer,
        augmentation=augmentation,
        regularizers=regularizers,
        loss=config.loss or networks.defaults.loss,
        names=names,
        precision=config.precision,
        orthogonal=config.orthogonal,
        steps=config.planned,
    )


def _built(choice: Choice, **facts: Any) -> Any:
    return checked.plugin(choice.kind, choice.name, choice.build(**facts))


def optimizers(players: Players, config: Config) -> dict[str, torch.optim.Optimizer]:
    """Adam for "generator" (with the transfer's own parameters) and for "discriminator" (with the regularizers').

    Groups that the transfer names have their own rates; what they hold leaves the default group. The rate of each group
    before its schedule is kept as `initial_lr`.
    """
    defaults = players.networks.defaults
    named = {id(parameter) for group in players.groups for parameter in group.parameters}
    sides: dict[str, tuple[list[Any], float | None, Adam]] = {
        "generator": ([players.generator, players.transfer], config.lr_g, defaults.generator),
        "discriminator": (
            [players.discriminator, *players.regularizers.values()],
            config.lr_d,
            defaults.discriminator,
        ),
    }
    found: dict[str, torch.optim.Optimizer] = {}
    for side, (modules, rate, adam) in sides.items():
        rest = [p for module in modules for p in module.parameters() if p.requires_grad and id(p) not in named]
        rest = list(dict.fromkeys(rest))
        groups: list[dict[str, Any]] = [{"params": rest, "lr": adam.learning_rate if rate is None else rate}]
        groups += [{"params": list(g.parameters), "lr": g.learning_rate} for g in players.groups if g.network == side]
        kind = torch.optim.AdamW if adam.weight_decay else torch.optim.Adam
        fused = players.device.type in ("cpu", "cuda")
        found[side] = kind(groups, betas=adam.betas, eps=adam.epsilon, weight_decay=adam.weight_decay, fused=fused)
        for group in found[side].param_groups:
            group["initial_lr"] = group["lr"]
    return found


def apply_schedules(
    players: Players, optimizers: Mapping[str, torch.optim.Optimizer], images_seen: int, planned_images: int
) -> None:
    """Sets the learning rates of this step: a function of the images seen, so that a resume needs no state.

    The factors are multiplied: of the network, of each plugin, and of each group that the transfer names.
    """
    common = math.prod(
        checked.factor(kind, name, plugin.schedule(images_seen, planned_images))
        for kind, name, plugin in players.plugins
        if hasattr(plugin, "schedule")
    )
    transfer = players.names.get("transfer", "")
    index = images_seen * players.steps // planned_images  # every step shows the same number of photos
    for side, optimizer in optimizers.items():
        schedule = getattr(players.networks.defaults, side).schedule
        factor = common if schedule is None else common * schedule(images_seen, planned_images)
        own = [None, *(group.schedule for group in players.groups if group.network == side)]
        for group, stages in zip(optimizer.param_groups, own, strict=True):
            stage = 1.0 if stages is None else checked.factor(checked.TRANSFER, transfer, stages(index, players.steps))
            group["lr"] = group["initial_lr"] * factor * stage


def freeze(trainable: Sequence[nn.Parameter] | None, learning: Sequence[nn.Parameter]) -> None:
    """Lets only `trainable` learn, out of all parameters that ever do; None: all of them.

    What is frozen loses its gradient, so that the optimizer passes over it, and its power iteration stops.
    """
    chosen = None if trainable is None else {id(parameter) for parameter in trainable}
    for parameter in learning:
        learns = chosen is None or id(parameter) in chosen
        if parameter.requires_grad != learns:
            parameter.requires_grad_(learns)
            parameter.grad = None
