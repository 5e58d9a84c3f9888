"""What the tests of architectures share, and the hooks of a generator that may be left out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import torch
from torch import Tensor

from fewgan.plugin import Networks
from fewgan.testing.base import ModuleTests, difference, finite, same


class GeneratorTests(ModuleTests):
    """What sampling asks of a generator beyond its forward."""

    kind = "architectures"
    where = "fewgan.plugin.Generator and fewgan.plugin.Discriminator"
    choosing = "train --arch {}"
    size: ClassVar[int] = 32
    classes: ClassVar[tuple[int, ...]] = (0, 1, 3)

    def made(self, classes: int = 3) -> Networks:
        plugin, options = self.choice.plugin()
        if classes == 3 and classes not in self.classes:  # the default stands for the most that it serves
            classes = max(self.classes)
        rule = f"build serves {self.size} px and {classes} classes; set `size` and `classes` to such as it serves"
        with self._told(rule):
            built: Networks = plugin.build(options, size=self.size, classes=classes)
            return built.with_discriminator()

    def used(self, made: Networks) -> tuple[Tensor, ...]:
        found: tuple[Tensor, ...] = super().used(made)
        return found

    @torch.no_grad()
    def _called(self, made: Networks) -> Any:
        images, labels = self._pictures(made)
        logits: Any = made.discriminator(images, labels)
        return images, logits

    def _latents(self, made: Networks, count: int = 4) -> tuple[Tensor, Tensor]:
        generator: Any = made.generator
        labels = torch.arange(count) % max(generator.classes, 1)
        return torch.randn(count, generator.latent_dim), labels

    def _pictures(self, made: Networks, count: int = 4) -> tuple[Tensor, Tensor | None]:
        z, labels = self._latents(made, count)
        images = made.generator(z, made.generator.embed(labels))
        return images, labels if made.generator.classes else None

    def _are_images(self, made: Networks, hook: str, images: Any) -> None:
        rule = f"{hook} gives finite images [N, 3, S, S]"
        self.must(isinstance(images, Tensor), rule, type(images).__name__)
        self.must(tuple(images.shape) == (4, 3, self.size, self.size) and finite(images), rule, tuple(images.shape))

    def _sampling(self, hook: str) -> tuple[Networks, Any]:
        """Networks as sampling has them, and the generator where it has the hook."""
        made = self.made()
        generator: Any = made.generator
        return made, generator.eval() if hasattr(generator, hook) else None

    @torch.no_grad()
    def test_sample_is_truncated(self) -> None:
        made, generator = self._sampling("sample")
        if generator is None:
            return
        z, labels = self._latents(made)
        for truncation in (0.5, 1.0):
            rule = "sample(z, condition, truncation) works where --truncation is given"
            with self._told(rule):
                images = generator.sample(z, generator.embed(labels), truncation)
            self._are_images(made, "sample(z, condition, truncation)", images)

    @torch.no_grad()
    def test_images_are_made_of_w(self) -> None:
        made, generator = self._sampling("from_w")
        if generator is None:
            return
        shape: Any = getattr(generator, "w_shape", None)
        pair = isinstance(shape, tuple | list) and len(shape) == 2 and all(type(part) is int for part in shape)
        self.must(pair, "a generator with from_w has w_shape, (layers, W)", shape)
        layers, width = shape
        w = torch.randn(4, width)
        if hasattr(generator, "mapping"):
            z, labels = self._latents(made)
            rule = "mapping(z, condition) gives w [N, W], W as in w_shape"
            with self._told(rule):
                w = generator.mapping(z, generator.embed(labels))
            self.must(tuple(w.shape) == (4, width) and finite(w), rule, tuple(w.shape))
        for given in (w, w[:, None].repeat(1, layers, 1)):
            with self._told("from_w takes w [N, W] and [N, layers, W]"):
                images = generator.from_w(given)
            self._are_images(made, "from_w(w)", images)

    @torch.no_grad()
    def test_standing_statistics_are_of_batches(self) -> None:
        made, generator = self._sampling("standing_statistics")
        if generator is None:
            return
        before = {name: parameter.clone() for name, parameter in generator.named_parameters()}
        with self._told("standing_statistics(batches) takes an iterable of (z, condition), which can be read once"):
            generator.standing_statistics(self._conditions(made))
        after = dict(generator.named_parameters())
        self.must(same(before, after), "standing_statistics changes statistics alone", difference(before, after))
        self._are_images(made, "after standing_statistics, forward", self._pictures(made)[0])

    def _conditions(self, made: Networks) -> Iterator[tuple[Tensor, Tensor]]:
        for _ in range(2):
            z, labels = self._latents(made)
            yield z, made.generator.embed(labels)

    def test_latents_are_of_the_random_generator(self) -> None:
        made, generator = self._sampling("latents")
        if generator is None:
            return
        rule = "latents(count, random) gives z [count, Z], drawn with random, or with torch's where it is None"
        with self._told(rule):
            one, again = (generator.latents(4, torch.Generator().manual_seed(6)) for _ in range(2))
            free = generator.latents(3, None)
        shapes = [tuple(z.shape) for z in (one, free)]
        self.must(shapes == [(count, made.generator.latent_dim) for count in (4, 3)], rule, shapes)
        self.must(bool(torch.equal(one, again)), rule, "one seed, two results")
