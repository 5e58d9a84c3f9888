"""Two published methods in thirty lines each, through the conformance kit: what the less simple hooks are for."""

from dataclasses import dataclass, replace
from typing import ClassVar

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from fewgan.plugin import Plugin, option
from fewgan.testing import RegularizerTests, networks


class R3GAN(nn.Module):
    """The losses of R3GAN (Huang et al. 2025, arXiv 2501.05441): of the difference between real and fake logits.

    With penalties on D's gradient at photos, R1, and at fakes, R2. It brings the losses of both sides, so the core runs
    no D of its own, and it needs photos in G's step.
    """

    adversarial, needs_real = False, True

    def __init__(self, gamma):
        super().__init__()
        self.gamma = gamma

    def logits(self, step):
        self.shown = [images.detach().requires_grad_() for images in (step.real_augmented, step.fake_augmented)]
        both = zip(self.shown, (step.labels, step.fake_labels), strict=True)
        return tuple(step.discriminator(images, labels) for images, labels in both)

    def discriminator_loss(self, step):
        real, fake = step.logits_real, step.logits_fake
        slopes = torch.autograd.grad((real.sum(), fake.sum()), self.shown, create_graph=True)
        penalty = sum(slope.square().sum((1, 2, 3)).mean() for slope in slopes)
        return F.softplus(fake - real).mean() + self.gamma / 2 * penalty

    def generator_loss(self, step):
        real = step.discriminator(step.real_augmented, step.labels)
        return F.softplus(real - step.discriminator(step.fake_augmented, step.fake_labels)).mean()


class APA(nn.Module):
    """Adaptive pseudo augmentation (Jiang et al. 2021, arXiv 2111.06849): a photo becomes a fake with probability p.

    p rises where the mean sign of D's logits for photos is above the target, a sign of overfitting, and falls below it.
    It is a buffer, so checkpoints hold it and the metrics show it.
    """

    def __init__(self, target, speed):
        super().__init__()
        self.target, self.speed = target, speed
        self.register_buffer("p", torch.zeros(()))

    def images(self, real, fake, labels, fake_labels):
        chosen = torch.rand(len(real), device=real.device) < self.p
        real = torch.where(chosen.view(-1, 1, 1, 1), fake, real)
        return real, fake, torch.where(chosen, fake_labels, labels), fake_labels

    def observe(self, step):
        direction = (step.logits_real.sign().mean() - self.target).sign()
        self.p.add_(direction * len(step.logits_real) / self.speed).clamp_(0, 1)


@dataclass(frozen=True, kw_only=True)
class R3GANOptions:
    gamma: float = option(1.0, "Weight of R1 and R2", min=0)


@dataclass(frozen=True, kw_only=True)
class APAOptions:
    target: float = option(0.6, "Mean sign of D's logits for photos that p is to hold", min=-1, max=1)
    speed: int = option(500_000, "Photos over which p goes from 0 to 1", min=1)


def build_r3gan(options, *, networks):
    return R3GAN(options.gamma)


def build_apa(options, *, networks):
    return APA(options.target, options.speed)


r3gan = Plugin(api=1, summary="R3GAN's losses", options=R3GANOptions, build=build_r3gan)
apa = Plugin(api=1, summary="APA", options=APAOptions, build=build_apa)


@pytest.fixture(autouse=True)
def _installed(tmp_path_factory, monkeypatch):
    """These two as an installed package: what pip would make of an entry point in pyproject.toml."""
    folder = tmp_path_factory.mktemp("further")
    info = folder / "fewgan_further-0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fewgan-further\nVersion: 0\n")
    points = "\n".join(f"{name} = {__name__}:{name}" for name in ("r3gan", "apa"))
    (info / "entry_points.txt").write_text(f"[fewgan.regularizers]\n{points}\n")
    monkeypatch.syspath_prepend(str(folder))


class TestR3GAN(RegularizerTests):
    plugin = "r3gan"

    def test_the_losses_are_of_differences(self):
        made = R3GAN(gamma=0.0)
        step = self.step(networks())
        real, fake = made.logits(step)
        step = replace(step, logits_real=real, logits_fake=fake)
        apart = step.logits_real - step.logits_fake
        assert made.discriminator_loss(step).item() == pytest.approx(F.softplus(-apart).mean().item())


class TestAPA(RegularizerTests):
    plugin = "apa"
    options: ClassVar = {"speed": 20, "target": 0.0}  # p moves by a fifth in each step of four photos

    def test_p_follows_the_sign_of_the_logits(self):
        made = APA(target=0.6, speed=20)
        for logits, p in ((1.0, 0.2), (1.0, 0.4), (-1.0, 0.2), (-1.0, 0.0), (-1.0, 0.0)):
            made.observe(_Seen(torch.full((4,), logits)))
            assert made.p.item() == pytest.approx(p)

    def test_a_photo_becomes_a_fake_with_its_label(self):
        made, real, fake = APA(target=0.6, speed=20), torch.zeros(64, 3, 2, 2), torch.ones(64, 3, 2, 2)
        made.p.fill_(0.5)
        shown, _, labels, _ = made.images(real, fake, torch.zeros(64), torch.ones(64))
        assert torch.equal(shown.mean((1, 2, 3)), labels)
        assert 0.2 < labels.mean() < 0.8


@dataclass
class _Seen:
    logits_real: torch.Tensor
