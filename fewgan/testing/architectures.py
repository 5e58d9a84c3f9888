"""What an architecture must build (fewgan.plugin.Generator and fewgan.plugin.Discriminator)."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import torch
from torch import nn

from fewgan.sources.model import Model
from fewgan.sources.transfer import copy_weights
from fewgan.testing.base import CLOCK, SCHEDULE, difference, finite, is_factor, modules, same, states
from fewgan.testing.files import FileTests
from fewgan.training.config import LOSSES


class ArchitectureTests(FileTests):
    """size: a side that it serves, the smaller the faster; options: such that its networks are small.

    classes: numbers of classes that it serves, 0 for none; narrow them where `build` raises UsageError for some.
    """

    def test_shapes_and_ranges(self) -> None:
        for classes in self.classes:
            made = self.made(classes)
            generator, discriminator = made.generator, made.discriminator
            self.must(generator.classes == classes, "generator.classes is the number asked for", generator.classes)
            self.must(generator.size == discriminator.size == self.size, "size is the side asked for")
            z, labels = self._latents(made)
            condition = generator.embed(labels)
            shape = (4, generator.condition_dim)
            self.must(tuple(condition.shape) == shape, "embed(labels [N]) gives [N, condition_dim]", condition.shape)
            images = generator(z, condition)
            self.must(tuple(images.shape) == (4, 3, self.size, self.size), "images are [N, 3, S, S]", images.shape)
            self.must(finite(images), "images are finite")
            mean = images.abs().mean().item()
            self.must(mean < 10, "images are about [-1, 1]", f"{mean:.0f} is the mean of their absolute values")
            for labels_shown in (labels, None) if classes else (None,):
                logits = discriminator(images, labels_shown)
                self.must(logits.dim() in (1, 2) and len(logits) == 4, "logits are [N] or [N, L]", logits.shape)
                self.must(finite(logits), "logits are finite")
                parts = discriminator.head(discriminator.features(images), labels_shown)
                self.must(torch.allclose(parts, logits, atol=1e-5), "D's forward is head of features")
            features = discriminator.features(images)
            self.must(features.dim() == 2, "features(images) are [N, F]", features.shape)

    @torch.no_grad()
    def test_logits_are_in_the_order_of_the_images(self) -> None:
        """The core judges photos and fakes in one batch and takes it apart again."""
        made = self.made()
        if getattr(made.discriminator, "separate", False):
            return
        images, labels = self._pictures(made)
        rolled = made.discriminator(images.roll(1, 0), None if labels is None else labels.roll(1))
        expected = made.discriminator(images, labels).roll(1, 0)
        rule = "row i of the logits is of image i alone, or separate is True"
        apart = (rolled - expected).abs().max().item()
        self.must(apart < 1e-3 * max(1.0, expected.abs().max().item()), rule, f"{apart:.1e} apart in another order")

    @torch.no_grad()
    def test_a_class_of_the_source_keeps_its_values(self) -> None:
        """Those of a run on photos of other classes start from the source's of the same name."""
        if 3 not in self.classes:  # it serves classes of some numbers alone
            return
        theirs, ours = self.made(classes=5), self.made(classes=2)
        for module in (*modules(theirs), *modules(ours)):
            module.eval()
        for parameter in (p for module in modules(theirs) for p in module.parameters()):
            # As trained: biases of 0 would hide what they are added to.
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
        named = {"classes": [*"abcde"]}
        source = Model(Path("source"), theirs, self.choice, discriminator=theirs.discriminator, config=named)
        copy_weights(source, ours, ["d", "b"])
        z, images = self._latents(theirs, 2)[0], torch.rand(2, 3, self.size, self.size) * 2 - 1
        found = []
        for made, labels in ((theirs, torch.tensor([3, 1])), (ours, torch.tensor([0, 1]))):
            torch.manual_seed(0)
            pictures = made.generator(z, made.generator.embed(labels))
            found.append((pictures, made.discriminator(images, labels)))
        rule = "with another number of classes, one of the same name gives the same {} (see SpectralEmbedding.set_rows)"
        for what, before, after in zip(("images", "logits"), *found, strict=True):
            apart = (before - after).abs().max().item()
            self.must(apart < 1e-3 * max(1.0, before.abs().max().item()), rule.format(what), f"{apart:.1e} apart")

    def test_gradients_are_finite_and_reach_every_parameter(self) -> None:
        for classes in {min(self.classes), max(self.classes)}:
            made = self.made(classes)
            images, labels = self._pictures(made)
            for name, network in (("G", made.generator), ("D", made.discriminator)):
                module: Any = network
                loss = made.discriminator(images, labels).square().mean()
                learning = {key: p for key, p in module.named_parameters() if p.requires_grad}
                gradients = torch.autograd.grad(loss, list(learning.values()), retain_graph=True, allow_unused=True)
                for key, gradient in zip(learning, gradients, strict=True):
                    self.must(gradient is not None, f"every parameter of {name} takes part in the loss", key)
                    self.must(finite(gradient), f"gradients of {name} are finite", key)

    def test_double_backward_of_the_discriminator(self) -> None:
        made = self.made(min(self.classes))
        images = (torch.rand(4, 3, self.size, self.size) * 2 - 1).requires_grad_()
        rule = "double backward through D works, which gradient penalties need (write attention out)"
        try:
            (slope,) = torch.autograd.grad(made.discriminator(images, None).sum(), images, create_graph=True)
            torch.autograd.backward(slope.square().sum())
        except RuntimeError as error:
            self.must(False, rule, str(error).splitlines()[0])
        module: Any = made.discriminator
        there = [p.grad for p in module.parameters() if p.grad is not None]
        self.must(bool(there) and all(map(finite, there)), rule, "no finite gradient of the penalty")

    def test_blocks_hold_every_parameter_once(self) -> None:
        made = self.made()
        for name, network in (("generator", made.generator), ("discriminator", made.discriminator)):
            module: Any = network
            counted = Counter(id(p) for block in network.blocks() for p in block.parameters())
            lost = [key for key, p in module.named_parameters() if counted[id(p)] != 1]
            rule = f"{name}.blocks() hold every parameter in exactly one block"
            self.must(not lost, rule, f"not so: {', '.join(lost[:4])}")
            self.must(all(isinstance(block, nn.Module) for block in network.blocks()), f"{name}.blocks() are modules")

    def test_forward_changes_no_state(self) -> None:
        made = self.made()
        images, labels = self._pictures(made)
        before, given = states(made), images.clone()
        with torch.no_grad():
            first, second = made.discriminator(images, labels), made.discriminator(images, labels)
        self.must(bool(torch.equal(images, given)), "D's forward leaves its images as they are")
        rule = "D's forward gives the same twice; power iteration belongs into advance()"
        self.must(bool(torch.equal(first, second)), rule)
        learned = {f"{i}.{name}" for i, module in enumerate(modules(made)) for name, _ in module.named_parameters()}
        after = states(made)
        one, other = ({key: t[key] for key in learned} for t in (before, after))
        self.must(same(one, other), "forward changes no parameter", difference(one, other))
        for module in modules(made):
            module.eval()
        before = states(made)
        self._pictures(made)
        made.discriminator(images, labels)
        after = states(made)
        self.must(same(before, after), "in eval mode forward changes nothing", difference(before, after))

    def test_advance_keeps_parameters(self) -> None:
        made = self.made()
        for network in (made.generator, made.discriminator):
            module: Any = network
            if hasattr(module, "advance"):
                before = {key: p.detach().clone() for key, p in module.named_parameters()}
                module.advance()
                after = dict(module.named_parameters())
                self.must(same(before, after), "advance() changes buffers alone", difference(before, after))

    def test_double_precision_and_bfloat16(self) -> None:
        made = self.made()
        with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
            images, labels = self._pictures(made)
            logits = made.discriminator(images, labels)
        self.must(finite((images.float(), logits.float())), "forward is finite under autocast to bfloat16")
        for module in modules(made):
            module.double()
        z, labels_shown = self._latents(made)
        wide = made.generator(z.double(), made.generator.embed(labels_shown))
        self.must(wide.dtype == torch.float64, "networks moved to float64 compute in it", wide.dtype)
        self.must(finite(made.discriminator(wide, labels_shown)), "D in float64 is finite")

    def test_defaults_make_sense(self) -> None:
        defaults = self.made().defaults
        self.must(defaults.loss in LOSSES, f"defaults.loss is one of {', '.join(LOSSES)}", defaults.loss)
        for adam in (defaults.generator, defaults.discriminator):
            rates = (adam.learning_rate, adam.epsilon)
            self.must(all(0 < rate < 1 for rate in rates), "learning rates and epsilon lie between 0 and 1", rates)
            self.must(all(0 <= beta < 1 for beta in adam.betas), "betas lie in [0, 1)", adam.betas)
            self.must(adam.schedule is None or is_factor(adam.schedule, CLOCK), SCHEDULE)
        self.must(defaults.generator_batch > 0, "generator_batch is above 0", defaults.generator_batch)
        self.must(defaults.ema_buffers in ("average", "copy"), "ema_buffers is average or copy", defaults.ema_buffers)
        self.must(defaults.discriminator_steps >= 1 and defaults.ema_images >= 0, "counts are not negative")
