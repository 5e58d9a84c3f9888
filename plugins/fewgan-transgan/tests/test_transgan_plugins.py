"""The three plugins through the conformance kit, and their defaults, options and messages."""

from typing import ClassVar

import pytest
import torch
from fewgan_transgan.architecture import Options, build, read, write
from fewgan_transgan.augmentation import parts
from fewgan_transgan.losses import GradientPenalty, penalty
from fewgan_transgan.operations import Augment
from transgan_small import CROSS, PLAIN, SIZE

import fewgan
from fewgan import run
from fewgan.plugin import Step, UsageError
from fewgan.registry import choose
from fewgan.testing import ArchitectureTests, AugmentationTests, RegularizerTests
from fewgan.testing.base import QUIET, config, install_tiny
from fewgan.training.loop import train

TINY = {"width": 64, "depths": "1,1,1", "latent_dim": 8, "d_width": 32, "d_depth": 1}


@pytest.fixture(autouse=True)
def _tiny(tmp_path_factory, monkeypatch):
    monkeypatch.syspath_prepend(str(install_tiny(tmp_path_factory.getbasetemp() / "fewgan-tiny")))


class TestTransgan(ArchitectureTests):
    plugin = "transgan"
    size = SIZE
    options: ClassVar = PLAIN


class TestCrossAttention(ArchitectureTests):
    plugin = "transgan"
    size = SIZE
    options: ClassVar = CROSS
    test_its_options_are_in_help = None  # shown by the class above
    test_it_trains_resumes_and_samples_from_its_files = None


class TestAugment(AugmentationTests):
    plugin = "transgan-augment"
    options: ClassVar = {"policy": "translation,cutout,erase_ratio,stl_erase_ratio,color,hue,filter"}


class TestGradientPenalty(RegularizerTests):
    plugin = "gradient-penalty"


def built(size=32, classes=0, **changes):
    return build(Options(**(TINY | changes)), size=size, classes=classes)


@pytest.mark.parametrize(
    ("config", "size", "generator", "discriminator"),
    [
        ("cifar", 32, 83_312_495, 10_210_400),
        ("stl", 48, 168_466_623, 10_341_536),
        ("church", 256, 205_291_952, 17_754_569),
        # Less the noise strengths of cross-attention, one in each of 20 blocks, which nothing reads.
        ("celebahq", 256, 212_903_275 - 20, 13_334_593),
    ],
)
def test_parameters_of_the_published_networks(config, size, generator, discriminator):
    with torch.device("meta"):
        made = build(Options(config=config), size=size, classes=0).with_discriminator()
    assert sum(p.numel() for p in made.generator.parameters()) == generator
    assert sum(p.numel() for p in made.discriminator.parameters()) == discriminator


def test_maps_windows_and_noise_of_the_published_networks():
    with torch.device("meta"):
        church, celebahq = (
            build(Options(config=name), size=256, classes=0).with_discriminator() for name in ("church", "celebahq")
        )
    shape = church.generator.shape
    assert [stage.side for stage in shape.stages] == [8, 16, 32, 64, 128, 256]
    assert [stage.window for stage in shape.stages] == [8, 16, 32, 16, 16, 16]
    assert [stage.up for stage in shape.stages] == ["", "bicubic", "bicubic", "shuffle", "shuffle", "shuffle"]
    assert (shape.noise, church.discriminator.shape.noise) == (True, False)
    runs = [[(run.depth, run.window) for run in scale.runs] for scale in church.discriminator.shape.scales]
    assert runs == [[(2, 16), (1, 64)], [(3, 32)], [(4, 16)]]
    shape = celebahq.generator.shape
    assert [stage.depth for stage in shape.stages] == [0, 4, 4, 4, 4, 4]
    assert [stage.up for stage in shape.stages][3:] == ["shuffle", "smooth-shuffle", "smooth-shuffle"]
    runs = [[(run.depth, run.window) for run in scale.runs] for scale in celebahq.discriminator.shape.scales]
    assert runs == [[(3, 4)], [(2, 4), (1, 64)], [(4, 32)]]
    assert not celebahq.discriminator.shape.bias


@pytest.mark.parametrize("size", [48, 64, 128, 256])
def test_defaults_of_every_size_build(size):
    with torch.device("meta"):
        made = build(Options(), size=size, classes=0).with_discriminator()
    assert made.generator.size == made.discriminator.size == size
    inside = [p for block in made.generator.blocks() for p in block.parameters()]
    assert sorted(map(id, inside)) == sorted(map(id, made.generator.parameters()))


SMALL_256 = {"width": 256, "depths": "1,1,1,1,1,1", "d_width": 32, "d_depth": 2}


@pytest.mark.parametrize("config", ["church", "celebahq"])
def test_networks_of_256_px_make_pictures_and_judge_them(config):
    torch.manual_seed(0)
    made = built(256, config=config, **SMALL_256).with_discriminator()
    with torch.no_grad():
        images = made.generator(torch.randn(1, 8), torch.zeros(1, 0))
        assert images.shape == (1, 3, 256, 256)
        assert made.discriminator(images).isfinite().all()


@pytest.mark.parametrize("config", ["auto", "church", "celebahq"])
def test_checkpoints_of_the_published_code_are_read(config, tmp_path):
    size = 32 if config == "auto" else 256
    changes = {} if config == "auto" else SMALL_256
    torch.manual_seed(0)
    made = built(size, config=config, **changes).with_discriminator()
    live = built(size, config=config, **changes)
    states = {name: {f"module.{key}": t for key, t in state.items()} for name, state in write(made).items()}
    current = {f"module.{key}": t for key, t in write(live.with_discriminator())["G_ema.pth"].items()}
    checkpoint = {
        "epoch": 3,
        "gen_state_dict": current,
        "dis_state_dict": states["D.pth"],
        "avg_gen_state_dict": states["G_ema.pth"],
        "gen_optimizer": {"state": {}, "param_groups": []},
        "fixed_z": torch.randn(1, 8),
        "path_helper": {"prefix": "logs"},
    }
    torch.save(checkpoint, tmp_path / "checkpoint_best.pth")
    model = fewgan.load(tmp_path / "checkpoint_best.pth")
    assert model.networks.generator.shape == made.generator.shape
    assert model.discriminator.shape == made.discriminator.shape
    for ours, theirs in ((model.generator, made.generator), (model.discriminator, made.discriminator)):
        state = theirs.state_dict()
        assert all(torch.equal(tensor, state[name]) for name, tensor in ours.state_dict().items())
    if config == "auto":
        assert model.sample(2).shape == (2, 3, 32, 32)


def test_an_exported_generator_alone_gets_the_published_discriminator():
    found = read({"G.pth": write(built().with_discriminator())["G_ema.pth"]})
    assert (found.size, found.discriminator, found.options.config) == (32, None, "cifar")
    with torch.device("meta"):
        again = build(found.options, size=32, classes=0).with_discriminator()
    assert sum(p.numel() for p in again.discriminator.parameters()) == 10_210_400


def test_wrong_files_are_refused_by_name():
    files = write(built().with_discriminator())
    state = files["G_ema.pth"]
    assert read({"x.pth": {"l1.weight": torch.zeros(1)}}) is None
    with pytest.raises(UsageError, match=r"G.pth: tensor blocks.block.0.attn.proj.bias is missing"):
        read({"G.pth": {name: t for name, t in state.items() if name != "blocks.block.0.attn.proj.bias"}})
    with pytest.raises(UsageError, match=r"G.pth: tensor more is not part of this network"):
        read({"G.pth": state | {"more": torch.zeros(1)}})
    with pytest.raises(UsageError, match=r"G.pth: tensor deconv.0.weight is \[3, 5, 1, 1\], \[3, 4, 1, 1\] expected"):
        read({"G.pth": state | {"deconv.0.weight": torch.zeros(3, 5, 1, 1)}})
    with pytest.raises(UsageError, match="do not belong together"):
        read({"G.pth": state | {"pos_embed_2": torch.zeros(1, 64, 16)}})
    with pytest.raises(UsageError, match=r"D.pth: tensor cls_token is \[1, 2, 32\]"):
        read(files | {"D.pth": files["D.pth"] | {"cls_token": torch.zeros(1, 2, 32)}})


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"latent_dim": 8, "stages": []}', '{"stages": [{"side": "8"}]}'])
def test_a_damaged_shape_is_one_line(text):
    with pytest.raises(UsageError, match="transgan: the shape of the networks in this file is damaged"):
        built(generator_shape=text)
    with pytest.raises(UsageError, match="transgan: the shape of the networks in this file is damaged"):
        built(discriminator_shape=text)


@pytest.mark.parametrize(
    ("changes", "size", "message"),
    [
        ({}, 40, "transgan has no 40 px network; choose --size 32, 48, 64, 128, 256"),
        ({"config": "lsun"}, 32, "--transgan-config lsun: unknown; choose auto, cifar, stl, church, celebahq"),
        ({"config": "church"}, 32, "--transgan-config church: is a 256 px network; add --size 256"),
        ({"width": 72}, 32, "--transgan-width 72: must be divisible by 64 at 32 px"),
        ({"d_width": 40}, 32, "--transgan-d-width 40: must be divisible by 16"),
        ({"depths": "5,4"}, 32, "--transgan-depths 5,4: give 3 numbers, for the maps of 8, 16, 32 px"),
        ({"depths": "5,x,1"}, 32, "--transgan-depths 5,x,1: give numbers from 1 to 99"),
        ({"norm": "bn"}, 32, "--transgan-norm bn: unknown; choose ln or pn"),
        ({"window": 12, "width": 256, "depths": "1,1,1,1"}, 64, "--transgan-window 12: must divide 64"),
    ],
)
def test_what_it_cannot_serve_is_said_in_one_line(changes, size, message):
    with pytest.raises(UsageError) as raised:
        built(size, **changes)
    assert str(raised.value).startswith(message)


def test_policies():
    assert parts("auto", 32) == ("translation", "cutout", "color")
    assert parts("auto", 48) == ("translation", "stl_erase_ratio", "color")
    assert parts("auto", 128) == ("translation", "erase_ratio", "color")
    assert parts("celebahq", 256) == ("filter", "translation", "erase_ratio", "color", "hue")
    assert parts("hue, color", 32) == ("hue", "color")
    with pytest.raises(UsageError, match="--transgan-augment-policy 'blur': 'blur' is none of translation, cutout"):
        parts("blur", 32)


def test_squares_are_erased_in_whole_batches():
    torch.manual_seed(0)
    augment, images = Augment(("cutout",)), torch.ones(8, 3, 16, 16)
    fired = [(augment(images) == 0).any(3).any(2).any(1) for _ in range(300)]
    assert all(bool(hit.all()) or not hit.any() for hit in fired)
    assert sum(bool(hit.any()) for hit in fired) / 300 == pytest.approx(0.3, abs=0.08)


def test_the_penalty_of_several_logits_is_that_of_their_mean():
    images = torch.randn(4, 3, 8, 8, requires_grad=True)
    logits = images.square().sum((1, 2, 3))
    alone = penalty(logits, images)
    weights = torch.tensor([0.5, 1.5, 0.0, 2.0])
    assert penalty(logits[:, None] * weights, images).item() == pytest.approx(alone.item(), rel=1e-5)


def test_the_penalty_goes_through_the_augmentation_to_the_raw_points():
    torch.manual_seed(0)
    made = GradientPenalty(weight=2, phi=3, epsilon=0.5)
    slope = torch.randn(3, 4, 4)
    names = Step.__dataclass_fields__
    parts_ = {
        "real": torch.randn(5, 3, 4, 4),
        "fake": torch.randn(5, 3, 4, 4),
        "augment": lambda images: images * 2,
        "discriminator": lambda images, labels: (images * slope).sum((1, 2, 3)),
        "logits_real": torch.tensor([1.0, 3.0]),
    }
    found = made.discriminator_loss(Step(**(dict.fromkeys(names) | parts_)))
    assert found.item() == pytest.approx(2 * (2 * slope.norm().item() - 3) ** 2 / 9 + 0.5 * 4, rel=1e-5)


def test_the_drift_term_is_of_the_logits_of_all_processes(monkeypatch):
    monkeypatch.setattr("fewgan_transgan.losses.all_gather", lambda rows: torch.cat((rows, rows + 4)))
    images = torch.randn(2, 3, 4, 4)
    parts_ = {
        "real": images,
        "fake": images,
        "discriminator": lambda images, labels: images.sum((1, 2, 3)),
        "logits_real": torch.tensor([1.0, 3.0]),
    }
    step = Step(**(dict.fromkeys(Step.__dataclass_fields__) | parts_))
    found = GradientPenalty(weight=0, phi=1, epsilon=0.5).discriminator_loss(step)
    assert found.item() == pytest.approx(0.5 * 16)


def test_a_training_with_the_whole_method(tmp_path):
    chosen = {
        "architecture": choose("architectures", "transgan", Options(**PLAIN)),
        "augmentation": choose("augmentations", "transgan-augment"),
    }
    folder = train(config(tmp_path, dataset_size=SIZE, size=SIZE, steps=2, **chosen), QUIET).folder
    content = run.read_config(folder)
    assert [choice["name"] for choice in content["regularizers"]] == ["gradient-penalty"]
    assert content["loss"] == "wasserstein"
    assert content["d_steps"] == 4
    assert fewgan.load(folder).sample(1).shape == (1, 3, SIZE, SIZE)
