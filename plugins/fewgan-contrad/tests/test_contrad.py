"""The regularizer by its own properties, through the conformance kit, and in trainings."""

import math
import shutil
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from contrad_steps import Whole
from drawn import smooth
from fewgan_contrad import VIEWS, Options, build, losses
from fewgan_contrad.heads import MOST_FEATURES, Heads, feature_count, is_spectral
from fewgan_contrad.views import Views
from hypothesis import given, settings
from hypothesis import strategies as st
from inprocess import fewgan

from fewgan import run, storage
from fewgan.plugin import SpectralLinear, UsageError, advance
from fewgan.registry import find, load
from fewgan.sources.load import load as load_source
from fewgan.testing import RegularizerTests
from fewgan.testing.base import difference, game, networks, same, states
from fewgan.training.steps import Clock, discriminator_step, generator_step

GOLDEN = Path(__file__).parents[3] / "tests" / "golden" / "biggan-32"
SMALL = {"hidden": 16, "projection": 8}


class TestContraD(RegularizerTests):
    plugin = "contrad"
    options: ClassVar = SMALL | {"views": "simclr_hq_cutout", "r1": 0.1, "r1_every": 4, "loss": "hinge"}


@settings(max_examples=25, deadline=None)
@given(count=st.integers(2, 6), width=st.integers(1, 8), seed=st.integers(0, 1000))
def test_contrast_of_rows_that_are_all_alike_is_the_logarithm_of_the_candidates(count, width, seed):
    row = torch.randn(width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + 0.01
    same_rows = row.expand(count, width)
    assert losses.real_contrast(same_rows, same_rows, 0.1).item() == pytest.approx(math.log(2 * count - 1))
    found = losses.fake_contrast(same_rows, 3 * same_rows, 0.5 * same_rows, 0.1)
    assert found.item() == pytest.approx(math.log(3 * count - 1))


def test_contrast_of_what_is_told_apart():
    photos, fakes = torch.eye(4, dtype=torch.float64)[:2], torch.eye(4, dtype=torch.float64)[2:3].expand(2, 4)
    real = losses.real_contrast(photos, photos, 0.5)  # the positive at e^2, two others at 1
    assert real.item() == pytest.approx(math.log1p(2 * math.exp(-2)))
    fake = losses.fake_contrast(photos, photos, fakes, 0.5)  # the other fake at e^2, four views at 1
    assert fake.item() == pytest.approx(math.log1p(4 * math.exp(-2)))


def test_a_projection_of_zeros_gives_finite_losses_and_gradients():
    rows = torch.zeros(4, 3, requires_grad=True)
    loss = losses.real_contrast(rows, rows, 0.1) + losses.fake_contrast(rows, rows, rows, 0.1)
    loss.backward()
    assert loss.isfinite()
    assert rows.grad.isfinite().all()


@settings(max_examples=30, deadline=None)
@given(
    count=st.integers(1, 9),
    side=st.sampled_from([8, 16, 33, 64]),
    least=st.sampled_from([0.01, 0.2, 0.9, 1.0]),
    seed=st.integers(0, 10_000),
)
def test_crops_lie_within_the_image(count, side, least, seed):
    torch.manual_seed(seed)
    views = Views("simclr", least_area=least, jitter=0.4, cutout=3)
    wide, high, right, down = views.boxes(count, side, torch.device("cpu"))
    for pixels, place in ((wide, right), (high, down)):
        assert pixels.shape == place.shape == (count,)
        assert ((pixels >= 1) & (pixels <= side) & (place.abs() <= side - pixels)).all()


def test_crops_have_the_published_law():
    torch.manual_seed(0)
    views, side = Views("simclr", least_area=0.2, jitter=0.4, cutout=3), 4096
    wide, high, right, _ = (part.double() for part in views.boxes(20_000, side, torch.device("cpu")))
    area, aspect = wide * high / side**2, wide / high
    assert area.min() == pytest.approx(0.2, abs=0.001)
    assert aspect.min() == pytest.approx(3 / 4, abs=0.002)
    assert aspect.max() == pytest.approx(4 / 3, abs=0.002)
    assert abs(aspect.log().mean()) < 0.005
    # A box of area a fits with probability 1 below 3/4 and -log(a) / log(4/3) above; those that do not are drawn again.
    large, mean_large = (0.03424 / math.log(4 / 3), 0.028465 / math.log(4 / 3))  # integrals over 3/4 to 1
    expected = ((0.75**2 - 0.2**2) / 2 + mean_large) / (0.75 - 0.2 + large)
    assert area.mean() == pytest.approx(expected, abs=0.005)
    place = (right / (side - wide).clamp(min=1))[wide < side]
    assert abs(place.mean()) < 0.02
    assert place.std() == pytest.approx(1 / math.sqrt(3), abs=0.01)


@pytest.mark.parametrize("kind", VIEWS)
def test_views_are_of_each_image_alone_and_follow_the_seed(kind):
    images = torch.rand(8, 3, 32, 32, requires_grad=True)
    views = Views(kind, least_area=0.2, jitter=0.4, cutout=15)
    torch.manual_seed(1)
    first = views(images)
    torch.manual_seed(1)
    assert torch.equal(views(images), first)
    assert first.shape == images.shape
    assert not torch.equal(views(images), first)
    (gradient,) = torch.autograd.grad(first[0].sum(), images)
    assert gradient[0].any()
    assert not gradient[1:].any()
    assert first.min() > -1e-4
    assert first.max() < 1 + 1e-4


def test_only_cutout_blackens_and_only_the_hq_views_blur():
    torch.manual_seed(0)
    white = torch.ones(64, 3, 40, 40)
    checks = ((torch.arange(40).view(-1, 1) + torch.arange(40)) % 2).float().expand(64, 3, 40, 40)
    black, least = {}, {}
    for kind in VIEWS:
        views = Views(kind, least_area=1.0, jitter=0.0, cutout=19)
        black[kind] = (views(white) < 0.01).all(dim=1).any(dim=(1, 2)).float().mean().item()
        # Sigma is one number for a batch, so there are several batches.
        seen = torch.cat([views(part) for part in checks.split(4)])[:, :, 10:30, 10:30]
        least[kind] = seen.std(dim=(1, 2, 3)).min().item()
    assert black["simclr"] == black["simclr_hq"] == 0
    assert 0.3 < black["simclr_hq_cutout"] < 0.7
    assert least["simclr_hq"] < 0.6 * least["simclr"]


@pytest.mark.parametrize(("size", "kind", "cutout"), [(32, "simclr", 15), (128, "simclr_hq", 63)])
def test_views_by_size(size, kind, cutout, monkeypatch):
    monkeypatch.setattr("fewgan_contrad.heads.feature_count", lambda _: 4)
    among = networks()
    among.generator.size = size
    views = build(Options(), networks=among).views
    assert (views.kind, views.cutout) == (kind, cutout)


@pytest.mark.parametrize(
    ("options", "named"),
    [({"loss": "hing"}, "--contrad-loss hing"), ({"views": "sim"}, "--contrad-views sim"), ({"cutout": 4}, "odd")],
)
def test_wrong_options_are_named(options, named):
    with pytest.raises(UsageError, match=named):
        build(Options(**options), networks=networks())


# Side and options of a small network of each architecture that is installed; whether its D is spectrally normalised.
ARCHITECTURES = {
    "biggan": (32, {"width": 4}, True),
    "stylegan2": (32, {"channel_base": 256, "channel_max": 16, "latent_dim": 16, "mapping_layers": 2}, False),
    "fastgan": (64, {"width": 4}, True),
    "transgan": (32, {"width": 64, "d_width": 32, "d_depth": 1, "latent_dim": 16}, False),
}
INSTALLED = [name for name in ARCHITECTURES if name in find("architectures")]


@pytest.mark.parametrize("arch", INSTALLED)
def test_every_discriminator_serves_with_its_features(arch):
    size, small, spectral = ARCHITECTURES[arch]
    plugin = load("architectures", arch)
    made = plugin.build(plugin.options(**small), size=size, classes=0).with_discriminator()
    discriminator = made.discriminator
    before, random = states(discriminator), torch.get_rng_state()
    feature_count(discriminator)
    assert torch.equal(torch.get_rng_state(), random)
    assert same(before, states(discriminator))
    assert discriminator.training
    assert is_spectral(discriminator) == spectral

    contrad = build(Options(**SMALL, r1=0.1), networks=made)
    team = game(Whole(), made, regularizers={"contrad": contrad})
    learning = [p for p in (*discriminator.parameters(), *contrad.parameters()) if p.requires_grad]
    images = torch.rand(2, 3, size, size) * 2 - 1
    labels = torch.zeros(2, dtype=torch.int64)
    found = discriminator_step(team, torch.optim.SGD(learning, lr=0.01), [(images, labels)], Clock())
    assert not found["skipped_d"]
    features = discriminator.features(images).detach()
    used = torch.autograd.grad(discriminator.head(features, None).sum(), learning, allow_unused=True)
    own_head = [parameter for parameter, gradient in zip(learning, used, strict=True) if gradient is not None]
    assert 0 < len(own_head) < 12
    without = [parameter for parameter in learning if parameter.grad is None]
    assert {id(parameter) for parameter in without} == {id(parameter) for parameter in own_head}

    inside = [p for p in made.generator.parameters() if p.requires_grad]
    found = generator_step(team, torch.optim.SGD(inside, lr=0.01), [2], Clock())
    assert not found["skipped_g"]
    assert all(parameter.grad is not None for parameter in inside)


def test_very_many_features_are_averaged_in_groups():
    heads = Heads(2 * MOST_FEATURES, **SMALL)
    features = torch.arange(2.0 * MOST_FEATURES)[None]
    assert torch.equal(heads.pooled(features), features.view(1, -1, 2).mean(2))
    assert Heads(MOST_FEATURES, **SMALL).features == MOST_FEATURES
    odd = Heads(2 * MOST_FEATURES + 1, **SMALL)
    assert odd.pooled(torch.ones(3, 2 * MOST_FEATURES + 1)).shape == (3, odd.features)


def test_heads_are_spectral_where_d_is_and_advance_with_it():
    heads = build(Options(**SMALL), networks=networks()).heads
    layers = [module for module in heads.modules() if isinstance(module, SpectralLinear)]
    assert len(layers) == 6
    for _ in range(50):
        advance(heads)
    for layer in layers:
        assert torch.linalg.matrix_norm(layer.normalized(), ord=2).item() == pytest.approx(1, abs=0.02)
    plain = build(Options(**SMALL, spectral=False), networks=networks()).heads
    assert not any(isinstance(module, SpectralLinear) for module in plain.modules())


def test_labels_reach_the_gan_head_where_there_are_several_classes():
    heads = build(Options(**SMALL), networks=networks(classes=3)).heads
    features = torch.randn(2, heads.features)
    labels = torch.tensor([0, 2])
    assert torch.equal(heads.linear(features, labels), heads.linear(features, None))  # at first they change nothing
    torch.nn.init.ones_(heads.linear.embed.weight)
    assert not torch.equal(heads.linear(features, labels), heads.linear(features, None))
    assert build(Options(**SMALL), networks=networks(classes=1)).heads.linear.embed is None


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a dataset of 8 photos at 32 px and a source."""
    place = tmp_path_factory.mktemp("place")
    (place / "photos").mkdir()
    for index in range(8):
        smooth(40, 40, index).save(place / "photos" / f"{index}.png")
    assert fewgan("prepare photos --size 32 --quiet", place) == 0
    (place / "source").mkdir()
    for name in ("G_ema.pth", "D.pth"):
        shutil.copy(GOLDEN / name, place / "source")
    return place


TRAIN = "train --quiet --contrad --contrad-hidden 16 --contrad-projection 8 --batch-size 4 --device cpu"


def test_a_transfer_with_minegan_trains_and_resumes_exactly(place):
    line = f"{TRAIN} --transfer minegan --minegan-miner-steps 2 --source source --steps 6 --save-every 3 --out mined"
    assert fewgan(line, place) == 0
    (whole,) = (place / "mined").glob("0*")
    last = run.read_metrics(whole)[-1]
    assert last["skipped_d"] == last["skipped_g"] == 0
    assert last["contrad.loss_real"] > 0
    assert last["contrad.loss_fake"] > 0
    first, _ = storage.read_tensors(run.checkpoints(whole)[0][1])
    source = load_source(str(place / "source")).discriminator.state_dict()
    name = "discriminator.blocks.0.0.conv1.weight"
    moved = (first[name] - source[name.removeprefix("discriminator.")]).abs().max()
    assert 0 < moved < 0.01  # the features are those of the source, three steps of 2e-4 later
    head = "discriminator.linear.weight"
    assert torch.equal(first[head], source["linear.weight"])  # D's own head is not used
    half = Path(shutil.copytree(whole, place / "mined" / "00099-half"))
    run.checkpoints(half)[-1][1].unlink()
    assert fewgan(f"train --quiet --resume {half}", place) == 0
    ours, theirs = (storage.read_tensors(run.checkpoints(folder)[-1][1])[0] for folder in (half, whole))
    assert same(ours, theirs), difference(ours, theirs)


def test_it_trains_beside_an_augmentation_and_other_regularizers(place):
    line = f"{TRAIN} --size 32 --biggan-width 2 --aug diffaugment --cr --steps 2 --save-every 2 --out beside"
    assert fewgan(line, place) == 0
    (folder,) = (place / "beside").glob("0*")
    last = run.read_metrics(folder)[-1]
    assert last["skipped_d"] == last["skipped_g"] == 0


def test_a_batch_of_one_image_is_refused(place, capsys):
    assert fewgan(f"{TRAIN} --size 32 --biggan-width 2 --steps 1 --batch-size 1 --out one", place) == 2
    assert "--batch-size of 2 or more" in capsys.readouterr().err
