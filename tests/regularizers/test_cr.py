from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from fewgan.plugin import Step
from fewgan.regularizers.cr import Options, plugin
from fewgan.regularizers.cr.consistency import Consistency, flip_and_translate


class Probe(nn.Module):
    """A discriminator of several logits that counts its calls."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3 * 8 * 8, 4)
        self.calls: list[torch.Tensor] = []
        self.labels: list[Any] = []

    def forward(self, images: torch.Tensor, labels: torch.Tensor | None) -> torch.Tensor:
        self.calls.append(images)
        self.labels.append(labels)
        out: torch.Tensor = self.linear(images.flatten(1))
        return out


class Adaptive(nn.Module):
    """An augmentation that may do nothing for long, as ADA does at its start."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.clone()

    def observe(self, logits_real: torch.Tensor, images_seen: int) -> None: ...


def step_of(probe: Probe, real: torch.Tensor, augment: Any = None, labels: torch.Tensor | None = None) -> Step:
    augmented = real if augment is None else augment(real)
    logits = probe(augmented, labels)
    probe.calls.clear()
    probe.labels.clear()
    unused: Any = None
    return Step(
        index=0, images_seen=0, planned_images=1, real=real, real_augmented=augmented,
        fake=real, fake_augmented=augmented, labels=labels,
        fake_labels=None, z=real, logits_real=logits, logits_fake=logits, generator=unused, discriminator=probe,  # type: ignore[arg-type]
        generate=unused, augment=augment,
    )  # fmt: skip


def build(weight: float | None = 1.0) -> Consistency:
    unused: Any = None
    built: Consistency = plugin.build(Options(weight=weight), networks=unused)
    return built


def test_default_weight_is_the_published_one_but_beside_an_augmentation() -> None:
    torch.manual_seed(0)
    probe, real = Probe(), torch.randn(2, 3, 8, 8)
    for augment, weight in ((None, 10), (Adaptive(), 10), (torch.zeros_like, 0.3)):
        losses = []
        for given in (None, 1.0):
            torch.manual_seed(1)
            losses.append(build(given).discriminator_loss(step_of(probe, real, augment=augment)))
        assert losses[1] > 0
        torch.testing.assert_close(losses[0], weight * losses[1])


def test_with_an_augmentation_the_raw_photo_is_paired_with_the_copy_that_the_loss_saw() -> None:
    torch.manual_seed(0)
    probe, real, labels = Probe(), torch.randn(5, 3, 8, 8), torch.arange(5)
    step = step_of(probe, real, augment=lambda images: images * 0.5 + 1, labels=labels)
    loss = build(3).discriminator_loss(step)
    assert len(probe.calls) == 1
    assert probe.calls[0] is real
    assert probe.labels[0] is labels
    expected = 3 * ((probe(real, None) - probe(real * 0.5 + 1, None)) ** 2).mean()
    torch.testing.assert_close(loss, expected)


def test_both_sides_of_the_pair_learn() -> None:
    probe, real = Probe(), torch.randn(2, 3, 8, 8)
    step = step_of(probe, real, augment=torch.zeros_like)
    (gradient,) = torch.autograd.grad(build().discriminator_loss(step), step.logits_real, retain_graph=True)  # type: ignore[arg-type]
    assert gradient.abs().sum() > 0
    build().discriminator_loss(step).backward()
    assert probe.linear.weight.grad is not None
    assert probe.linear.weight.grad.abs().sum() > 0


def test_without_an_augmentation_the_photo_is_flipped_and_moved() -> None:
    torch.manual_seed(0)
    probe = Probe()
    real = torch.zeros(2000, 3, 8, 8)
    real[:, :, 3, 1] = 1
    build().discriminator_loss(step_of(probe, real))
    (seen,) = probe.calls
    places = seen[:, 0].flatten(1).argmax(1)
    straight = [8 * i + j for i in (2, 3, 4) for j in (0, 1, 2)]
    mirrored = [8 * i + j for i in (2, 3, 4) for j in (5, 6, 7)]
    assert sorted(places.unique().tolist()) == sorted(straight + mirrored)
    share = sum((places == place).sum().item() for place in mirrored) / 2000
    assert 0.45 < share < 0.55


def test_beside_an_augmentation_that_may_do_nothing_the_copy_is_moved() -> None:
    """ADA starts with p = 0: (x, ADA(x)) would be (x, x), and the term without any effect."""

    torch.manual_seed(0)
    probe, real = Probe(), torch.randn(64, 3, 8, 8)
    step = step_of(probe, real, augment=Adaptive())
    loss = build().discriminator_loss(step)
    (seen,) = probe.calls
    assert (seen.flatten(1) != real.flatten(1)).any(dim=1).sum() > 48
    assert loss > 0.01


def test_flip_comes_before_translation_and_zeros_after() -> None:
    torch.manual_seed(0)
    images = torch.randn(4, 3, 6, 6)
    flipped, rows, columns = (
        torch.tensor([False, True, True, False]),
        torch.tensor([0, 0, 2, -1]),
        torch.tensor([0, 0, -1, 2]),
    )
    out = flip_and_translate(images, flipped, rows, columns)
    assert torch.equal(out[0], images[0])
    assert torch.equal(out[1], images[1].flip(2))
    assert torch.equal(out[2, :, :4, 1:], images[2].flip(2)[:, 2:, :5])
    assert out[2, :, 4:].abs().sum() == out[2, :, :, 0].abs().sum() == 0
    assert torch.equal(out[3, :, 1:, :4], images[3, :, :5, 2:])
    assert out[3, :, 0].abs().sum() == out[3, :, :, 4:].abs().sum() == 0


def test_weight_zero_is_allowed_and_adds_nothing() -> None:
    step = step_of(Probe(), torch.randn(2, 3, 8, 8))
    assert build(0).discriminator_loss(step).item() == 0


def test_bounds_are_declared() -> None:
    (field,) = Options.__dataclass_fields__.values()
    assert field.metadata["min"] == 0


@pytest.mark.parametrize("hook", ["generator_loss", "observe", "images"])
def test_no_other_hook(hook: str) -> None:
    assert not hasattr(build(), hook)
