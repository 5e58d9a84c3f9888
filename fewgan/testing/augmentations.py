"""What an augmentation must do (fewgan.plugin.Augmentation)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fewgan.testing import tiny
from fewgan.testing.base import TrainedTests, finite


class AugmentationTests(TrainedTests):
    """Shapes, gradient to G, reals treated as fakes, determinism, and a training."""

    kind = "augmentations"
    where = "fewgan.plugin.Augmentation"
    choosing = "train --aug {}"

    def made(self) -> Any:
        return self.choice.plugin()[0].build(self.choice.plugin()[1], size=tiny.SIZE)

    def used(self, made: Any) -> Tensor:
        augmented: Tensor = super().used(made)
        return augmented

    def _called(self, made: Any) -> Any:
        return made(_images())

    def changes(self, folder: Path) -> dict[str, Any]:
        return {"augmentation": self.choice}

    def test_shape_and_type_stay(self) -> None:
        made = self.made()
        for count, size in ((1, tiny.SIZE), (5, tiny.SIZE), (2, 2 * tiny.SIZE)):
            images = _images(count, size)
            before = images.clone()
            augmented = made(images)
            self.must(augmented.shape == images.shape, "forward(images) keeps the shape", tuple(augmented.shape))
            self.must(augmented.dtype == images.dtype, "forward(images) keeps the type", augmented.dtype)
            self.must(finite(augmented), "forward(images) is finite")
            mean = augmented.abs().mean().item()
            self.must(mean < 10, "images are about [-1, 1]", f"{mean:.0f} is the mean of their absolute values")
            self.must(bool(torch.equal(images, before)), "forward(images) leaves its argument as it is")

    def test_gradient_reaches_the_pictures(self) -> None:
        made, images = self.made(), _images(8).requires_grad_()
        seen = torch.zeros(len(images))
        for _ in range(10):
            augmented = made(images)
            rule = "it is differentiable: in G's step the gradient goes through it"
            self.must(augmented.requires_grad, rule, "the result has no gradient")
            weights = torch.linspace(-1, 1, augmented.numel()).view_as(augmented)
            (gradient,) = torch.autograd.grad((augmented * weights).sum(), images)
            self.must(finite(gradient), "its gradient is finite")
            seen += gradient.abs().amax((1, 2, 3))
        self.must(bool((seen > 0).all()), rule, "no gradient for some pictures in ten calls")

    def test_each_picture_is_changed_by_itself(self) -> None:
        """Photos and fakes are in one batch: mixed with each other they are neither."""
        made, images = self.made(), _images(8).requires_grad_()
        for _ in range(5):
            (gradient,) = torch.autograd.grad(made(images)[:4].sum(), images)
            rule = "pictures of a batch are not mixed: half of them are photos, and half are fakes"
            self.must(not gradient[4:].any(), rule, "the first half depends on the second")

    def test_what_learns_is_elsewhere(self) -> None:
        learning = [name for name, parameter in self.made().named_parameters() if parameter.requires_grad]
        rule = "it has no parameters that learn: no optimizer takes them; numbers that it keeps are buffers"
        self.must(not learning, rule, ", ".join(learning[:4]))

    def test_reals_and_fakes_are_treated_alike(self) -> None:
        """The core gives both in one batch: where in it a picture stands must make no difference."""
        made, images = self.made(), _images(1).repeat(64, 1, 1, 1)
        changes = torch.stack([(made(images) - images).abs().mean((1, 2, 3)) for _ in range(12)]).mean(0)
        first, second = changes[:32].mean().item(), changes[32:].mean().item()
        rule = "reals and fakes, which are the two halves of a batch, are changed alike"
        self.must(
            abs(first - second) <= 0.35 * max(first, second) + 1e-6, rule, f"{first:.3f} and {second:.3f} on average"
        )

    def test_a_seed_decides(self) -> None:
        made = self.made()
        rule = "all randomness comes from torch's generator, which the core seeds, and forward changes no state"
        self.must(bool(torch.equal(self.used(made), self.used(made))), rule, "one seed, two results")

    def test_double_precision_and_bfloat16(self) -> None:
        for dtype in (torch.float64, torch.bfloat16):
            augmented = self.made().to(dtype)(_images().to(dtype))
            self.must(augmented.dtype == dtype and finite(augmented), f"it works in {dtype}", augmented.dtype)

    def test_observe_takes_logits_of_any_number(self) -> None:
        made = self.made()
        if not hasattr(made, "observe"):
            return
        for count in (1, 4, 7) * 3:
            logits = torch.randn(count)
            before = logits.clone()
            self.must(made.observe(logits, 16) is None, "observe(logits_real, images_seen) returns nothing")
            rule = "observe(logits_real, images_seen) leaves the logits as they are, which other plugins see, too"
            self.must(bool(torch.equal(logits, before)), rule)
        self.must(finite(tuple(made.state_dict().values())), "its state stays finite after observe")
        self.must(finite(made(_images())), "forward(images) is finite after observe")


def _images(count: int = 6, size: int = tiny.SIZE) -> Tensor:
    generator = torch.Generator().manual_seed(2)
    return torch.rand(count, 3, size, size, generator=generator) * 2 - 1
