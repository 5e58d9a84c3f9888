"""A trained GAN as one object: pictures from it, and its files for others."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fewgan import registry, run, storage
from fewgan.errors import UsageError
from fewgan.faults import fault
from fewgan.files import replacing
from fewgan.networks import Networks
from fewgan.sampling import generate, imagefile
from fewgan.sources.files import ENDINGS, is_weights

# Of a config, what may name places on this machine, and what stands for it in files to share.
PRIVATE: Mapping[str, Any] = {
    **dict.fromkeys(("data", "data_path", "out"), ""),
    **dict.fromkeys(("data_relative", "asked", "source", "features", "score_every", "patience")),
    "trackers": [],  # options of these and of features may be paths
}


class Model:
    """A trained GAN, ready to make pictures.

    generator: in eval mode (a run's weight average). mapper: None, or the module before the generator (a miner).
    discriminator: None where there is none; built and read when first asked for. classes: names, empty where
    unlabelled. class_counts: photos of each class that it was trained on, empty where unknown. config: of the run, {}
    elsewhere. name: of the run, file or folder, for the names of what is made of it.
    """

    def __init__(
        self,
        path: Path,
        networks: Networks,
        architecture: registry.Choice,
        *,
        mapper: nn.Module | None = None,
        discriminator: Callable[[], nn.Module] | nn.Module | None = None,
        config: Mapping[str, Any] | None = None,
    ) -> None:
        self.path, self._networks, self.architecture = path, networks, architecture
        self.name = name_of(path)
        self.generator: Any = networks.generator
        self._discriminator = discriminator
        self.mapper = mapper
        self.config = dict(config or {})
        self.classes: tuple[str, ...] = tuple(self.config.get("classes", ()))
        self.class_counts: tuple[int, ...] = tuple(self.config.get("class_counts") or ())
        for module in self._modules:
            module.eval().requires_grad_(False)

    @property
    def has_discriminator(self) -> bool:
        return self._discriminator is not None

    @property
    def discriminator(self) -> Any:
        """The discriminator in eval mode, or None. Raises UsageError where it needs a package that is not here."""
        if self._discriminator is not None and not isinstance(self._discriminator, nn.Module):
            built = self._discriminator()
            self._discriminator = built.eval().requires_grad_(False).to(self.device)
        return self._discriminator

    @property
    def networks(self) -> Networks:
        return replace(self._networks, discriminator=self.discriminator)

    @property
    def _modules(self) -> list[Any]:
        modules = (self.generator, self._discriminator, self.mapper)
        return [module for module in modules if isinstance(module, nn.Module)]

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
        """z [N, Z], labels int64 [N] -> images [N, 3, S, S] on the model's device, not clamped to [-1, 1].

        truncation acts here only in a generator that has one of its own; for others z comes truncated already.
        """
        return self.images(*self.conditions(z.to(self.device), labels.to(self.device)), truncation)

    @torch.no_grad()
    def images(self, z: Tensor, condition: Tensor, truncation: float | None = None) -> Tensor:
        """What the generator makes of what `conditions` gives, as `generate` returns it."""
        made: Tensor
        if truncation is not None and hasattr(self.generator, "sample"):
            made = self.generator.sample(z, condition, truncation)
        else:
            made = self.generator(z, condition)
        side = self.generator.size
        if tuple(made.shape[1:]) != (3, side, side):
            what = f"images of shape {list(made.shape[1:])} and not {[3, side, side]}"
            raise fault("architectures", self.architecture.name, f"its generator made {what}")
        return made

    def sample(
        self, count: int, *, truncation: float | None = None, seed: int = 0, labels: Tensor | None = None
    ) -> Tensor:
        """Pictures uint8 [count, 3, S, S]; picture i depends on (seed, i) and its label alone.

        labels: int64 [count], or None for labels drawn with the seed. Raises UsageError for a wrong truncation, seed,
        count or label.
        """
        made = generate.pictures(self, count, truncation=truncation, seed=seed, chosen=labels)
        return torch.cat(list(made))

    def shaped(self, pictures: Tensor) -> Tensor:
        """uint8 [N, 3, S, S] -> uint8 [N, 3, H, W], in the shape that the photos had before `prepare` made squares."""
        return imagefile.shaped(pictures, self.config)

    def save_sheet(self, path: str | Path, pictures: Tensor) -> None:
        """Writes pictures, uint8 [N, 3, S, S], as one PNG, `shaped`, row by row on white; `prepare` passes it over.

        Raises UsageError for more than a viewer takes, FewganError where the file cannot be written.
        """
        facts = {"model": self.name, "step": self.config.get("step"), "count": len(pictures)}
        imagefile.save_sheet(Path(path), imagefile.grid(self.shaped(pictures)), **facts)

    def save(self, folder: str | Path, *, half: bool = False) -> None:
        """Writes generator.safetensors, and discriminator.safetensors where there is one: a source, small to share.

        half: weights as float16, which fewgan computes with as float32; buffers (batch statistics, u) stay as they
        are. Paths of this machine are left out. A discriminator of another model that lies there is removed. Raises
        UsageError for a model of a foreign layout, and for the folder of a run, whose generator would be replaced.
        """
        if run.is_run(Path(folder)):
            raise UsageError(f"{folder}: is a run, whose generator would be replaced; give another folder")
        if "network_classes" not in self.config:
            raise UsageError(f"{self.path}: has no description to save with its weights; use export instead")
        facts = {"config": {**self.config, **PRIVATE}}
        sides = {"generator": self.generator, "mapper": self.mapper, "discriminator": self.discriminator}
        tensors = {name: _tensors(module, half) for name, module in sides.items() if module is not None}
        joined = {
            f"{side}.{name}": t for side in tensors.keys() - {"discriminator"} for name, t in tensors[side].items()
        }
        storage.write_tensors(Path(folder) / run.GENERATOR, dict(sorted(joined.items())), facts)
        if self.discriminator is not None:
            storage.write_tensors(Path(folder) / run.DISCRIMINATOR, tensors["discriminator"], facts)
        else:  # that of another generator, which was here before
            (Path(folder) / run.DISCRIMINATOR).unlink(missing_ok=True)

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
        written = plugin.write(self.networks)
        for name in written:
            if Path(name).name != name:
                raise fault(
                    "architectures", self.architecture.name, f"its write names a file {name!r}, which is a path"
                )
        for name, state in written.items():
            with replacing(target / name) as temporary:
                torch.save(state, temporary)


def _tensors(module: nn.Module, half: bool) -> dict[str, Tensor]:
    weights = {name for name, _ in module.named_parameters()} if half else set()
    return {name: tensor.half() if name in weights else tensor for name, tensor in module.state_dict().items()}


def name_of(path: Path) -> str:
    """The name of a run folder, of the folder of a generator.safetensors, or of a file, without its ending.

    A generator kept by --keep-generators is named by its run and its step, the best one by its run, and so is the last
    one where there is a best one, which is what the name of the run stands for.
    """
    path = Path(os.path.abspath(path))
    if path.name == run.GENERATOR:
        return f"{path.parent.name}-last" if run.beside_best(path) else path.parent.name
    if path.name == run.BEST:
        return f"{path.parent.name}-{path.stem}"
    if path.is_dir() or not is_weights(path.name):
        return path.name
    stem = next(path.name[: -len(ending)] for ending in ENDINGS if path.name.lower().endswith(ending))
    kept = path.parent.name == "generators" and stem.isdigit()
    return f"{path.parents[1].name}-{stem}" if kept else stem or path.name
