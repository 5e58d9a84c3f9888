"""A trained GAN as one object: pictures from it, and its files for others."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fewgan import registry, run
from fewgan.errors import UsageError
from fewgan.plugin import Networks

DISCRIMINATOR = "discriminator.safetensors"


class Model:
    """A trained GAN, ready to make pictures.

    generator: in eval mode (a run's weight average). mapper: None, or what stands before the generator (a miner).
    discriminator: None where there is none. classes: names, empty where unlabelled. config: of the run, {} elsewhere.
    """

    def __init__(
        self,
        path: Path,
        networks: Networks,
        architecture: registry.Choice,
        *,
        mapper: nn.Module | None = None,
        has_discriminator: bool = True,
        config: Mapping[str, Any] | None = None,
    ) -> None:
        self.path, self.networks, self.architecture = path, networks, architecture
        self.name = path.parent.name if path.is_file() and path.name == run.GENERATOR else path.stem
        self.generator: Any = networks.generator
        self.discriminator: Any = networks.discriminator if has_discriminator else None
        self.mapper = mapper
        self.config = dict(config or {})
        self.classes: tuple[str, ...] = tuple(self.config.get("classes", ()))
        for module in self._modules:
            module.eval().requires_grad_(False)

    @property
    def _modules(self) -> list[Any]:
        return [module for module in (self.generator, self.discriminator, self.mapper) if module is not None]

    @property
    def device(self) -> torch.device:
        return next(self.generator.parameters()).device  # type: ignore[no-any-return]

    def to(self, device: torch.device | str) -> Model:
        """Moves all networks; returns the model itself."""
        for module in self._modules:
            module.to(device)
        return self

    def conditions(self, z: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """What the generator is given: z [N, Z] and condition [N, C], after the mapper where there is one."""
        if self.mapper is not None:
            mapped: tuple[Tensor, Tensor] = self.mapper(z, labels)
            return mapped
        return z, self.generator.embed(labels)

    @torch.no_grad()
    def generate(self, z: Tensor, labels: Tensor, truncation: float | None = None) -> Tensor:
        """z [N, Z], labels int64 [N] -> images [N, 3, S, S] in [-1, 1] on the model's device.

        truncation acts here only in a generator that has one of its own; for others z comes truncated already.
        """
        z, condition = self.conditions(z.to(self.device), labels.to(self.device))
        if truncation is not None and hasattr(self.generator, "sample"):
            images: Tensor = self.generator.sample(z, condition, truncation)
        else:
            images = self.generator(z, condition)
        return images

    def sample(
        self, count: int, *, truncation: float | None = None, seed: int = 0, labels: Tensor | None = None
    ) -> Tensor:
        """Pictures uint8 [count, 3, S, S]; picture i depends on (seed, i) and its label alone.

        labels: int64 [count], or None for labels drawn with the seed. Raises UsageError for a wrong truncation.
        """
        from fewgan.sampling.sample import pictures

        return torch.cat(list(pictures(self, count, truncation=truncation, seed=seed, chosen=labels)))

    def save(self, folder: str | Path, *, half: bool = False) -> None:
        """Writes generator.safetensors, and discriminator.safetensors where there is one: a source, small to share.

        half: weights as float16, which fewgan computes with as float32; buffers (batch statistics, u) stay as they
        are. Where the photos were is not told. Raises UsageError for a model of a foreign layout.
        """
        if "network_classes" not in self.config:
            raise UsageError(f"{self.path}: has no description to save with its weights; use export instead")
        facts = {"config": {**self.config, "data": "", "data_path": "", "out": "", "source": None}}
        sides = {"generator": self.generator, "mapper": self.mapper, "discriminator": self.discriminator}
        tensors = {name: _tensors(module, half) for name, module in sides.items() if module is not None}
        joined = {
            f"{side}.{name}": t for side in tensors.keys() - {"discriminator"} for name, t in tensors[side].items()
        }
        run.write_tensors(Path(folder) / run.GENERATOR, dict(sorted(joined.items())), facts)
        if self.discriminator is not None:
            run.write_tensors(Path(folder) / DISCRIMINATOR, tensors["discriminator"], facts)

    def export(self, folder: str | Path) -> None:
        """Writes the networks in the architecture's foreign layout, as .pth state dicts.

        Raises UsageError where the architecture has none, or where a mapper would be lost.
        """
        plugin, _ = self.architecture.plugin()
        if plugin.write is None:
            raise UsageError(f"{self.architecture.name} has no layout to export to")
        if self.discriminator is None:
            raise UsageError(f"{self.path}: has no discriminator to export")
        if self.mapper is not None:
            raise UsageError(
                f"{self.path}: its mapper ({self.config['transfer']['name']}) has no place in a foreign layout"
            )
        target = Path(folder)
        for name, state in plugin.write(self.networks).items():
            with run.replacing(target / name) as temporary:
                torch.save(state, temporary)


def _tensors(module: nn.Module, half: bool) -> dict[str, Tensor]:
    weights = {name for name, _ in module.named_parameters()} if half else set()
    return {name: tensor.half() if name in weights else tensor for name, tensor in module.state_dict().items()}
