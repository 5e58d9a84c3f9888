"""ADA against golden numbers, its controller against hand counts, and a run with it."""

from pathlib import Path

import pytest
import torch
from fewgan_ada import GROUPS, OPERATIONS, Options, build, operations
from fewgan_ada.colour import filter_bank
from fewgan_ada.draws import Draws
from fewgan_ada.pipeline import Ada
from safetensors.torch import load_file

from fewgan.plugin import UsageError
from fewgan.testing import AugmentationTests

golden = load_file(Path(__file__).parent / "golden" / "pipe.safetensors")


class Fixed(Draws):
    """Every operation fires, and every number stands at quantile Q (the normal one's without its root of 2)."""

    def __init__(self, count, like, quantile):
        super().__init__(count, like)
        self.quantile, self.turned = torch.tensor(quantile), False

    def uniform(self, *shape):
        return self.quantile.expand(self.count, *shape).clone()

    def normal(self, *shape):
        torch.randn(self.count, *shape)
        return torch.erfinv(2 * self.uniform(*shape) - 1)

    def half_normal(self, *shape):
        torch.randn(self.count, *shape)
        return torch.erfinv(self.uniform(*shape))

    def angle(self):
        angle = torch.zeros(self.count) if self.turned else (2 * self.uniform() - 1) * torch.pi
        self.turned = True
        return angle

    def fires(self, probability, *shape):
        return torch.rand(self.count, *shape) >= 0


def made(names, quantile, images):
    torch.manual_seed(7)
    pipeline = Ada(operations(names), target=0.6, speed=500, initial=1)
    return pipeline.augmented(images, Fixed(len(images), images, quantile), torch.tensor(1.0))


@pytest.mark.parametrize("key", sorted(golden.keys() - {"x"}))
def test_golden_numbers(key):
    name, quantile = key.removeprefix("op.").rsplit(".q", 1)
    assert torch.allclose(made(name, float(quantile), golden["x"]), golden[key], atol=1e-4, rtol=0)


def test_a_pipeline_that_never_fires_leaves_pictures_as_they_are():
    images = torch.rand(4, 3, 24, 24) * 2 - 1
    rest = build(Options(ops="color,filter,noise,cutout"), size=24)
    assert torch.allclose(rest(images), images, atol=1e-5)
    # The two resampling filters are an orthogonal wavelet's: they give back a picture to a thousandth.
    assert (build(Options(ops="bg"), size=24)(images) - images).abs().mean() < 5e-3


@pytest.mark.parametrize("name", [*GROUPS, *OPERATIONS])
def test_gradient_reaches_the_pictures_and_samples_differ(name):
    torch.manual_seed(0)
    pipeline = build(Options(ops=name, initial=1), size=16)
    images = (torch.rand(1, 3, 16, 16) * 2 - 1).repeat(12, 1, 1, 1).requires_grad_()
    out = pipeline(images)
    assert out.shape == images.shape
    assert not all(torch.allclose(out[0], other, atol=1e-3) for other in out[1:])
    (gradient,) = torch.autograd.grad((out * torch.linspace(-1, 1, out.numel()).view_as(out)).sum(), images)
    assert gradient.isfinite().all()
    assert gradient.abs().amax(dim=(1, 2, 3)).min() > 0


def test_operations_fire_with_probability_p():
    torch.manual_seed(0)
    for p in (0.0, 0.3, 1.0):
        pipeline = build(Options(ops="cutout", initial=p), size=32)
        fired = (pipeline(torch.ones(4000, 1, 32, 32)).mean((1, 2, 3)) < 1).float().mean()
        assert abs(fired - p) < 0.03
    # Two rotations, which together fire with p.
    draws = Draws(20000, torch.zeros(1))
    once = 1 - torch.tensor(1 - 0.3).sqrt()
    assert abs((draws.fires(once) | draws.fires(once)).float().mean() - 0.3) < 0.01


def test_filter_bank_is_complete():
    bank = filter_bank(torch.float32, torch.device("cpu"))
    assert bank.shape == (4, 43)
    whole = torch.zeros(43)
    whole[21] = 1
    assert torch.allclose(bank.sum(0), whole, atol=1e-6)


def test_p_follows_the_signs_of_four_updates():
    ada = build(Options(target=0.6, speed=0.5), size=16)  # 500 photos from 0 to 1
    for _ in range(3):
        ada.observe(torch.full((10,), 2.0), 16)
        assert ada.p == 0
    ada.observe(torch.full((10,), 0.1), 16)
    assert ada.p.item() == pytest.approx(40 / 500)
    assert ada.overfitting == 1
    for _ in range(4):
        ada.observe(torch.tensor([1.0, -1.0] * 5), 16)
    assert ada.p == 0  # mean sign 0, below the target; not below 0
    for _ in range(80):
        ada.observe(torch.ones(100), 16)
    assert ada.p == 1  # and not above 1
    assert (ada.signs, ada.photos, ada.updates) == (0, 0, 0)


def test_p_moves_with_photos_and_not_with_the_logits_of_one():
    one, many = (build(Options(speed=0.5), size=16) for _ in range(2))
    for _ in range(4):
        one.observe(torch.tensor([1.0, -1.0, 1.0, 1.0]), 16)
        many.observe(torch.tensor([[1.0] * 4, [-1.0] * 4, [1.0] * 4, [1.0] * 4]), 16)
    assert many.overfitting == one.overfitting == 0.5
    assert many.p == one.p == 0  # below the target
    for _ in range(4):
        one.observe(torch.ones(4), 16)
        many.observe(torch.ones(4, 100), 16)
    assert many.p == one.p == pytest.approx(16 / 500)


def test_p_stands_still_exactly_at_the_target_and_state_is_restored():
    ada = build(Options(target=0.5, initial=0.25), size=16)
    for _ in range(4):
        ada.observe(torch.tensor([1.0, 1.0, 1.0, -1.0]), 16)
    assert ada.p == 0.25
    ada.observe(torch.ones(4), 16)
    again = build(Options(target=0.5), size=16)
    again.load_state_dict(ada.state_dict())
    for one in (ada, again):
        for _ in range(3):
            one.observe(torch.ones(8), 16)
    assert again.p == ada.p > 0.25
    assert {name for name, buffer in ada.named_buffers() if buffer.dim() == 0} == {"p", "overfitting"}


def test_names_of_operations():
    assert operations("bgc") == frozenset(n for g in ("blit", "geom", "color") for n in GROUPS[g])
    assert operations("bgcfnc") == frozenset(OPERATIONS)
    assert operations("blit, hue") == {"xflip", "rotate90", "xint", "hue"}
    with pytest.raises(UsageError, match=r"--ada-ops 'bcg': 'bcg' is none of b, bg"):
        build(Options(ops="bcg"), size=16)


class TestConformance(AugmentationTests):
    plugin, options = "ada", {"ops": "bgcfnc", "initial": 0.8, "speed": 0.1}
