"""What a transfer method must do (fewgan.plugin.Transfer)."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fewgan.plugin import Networks, UsageError
from fewgan.sources import load as source
from fewgan.sources.model import Model
from fewgan.sources.transfer import copy_weights
from fewgan.testing import tiny
from fewgan.testing.base import (
    CLOCK,
    QUIET,
    SCHEDULE,
    STEPS,
    config,
    finite,
    game,
    is_factor,
    networks,
    parameters,
)
from fewgan.testing.playing import PlayingTests, made_step
from fewgan.training.loop import train


class TransferTests(PlayingTests):
    """Its parts with the kit's networks, and a training from a source of them."""

    kind = "transfers"
    where = "fewgan.plugin.Transfer"
    choosing = "train --transfer {}"

    _learns_with = ("generator", "discriminator")  # a Group may be of either

    def made(self, among: Networks | None = None) -> Any:
        return super().made(among)

    def used(self, made: Any) -> tuple[Tensor, ...]:
        found: tuple[Tensor, ...] = super().used(made)
        return found

    def _called(self, made: Any) -> Any:
        if made.mapper is None:
            return ()
        return tuple(made.mapper(torch.randn(4, tiny.LATENT), torch.zeros(4, dtype=torch.int64)))

    def changes(self, folder: Path) -> dict[str, Any]:
        chosen: dict[str, Any] = {"transfer": self.choice}
        if self.object.needs_source:
            chosen["source"] = str(self.source(folder))
        return chosen

    def source(self, folder: Path) -> Path:
        """A run of the kit's networks, trained for two steps from scratch."""
        found = list((folder / "source").glob("0*"))
        return found[0] if found else train(config(folder, steps=2, out=str(folder / "source")), QUIET).folder

    def test_its_parts(self) -> None:
        made = self.made()
        self.must(isinstance(made, nn.Module), "build gives an nn.Module", type(made).__name__)
        self.must(isinstance(made.conditional, bool), "conditional is True or False", made.conditional)
        self.must(
            made.mapper is None or isinstance(made.mapper, nn.Module), "mapper is None or an nn.Module", made.mapper
        )
        rule = "mapper is what was set: no attribute of the class hides the module (set mapper in __init__)"
        self.must(made.mapper is not None or made._modules.get("mapper") is None, rule, "the class has mapper = None")
        self.must(isinstance(getattr(made, "keeps_source", False), bool), "keeps_source is True or False")

    def test_the_mapper_gives_what_the_generator_takes(self) -> None:
        among = networks()
        made = self.made(among)
        if made.mapper is None:
            return
        mapped = made.mapper(torch.randn(4, tiny.LATENT), torch.zeros(4, dtype=torch.int64))
        shapes = [tuple(part.shape) for part in mapped]
        expected = [(4, tiny.LATENT), (4, among.generator.condition_dim)]
        self.must(shapes == expected, "mapper(z, labels) gives z [N, Z] and condition [N, C]", shapes)
        self.must(finite(mapped), "mapper(z, labels) is finite")

    def test_what_learns_belongs_to_the_run(self) -> None:
        among = networks()
        made = self.made(among)
        owned = {id(p) for p in (*parameters(made), *parameters(among))}
        if hasattr(made, "trainable"):
            for index in (0, 1, STEPS - 1, 10 * STEPS):
                first, second = made.trainable(index, STEPS), made.trainable(index, STEPS)
                if first is None:
                    continue
                ids = [id(p) for p in first]
                rule = "trainable(index, steps) names parameters of the networks and of itself, or is None"
                self.must(set(ids) <= owned, rule, "others are among them")
                self.must(bool(ids), rule, f"nothing learns at step {index}")
                rule = "trainable depends on index and steps alone, so that a resumed run is the same"
                self.must(set(ids) == {id(p) for p in second}, rule)
        if hasattr(made, "groups"):
            named = [id(p) for group in made.groups() for p in group.parameters]
            self.must(set(named) <= owned, "groups() names parameters of the networks and of itself")
            self.must(len(named) == len(set(named)), "groups() names no parameter twice")
            rates = [group.learning_rate for group in made.groups()]
            self.must(all(rate >= 0 for rate in rates), "groups() has learning rates of 0 and more", rates)
            sides = {group.network for group in made.groups()}
            self.must(sides <= {"generator", "discriminator"}, "network is generator or discriminator", sides)
            times = [(index, STEPS) for index in (0, 1, STEPS // 2, STEPS - 1, 2 * STEPS)]
            staged = [group.schedule for group in made.groups() if group.schedule is not None]
            rule = "schedule(index, steps) of a group gives a factor of 0 and more, the same at the same step"
            self.must(all(is_factor(schedule, times) for schedule in staged), rule)
        self.must(not hasattr(made, "schedule") or is_factor(made.schedule, CLOCK), SCHEDULE)

    def test_the_source_is_where_it_starts(self, tmp_path: Path) -> None:
        """After start() the networks still are those that the core built, and finite."""
        if not self.object.needs_source:
            return
        among = self._started(tmp_path)[1]
        images = among.generator(torch.randn(2, tiny.LATENT), among.generator.embed(torch.zeros(2, dtype=torch.int64)))
        self.must(finite(images), "start(networks, sources) leaves a generator that makes finite pictures")

    def test_a_source_may_have_no_discriminator(self, tmp_path: Path) -> None:
        if not (self.object.needs_source and hasattr(self.made(), "start")):
            return
        alone = tmp_path / "generator.safetensors"
        shutil.copy(self.source(tmp_path) / alone.name, alone)
        model = source.load(alone)
        made, among = self._with_weights(model)
        with self._told("start(networks, sources) works where sources[0].discriminator is None, or raises UsageError"):
            try:
                made.start(among, [model])
            except UsageError:
                return

    def test_losses_are_finite_scalars_with_gradient(self, tmp_path: Path) -> None:
        for side in ("discriminator", "generator"):
            made, among = self._started(tmp_path)
            if not hasattr(made, f"{side}_loss"):
                continue
            needs_real = bool(getattr(made, "needs_real", False))
            for index in (0, 1, 10_000):
                classes = among.generator.classes
                step = made_step(game(made, among), index=index, side=side, classes=classes, needs_real=needs_real)
                self._check_loss(made, among, side, step)

    def _with_weights(self, model: Model) -> tuple[Any, Networks]:
        """The module and its networks, into which the source's weights are copied."""
        among = networks(model.generator.classes)
        made = self.made(among)
        copy_weights(model, among)
        return made, among

    def _started(self, folder: Path) -> tuple[Any, Networks]:
        """The module and its networks as at the first step of a new run, with the source's weights where it has one."""
        if not self.object.needs_source:
            among = networks()
            return self.made(among), among
        model = source.load(self.source(folder))
        made, among = self._with_weights(model)
        if hasattr(made, "start"):
            before = [id(p) for p in parameters(among)]
            with self._told("start(networks, sources) works with networks and sources as they are loaded"):
                made.start(among, [model])
            rule = "start(networks, sources) changes weights in place"
            self.must([id(p) for p in parameters(among)] == before, rule, "parameters were replaced")
        return made, among
