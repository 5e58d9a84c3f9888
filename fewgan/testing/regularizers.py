"""What a regularizer must do (fewgan.plugin.Regularizer and fewgan.plugin.Step)."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fewgan import registry
from fewgan.plugin import Networks, Step
from fewgan.testing import tiny
from fewgan.testing.base import (
    CLOCK,
    SCHEDULE,
    TrainedTests,
    difference,
    finite,
    game,
    is_factor,
    networks,
    parameters,
    same,
    states,
)

HOOKS = (
    "discriminator", "discriminator_loss", "generator_loss", "images", "logits", "observe", "schedule",
)  # fmt: skip


class RegularizerTests(TrainedTests):
    """Its losses and hooks with the kit's networks, and a training."""

    kind = "regularizers"
    where = "fewgan.plugin.Regularizer"
    choosing = "train --{}"

    def made(self, among: Networks | None = None) -> Any:
        return self.choice.plugin()[0].build(self.choice.plugin()[1], networks=among or networks())

    def used(self, made: Any) -> tuple[Tensor, ...]:
        torch.manual_seed(5)
        return self.played(made, networks())

    def played(self, made: Any, among: Networks) -> tuple[Tensor, ...]:
        """Its losses in three steps of both sides."""
        found = []
        for index in range(3):
            step = self.step(among, index=index, side="discriminator")
            step = self._with_logits(made, step)
            if hasattr(made, "observe"):
                made.observe(step)
            found += [made.discriminator_loss(step)] if hasattr(made, "discriminator_loss") else []
            if hasattr(made, "generator_loss"):
                found.append(made.generator_loss(self.step(among, index=index, side="generator")))
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
        real = torch.rand(4, 3, tiny.SIZE, tiny.SIZE) * 2 - 1
        z, labels = torch.randn(4, tiny.LATENT), torch.arange(4) % max(classes, 1)
        fake = players.generate(z, labels)
        if side == "discriminator":
            fake = fake.detach()
        labels_shown = labels if classes else None
        common: dict[str, Any] = {"index": index, "images_seen": 4 * index, "planned_images": 40_000, "z": z}
        common |= {"fake": fake, "fake_labels": labels_shown}
        common |= {"fake_augmented": fake.flip(3), "logits_fake": players.discriminate(fake.flip(3), labels_shown)}
        doors: dict[str, Any] = {"generator": among.generator, "discriminator": among.discriminator}
        doors |= {"generate": players.generate, "augment": lambda images: images.flip(3)}
        absent: dict[str, Any] = dict.fromkeys(("real", "real_augmented", "labels", "logits_real"))
        if side == "generator":
            if self._needs_real:
                absent |= {"real": real, "real_augmented": real.flip(3), "labels": labels_shown}
            return Step(**common, **absent, **doors)
        shown: dict[str, Any] = {
            "real": real,
            "real_augmented": real.flip(3),
            "labels": labels_shown,
            "logits_real": players.discriminate(real.flip(3), labels_shown),
        }
        return Step(**common, **shown, **doors)

    def _with_logits(self, made: Any, step: Step) -> Step:
        """The step with the logits of a plugin that replaces the adversarial loss."""
        if getattr(made, "adversarial", True) or not hasattr(made, "logits"):
            return step
        real, fake = made.logits(step)
        self.must(finite((real, fake)), "logits(step) gives finite logits of real and fake")
        return dataclasses.replace(step, logits_real=real, logits_fake=fake)

    def test_losses_are_finite_scalars_with_gradient(self) -> None:
        for side in ("discriminator", "generator"):
            for classes in (0, 3):
                among = networks(classes)
                made = self.made(among)
                if not hasattr(made, f"{side}_loss"):
                    continue
                for index in (0, 1, 10_000):
                    self._check_loss(made, among, side, self.step(among, index=index, side=side, classes=classes))

    def _check_loss(self, made: Any, among: Networks, side: str, step: Step) -> None:
        if side == "discriminator":
            step = self._with_logits(made, step)
        if side == "discriminator" and hasattr(made, "observe"):
            made.observe(
                dataclasses.replace(
                    step, logits_real=_detached(step.logits_real), logits_fake=_detached(step.logits_fake)
                )
            )
        loss = getattr(made, f"{side}_loss")(step)
        self.must(isinstance(loss, Tensor) and loss.dim() == 0, f"{side}_loss(step) is a scalar Tensor", loss)
        self.must(finite(loss), f"{side}_loss(step) is finite", loss)
        if not loss.requires_grad:
            self.must(loss.item() == 0, f"{side}_loss(step) has a gradient where it is not 0", loss)
            return
        learning = [*getattr(among, side).parameters(), *(made.parameters() if side == "discriminator" else ())]
        learning = [parameter for parameter in learning if parameter.requires_grad]
        gradients = torch.autograd.grad(loss, learning, allow_unused=True)
        there = tuple(gradient for gradient in gradients if gradient is not None)
        self.must(bool(there), f"{side}_loss(step) has a gradient for what learns in the {side}'s step")
        self.must(finite(there), f"the gradient of {side}_loss(step) is finite")

    def test_hooks_leave_the_networks_as_they_are(self) -> None:
        among = networks()
        before, made = states(among.discriminator), self.made(among)
        self.played(made, among)
        after = states(among.discriminator)
        self.must(same(before, after), "hooks change no weight and no statistic of D", difference(before, after))
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
        taken = [name for name in HOOKS if not callable(getattr(made, name, print))]
        self.must(not taken, "names of hooks are those of methods", f"{', '.join(taken)} cannot be called")
        every = getattr(made, "every", 1)
        self.must(type(every) is int and every >= 1, "every is a whole number from 1 on", every)
        adversarial = getattr(made, "adversarial", True)
        self.must(isinstance(adversarial, bool), "adversarial is True or False", adversarial)
        self.must(not hasattr(made, "schedule") or is_factor(made.schedule, CLOCK), SCHEDULE)
        if hasattr(made, "images"):
            real, fake = torch.rand(4, 3, tiny.SIZE, tiny.SIZE), torch.rand(4, 3, tiny.SIZE, tiny.SIZE)
            labels = torch.zeros(4, dtype=torch.int64)
            given = (real, fake, labels, labels)
            shapes = [tuple(part.shape) for part in made.images(*given)]
            rule = "images(real, fake, labels, fake_labels) gives the four back in their shapes"
            self.must(shapes == [tuple(part.shape) for part in given], rule, shapes)


def _detached(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.detach()
