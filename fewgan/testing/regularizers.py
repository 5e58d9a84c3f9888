"""What a regularizer must do (fewgan.plugin.Regularizer and fewgan.plugin.Step)."""

from __future__ import annotations

import dataclasses
import difflib
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fewgan import registry
from fewgan.plugin import Networks, Step
from fewgan.testing import tiny
from fewgan.testing.base import (
    CLOCK,
    SCHEDULE,
    difference,
    finite,
    game,
    is_factor,
    networks,
    parameters,
    same,
    states,
)
from fewgan.testing.playing import PlayingTests, made_step

HOOKS = (
    "discriminator", "discriminator_loss", "generator_loss", "images", "logits", "observe", "schedule", "start",
)  # fmt: skip


class RegularizerTests(PlayingTests):
    """Its losses and hooks with the kit's networks, and a training."""

    kind = "regularizers"
    where = "fewgan.plugin.Regularizer"
    choosing = "train --{}"

    _learns_with = ("discriminator",)

    def made(self, among: Networks | None = None) -> Any:
        return super().made(among)

    def used(self, made: Any) -> tuple[Tensor, ...]:
        found: tuple[Tensor, ...] = super().used(made)
        return found

    def _called(self, made: Any) -> Any:
        return (*self.played(made, self._networks_of(made)), *self._replaced(made))

    def played(self, made: Any, among: Networks) -> tuple[Tensor, ...]:
        """Its losses in three steps of both sides."""
        found = []
        for index in range(3):
            step = self._watched(made, self._with_logits(made, self.step(among, index=index, side="discriminator")))
            found += [self._asked(made, "discriminator_loss", step)] if hasattr(made, "discriminator_loss") else []
            if hasattr(made, "generator_loss"):
                found.append(self._asked(made, "generator_loss", self.step(among, index=index, side="generator")))
        return tuple(found)

    @property
    def _needs_real(self) -> bool:
        return bool(getattr(self.made(), "needs_real", False))

    def changes(self, folder: Path) -> dict[str, Any]:
        return {"regularizers": (self.choice,)}

    def step(self, among: Networks, *, index: int = 0, side: str = "discriminator", classes: int = 0) -> Step:
        """A step as the core makes one, with an augmentation that turns pictures round."""
        none = registry.choose("transfers", registry.default("transfers") or "").plugin()
        players = game(none[0].build(none[1], networks=among), among)
        needs_real = side == "generator" and self._needs_real
        return made_step(players, index=index, side=side, classes=classes, needs_real=needs_real)

    def _with_logits(self, made: Any, step: Step) -> Step:
        """The step with the logits of a plugin that replaces the adversarial loss."""
        if getattr(made, "adversarial", True) or not hasattr(made, "logits"):
            return step
        logits = self._asked(made, "logits", step)
        rule = "logits(step) gives those of real and of fake, each [N] or [N, L] and finite"
        pair = isinstance(logits, tuple | list) and len(logits) == 2
        self.must(pair and all(isinstance(part, Tensor) for part in logits), rule, type(logits).__name__)
        real, fake = logits
        fits = all(part.dim() in (1, 2) and len(part) == len(step.z) for part in (real, fake))
        self.must(fits and finite((real, fake)), rule, (tuple(real.shape), tuple(fake.shape)))
        return dataclasses.replace(step, logits_real=real, logits_fake=fake)

    def _watched(self, made: Any, step: Step) -> Step:
        """The step, after `observe` has seen it."""
        if hasattr(made, "observe"):
            logits: dict[str, Any] = {name: _detached(getattr(step, name)) for name in ("logits_real", "logits_fake")}
            given = self._asked(made, "observe", dataclasses.replace(step, **logits))
            self.must(given is None, "observe(step) returns nothing", given)
        return step

    def _replaced(self, made: Any, classes: int = 0) -> tuple[Tensor, ...]:
        """What D sees after `images`; nothing where it is not there."""
        if not hasattr(made, "images"):
            return ()
        labels = torch.arange(4) % max(classes, 1)
        given = (*(torch.rand(4, 3, tiny.SIZE, tiny.SIZE) for _ in range(2)), labels, labels.flip(0))
        before = [part.clone() for part in given]
        rule = "images(real, fake, labels, fake_labels) gives the four back in their shapes and types"
        with self._told(rule):
            found = tuple(made.images(*given))
        kinds, expected = ([(tuple(part.shape), part.dtype) for part in parts] for parts in (found, given))
        self.must(kinds == expected, rule, kinds)
        self.must(finite(found), "images(…) gives finite images")
        rule = "images(…) leaves its arguments as they are; the photos are used again"
        self.must(all(map(torch.equal, given, before)), rule)
        return found

    def test_losses_are_finite_scalars_with_gradient(self) -> None:
        for side in ("discriminator", "generator"):
            for classes in (0, 3):
                among = networks(classes)
                made = self.made(among)
                if not hasattr(made, f"{side}_loss"):
                    continue
                for index in (0, 1, 10_000):
                    step = self.step(among, index=index, side=side, classes=classes)
                    if side == "discriminator":
                        step = self._watched(made, self._with_logits(made, step))
                    self._check_loss(made, among, side, step)

    def test_hooks_leave_the_networks_as_they_are(self) -> None:
        among = networks()
        made = self.made(among)
        generator: Any = among.generator
        judge, weights = states(among.discriminator), _weights(generator)
        modes = _modes(among)
        self.played(made, among)
        self.must(modes == _modes(among), "hooks leave train() and requires_grad of the networks, and torch's modes")
        after = states(among.discriminator)
        self.must(same(judge, after), "hooks change no weight and no statistic of D", difference(judge, after))
        now = _weights(generator)  # its statistics change in every forward
        self.must(same(weights, now), "hooks change no weight of G", difference(weights, now))
        rule = "hooks leave .grad alone; the core calls backward"
        self.must(all(parameter.grad is None for parameter in parameters(among)), rule)

    def test_the_discriminator_in_the_place_of_d(self) -> None:
        for classes in (0, 3):
            among = networks(classes)
            made = self.made(among)
            if getattr(made, "adversarial", True) or not hasattr(made, "discriminator"):
                return
            images = (torch.rand(4, 3, tiny.SIZE, tiny.SIZE) * 2 - 1).requires_grad_()
            logits = made.discriminator(images, torch.arange(4) % classes if classes else None)
            rule = "discriminator(images, labels) gives finite logits [N] or [N, L]"
            self.must(logits.dim() in (1, 2) and len(logits) == 4 and finite(logits), rule, tuple(logits.shape))
            learning = [p for p in (*parameters(made), *among.discriminator.parameters()) if p.requires_grad]
            found = torch.autograd.grad(logits.sum(), [images, *learning], allow_unused=True)
            rule = "discriminator(images, labels) has a gradient to the images and to what learns in D's step"
            self.must(found[0] is not None and any(gradient is not None for gradient in found[1:]), rule)

    def test_attributes_and_images(self) -> None:
        among = networks()
        made = self.made(among)
        self.played(made, among)
        missing = [name for name in HOOKS if not hasattr(made, name)]
        own = [name for name in vars(type(made)) if not name.startswith("_")]
        losses = [name for name in missing if name.endswith("_loss")]
        near = {name: difflib.get_close_matches(name, losses, 1, 0.85) for name in own}
        misspelt = [f"{name} ({hooks[0]}?)" for name, hooks in near.items() if hooks]
        self.must(not misspelt, "losses have the names that are documented", ", ".join(misspelt))
        taken = [name for name in HOOKS[:-1] if not callable(getattr(made, name, print))]  # `start` may be a setting
        self.must(not taken, "names of hooks are those of methods", f"{', '.join(taken)} cannot be called")
        every = getattr(made, "every", 1)
        self.must(type(every) is int and every >= 1, "every is a whole number from 1 on", every)
        adversarial = getattr(made, "adversarial", True)
        self.must(isinstance(adversarial, bool), "adversarial is True or False", adversarial)
        lacking = [name for name in ("discriminator_loss", "generator_loss") if not hasattr(made, name)]
        rule = "adversarial = False takes the core's losses out, so that the plugin brings both losses"
        self.must(adversarial or not lacking, rule, f"it has no {' and no '.join(lacking)}")
        self.must(not hasattr(made, "schedule") or is_factor(made.schedule, CLOCK), SCHEDULE)
        for classes in (0, 3):
            self._replaced(self.made(networks(classes)), classes)
        self.must(len(missing) < len(HOOKS), "it has a hook that the core calls, such as discriminator_loss")


def _detached(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.detach()


def _modes(among: Networks) -> tuple[object, ...]:
    """What a hook may leave changed by mistake."""
    sides: tuple[Any, ...] = (among.generator, among.discriminator)
    training = [module.training for side in sides for module in side.modules()]
    learning = [parameter.requires_grad for parameter in parameters(among)]
    return training, learning, torch.is_grad_enabled(), torch.get_default_dtype()


def _weights(module: nn.Module) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in module.named_parameters()}
