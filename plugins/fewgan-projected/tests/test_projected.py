"""The discriminators on their features against golden numbers of the published code, and by their own properties."""

from dataclasses import replace

import pytest
import torch
from fewgan_projected import backbone, discriminators
from fewgan_projected.discriminators import Discriminator, DiscriminatorFacts, Head, published
from fewgan_projected.layouts import (
    discriminator_name,
    read_discriminator,
    read_disturbed,
    write_discriminator,
)
from projected_golden import distance, error, load, nets
from torch import nn
from torch.nn import functional as F

from fewgan.plugin import UsageError

# As the published code computes them, and as they are computed fast; the same up to rounding.
WAYS = {"plain": (False, False), "fast": (True, True)}
networks = {
    (disturbed, folded): backbone.pretrained(disturbed=disturbed, folded=folded)
    for disturbed in (False, True)
    for folded in (False, True)
}


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.fixture(params=nets("projected"))
def golden(request):
    """(state dict under the published names, golden numbers, file name, config)"""
    folder, net, config = request.param
    return *load(folder, net, config), f"{net}.safetensors", config


def build(state, file, *, size, disturbed=True, way="plain"):
    """The discriminator for images of this size, evaluated at 224 px at least."""
    facts, translated = read_discriminator(state, file)
    early, folded = WAYS[way]
    discriminator = Discriminator(
        facts, networks[disturbed, folded], size=size, side=max(size, discriminators.PUBLISHED_SIDE), early=early
    )
    missing = discriminator.load_state_dict(translated, strict=False)
    assert not missing.unexpected_keys
    assert all(name.startswith("backbone.") for name in missing.missing_keys)
    return discriminator.to(memory_format=torch.channels_last), {
        discriminator_name(name, translated, facts): name for name in translated
    }


def labels(numbers):
    """int64 [N] of the golden numbers of a conditional discriminator, or None."""
    return numbers["c"].argmax(1) if "c" in numbers else None


def cases(numbers, prefix):
    """(what stands between `prefix` and the size, size) of the golden numbers of this kind."""
    for key in sorted(numbers):
        if key.startswith(prefix):
            kind = key.removeprefix(prefix).rstrip("0123456789")
            yield key, kind, int(key.removeprefix(prefix).removeprefix(kind))


def test_facts_come_from_the_tensors(golden):
    state, _, file, config = golden
    facts, _ = read_discriminator(state, file)
    whole = published(256, cout=config["cout"], expand=config["expand"], separable=config["separable"])
    kept = config.get("heads", range(config["num_discs"]))
    assert replace(facts, classes=0) == replace(whole, heads=tuple(whole.heads[index] for index in kept))
    assert bool(facts.classes) == config["conditional"]


@pytest.mark.parametrize("way", WAYS)
def test_logits_and_their_gradients_to_images(golden, way):
    """Eval and training mode, disturbed and undisturbed features, every size that the file has."""
    state, numbers, file, _ = golden
    found = set()
    for key, kind, size in cases(numbers, "logits_"):
        mode, _, clean = kind.partition("_")
        discriminator, _ = build(state, file, size=size, disturbed=not clean, way=way)
        discriminator.train(mode == "train")
        if mode == "train":
            discriminator.advance()
        x = numbers[f"x{size}"].clone().requires_grad_()
        logits = discriminator(x, labels(numbers))
        assert error(logits, numbers[key]) < 1e-4, key
        if f"grad_x_{kind}{size}" in numbers:
            (-logits.mean()).backward()
            assert distance(x.grad, numbers[f"grad_x_{kind}{size}"]) < 2e-2, key
        found.add(kind)
    assert {"eval", "train"} <= {kind.partition("_")[0] for kind in found}


@pytest.mark.parametrize("golden", nets("projected", holding="backbone64.2"), indirect=True)
@pytest.mark.parametrize("way", WAYS)
def test_features_before_and_after_mixing(golden, way):
    state, numbers, file, _ = golden
    compared = 0
    for size in {size for _, _, size in cases(numbers, "logits_")}:
        discriminator, _ = build(state, file, size=size, way=way)
        with torch.no_grad():
            x = F.interpolate(numbers[f"x{size}"][:1], size=discriminator.side, mode="bilinear")
            raw, mixed = discriminator.backbone(x), discriminator.projected(numbers[f"x{size}"][:1])
        for kind, features in (("backbone", raw), ("projected", mixed)):
            for index, feature in enumerate(features):
                if f"{kind}{size}.{index}" in numbers:
                    assert error(feature, numbers[f"{kind}{size}.{index}"]) < 1e-5, (kind, index)
                    compared += 1
    assert compared >= 4


@pytest.mark.parametrize("golden", nets("projected", holding="d_loss_fake"), indirect=True)
def test_a_training_step(golden):
    """Fakes first and then reals, each with batch statistics and a power iteration of its own."""
    state, numbers, file, _ = golden
    ((fake, _, size),) = cases(numbers, "x_fake")
    discriminator, names = build(state, file, size=size)
    losses = []
    for key, sign in ((fake, 1), (f"x{size}", -1)):
        discriminator.advance()
        losses.append(F.relu(1 + sign * discriminator(numbers[key], labels(numbers))).mean())
    assert losses[0].item() == pytest.approx(numbers["d_loss_fake"].item(), rel=1e-4)
    assert losses[1].item() == pytest.approx(numbers["d_loss_real"].item(), rel=1e-4)
    sum(losses).backward()
    parameters, buffers = dict(discriminator.named_parameters()), dict(discriminator.named_buffers())
    compared = 0
    for key, reference in numbers.items():
        kind, _, name = key.partition(".")
        if kind == "grad":
            assert distance(parameters[names[name]].grad, reference) < 2e-2, name
        elif kind == "after":
            assert error(buffers[names[name]], reference) < 1e-4, name
        compared += kind in ("grad", "after")
    assert compared >= 6


@pytest.mark.parametrize("golden", nets("projected", holding="backbone._bn0.running_var"), indirect=True)
def test_the_running_statistics_that_the_published_code_disturbs(golden):
    numbers, state = golden[1], networks[True, False].state()
    for key, reference in numbers.items():
        kind, _, name = key.partition(".")
        if kind == "backbone":
            assert error(state[name], reference) < 1e-5, name


@pytest.mark.parametrize(
    ("separable", "classes", "count"),
    [(False, 0, 10_331_328), (True, 0, 696_512), (False, 1000, 12_940_736), (True, 1000, 3_305_920)],
)
def test_parameters_of_the_published_networks(separable, classes, count):
    with torch.device("meta"):
        facts = published(224, separable=separable, classes=classes)
        discriminator = Discriminator(facts, nn.Identity(), size=64, side=224)
    assert sum(p.numel() for p in discriminator.parameters() if p.requires_grad) == count
    inside = [parameter for block in discriminator.blocks() for parameter in block.parameters()]
    assert sorted(map(id, inside)) == sorted(map(id, discriminator.parameters()))
    assert len(discriminator.blocks()) == 5


@pytest.mark.parametrize("side", [64, 96, 128, 160, 192, 224, 256, 512])
@pytest.mark.parametrize("classes", [0, 3])
def test_heads_fit_the_side(side, classes):
    """Four of them at every side, and from 224 px on all are as published."""
    facts = published(side, separable=True, classes=classes)
    depths = {head.scale: len(head.channels) - 1 for head in facts.heads}
    assert len(depths) == 4
    if side == 64:
        assert depths == {0: 3, 1: 2, 2: 1, 3: 0}
    if side >= 224:
        assert depths == {0: 4, 1: 3, 2: 2, 3: 1}
    discriminator = Discriminator(facts, networks[False, True], size=64, side=side)
    expected = sum((last - 3) ** 2 for _, last, _ in discriminator.shapes)
    assert all(last >= min(7, side // 16) for _, last, _ in discriminator.shapes)
    labels = torch.tensor([0, classes - 1]) if classes else None
    images = torch.randn(2, 3, 64, 64, requires_grad=True)
    logits = discriminator(images, labels)
    assert logits.shape == (2, expected)
    logits.sum().backward()
    assert images.grad.abs().sum() > 0
    assert all(p.grad is not None for p in discriminator.parameters() if p.requires_grad)


def test_a_head_without_room_is_refused():
    with pytest.raises(ValueError, match="too small"):
        Discriminator(published(224), networks[False, True], size=64, side=64)


def test_labels_choose_the_weights_of_the_maps():
    facts = published(64, separable=True, classes=3)
    discriminator = Discriminator(facts, networks[False, True], size=64, side=64).eval()
    features = discriminator.features(torch.randn(3, 3, 64, 64))
    logits = discriminator.head(features, torch.tensor([0, 1, 2]))
    by_hand, start = [], 0
    for head, (channels, side, _) in zip(discriminator.heads, discriminator.shapes, strict=True):
        maps = head.last(features[:, start : start + channels * side * side].view(3, channels, side, side))
        vectors = F.leaky_relu(head.embedding.weight @ head.projection.weight.T + head.projection.bias, 0.2)
        by_hand.append(torch.einsum("ncyx,nc->nyx", maps, vectors).flatten(1) / 8)
        start += channels * side * side
    assert torch.allclose(logits, torch.cat(by_hand, 1), atol=1e-5)
    every = torch.stack([discriminator.head(features, torch.full((3,), label)) for label in range(3)])
    assert torch.allclose(discriminator.head(features, None), every.mean(0), atol=1e-5)


@pytest.mark.parametrize("separable", [False, True])
@pytest.mark.parametrize("classes", [0, 3])
@pytest.mark.parametrize("side", [64, 224])
def test_a_state_dict_goes_to_the_published_names_and_back(separable, classes, side):
    facts = published(side, cout=8, separable=separable, classes=classes)
    discriminator = Discriminator(facts, networks[True, True], size=64, side=side)
    written = write_discriminator(discriminator, disturbed=True)
    found, state = read_discriminator(written, "x")
    assert found == facts
    assert read_disturbed(written, "x") is True
    ours = {name: t for name, t in discriminator.state_dict().items() if not name.startswith("backbone.")}
    assert ours.keys() == state.keys()
    assert all(torch.equal(ours[name], state[name]) for name in ours)
    assert ("discriminator.mini_discs.0.cls.weight_u" in written) == bool(classes)
    assert "feature_network.pretrained.layer2.1.2.bn3.running_var" in written
    assert written["feature_network.pretrained.layer0.4.1.conv_pwl.weight"].shape == (24, 144, 1, 1)


def test_other_mixings_are_derived():
    for across, scales, channels in (((8, 8, 8, 8), None, 8), (None, None, 112)):
        head = Head(scale=2, channels=(channels, 16))
        facts = DiscriminatorFacts(across=across, scales=scales, heads=(head,))
        discriminator = Discriminator(facts, networks[False, False], size=128, side=128)
        assert discriminator(torch.randn(1, 3, 128, 128)).shape == (1, 1)
        assert read_discriminator(write_discriminator(discriminator, False), "x")[0] == facts


def test_wrong_discriminator_files_are_refused_by_name():
    discriminator = Discriminator(published(64, separable=True), networks[False, True], size=64, side=64)
    state = write_discriminator(discriminator, disturbed=False)
    assert read_disturbed(state, "x") is False
    assert read_disturbed({name: state[name] for name in state if "pretrained" not in name}, "x") is None
    name = "feature_network.pretrained.layer0.1.running_mean"
    with pytest.raises(UsageError, match="x: its feature network is not EfficientNet-Lite0"):
        read_disturbed(state | {name: state[name] + 1}, "x")
    name = "discriminator.mini_discs.1.main.0.main.0.depthwise.weight_u"
    with pytest.raises(UsageError, match=f"x: tensor {name} is missing"):
        read_discriminator({key: state[key] for key in state if key != name}, "x")
    with pytest.raises(UsageError, match=r"x: tensor discriminator\.other is unknown"):
        read_discriminator(state | {"discriminator.other": torch.zeros(1)}, "x")
    with pytest.raises(UsageError, match="no Projected GAN"):
        read_discriminator({"a": torch.zeros(1)}, "x")
    name = "feature_network.scratch.layer1_csm.out_conv.weight"
    with pytest.raises(UsageError, match="which its features do not have"):
        read_discriminator(state | {name: state[name][:5]}, "x")
