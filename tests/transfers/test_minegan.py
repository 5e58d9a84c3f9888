from __future__ import annotations

from typing import Any

import pytest
import torch
from goldens import GOLDEN
from safetensors.torch import load_file

from fewgan.architectures import biggan
from fewgan.plugin import Networks, UsageError
from fewgan.transfers.minegan import Options, plugin
from fewgan.transfers.minegan.miner import MineGAN, Miner

MINEGAN = GOLDEN / "minegan-64"


def networks(classes: int = 1) -> Networks:
    built: Networks = biggan.plugin.build(biggan.Options(width=2), size=32, classes=classes)
    return built


def build(classes: int = 1, **options: Any) -> tuple[MineGAN, Networks]:
    built = networks(classes)
    return plugin.build(Options(**options), networks=built), built


def golden_miner() -> tuple[Miner, dict[str, torch.Tensor]]:
    weights = torch.load(MINEGAN / "M.pth", weights_only=True)
    del weights["shared.weight"]  # an unused tensor of the public code
    miner = Miner(120, 32)
    miner.load_state_dict(weights)  # strict: the names are the public ones
    return miner, load_file(MINEGAN / "io.safetensors")


def test_golden_miner() -> None:
    miner, golden = golden_miner()
    mined, condition = miner.eval()(golden["z"], torch.zeros(4, dtype=torch.int64))
    for got, name in ((mined, "mined_z"), (condition, "mined_class_embedding")):
        assert (got - golden[name]).abs().max() <= 1e-4 * golden[name].abs().max()
    assert miner.linear.sigma().item() == pytest.approx(1.71960, abs=2e-5)


def test_golden_image_through_the_generator() -> None:
    assert biggan.plugin.read is not None
    found = biggan.plugin.read({"G_ema.pth": torch.load(MINEGAN / "G.pth", weights_only=True)})
    assert found is not None
    generator: Any = biggan.plugin.build(found.options, size=found.size, classes=found.classes).generator
    generator.load_state_dict(found.generator)
    generator.eval()
    miner, golden = golden_miner()
    image = load_file(MINEGAN / "io.safetensors")["image_eval"]
    got = generator(*miner.eval()(golden["z"], torch.zeros(4, dtype=torch.int64)))
    assert (got - image).abs().max() <= 1e-4 * image.abs().max()


def test_forward_changes_no_state_and_advance_does() -> None:
    miner = Miner(8, 4)
    before = {name: tensor.clone() for name, tensor in miner.state_dict().items()}
    miner(torch.randn(3, 8), torch.zeros(3, dtype=torch.int64))
    assert all(torch.equal(before[name], tensor) for name, tensor in miner.state_dict().items())
    miner.advance()
    assert all(not torch.equal(before[f"linear{i}.u0"], miner.state_dict()[f"linear{i}.u0"]) for i in range(2, 9))


def test_orthogonal_start() -> None:
    weight = Miner(16, 4).linear3.weight
    torch.testing.assert_close(weight @ weight.t(), torch.eye(16), rtol=0, atol=1e-5)


def test_generator_without_condition_gets_a_mined_z_alone() -> None:
    mined, condition = Miner(8, 0)(torch.randn(3, 8), torch.zeros(3, dtype=torch.int64))
    assert mined.shape == (3, 8)
    assert condition.shape == (3, 0)
    transfer, built = build(classes=0)
    assert {name.split(".")[0] for name in transfer.mapper.state_dict()} == {
        "linear",
        "linear2",
        "linear3",
        "linear4",
    }
    images = built.generator(
        *transfer.mapper(torch.randn(2, built.generator.latent_dim), torch.zeros(2, dtype=torch.int64))
    )
    assert images.shape == (2, 3, 32, 32)


def test_what_it_asks_of_the_core() -> None:
    transfer, _ = build()
    assert plugin.needs_source
    assert not transfer.conditional
    # Only the miner is stored with it: the networks have their own place in a checkpoint.
    assert all(name.startswith("mapper.linear") for name in transfer.state_dict())


def test_stages() -> None:
    transfer, built = build()
    generator: Any = built.generator
    discriminator: Any = built.discriminator
    stage_1 = {id(p) for p in transfer.trainable(0, 4000) or ()}
    assert stage_1 == {id(p) for p in [*transfer.mapper.parameters(), *discriminator.parameters()]}
    assert not stage_1 & {id(p) for p in generator.parameters()}
    stage_2 = {id(p) for p in transfer.trainable(300, 4000) or ()}
    assert stage_2 == {id(p) for p in [*generator.parameters(), *discriminator.parameters()]}
    assert build(second_rate=1e-4)[0].trainable(300, 4000) is None  # as published


@pytest.mark.parametrize(
    ("miner_steps", "steps", "expected"),
    [(None, 4000, 300), (None, 1200, 300), (None, 1000, 250), (None, 3, 0), (500, 1000, 500), (0, 1000, 0), (7, 3, 3)],
)
def test_length_of_stage_1(miner_steps: int | None, steps: int, expected: int) -> None:
    transfer, _ = build(miner_steps=miner_steps)
    (first, *_) = transfer.mapper.parameters()
    mined = [any(p is first for p in transfer.trainable(index, steps) or ()) for index in range(steps)]
    assert sum(mined) == expected


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [(None, None, (5e-4, 0.0)), (1e-4, 1e-4, (1e-4, 1e-4)), (0.0, 3e-3, (0.0, 3e-3)), (0.0, 0.0, (0.0, 0.0))],
)
def test_the_miner_has_rates_of_its_own(first: float | None, second: float | None, expected: Any) -> None:
    transfer, _ = build(learning_rate=first, second_rate=second)
    (group,) = transfer.groups()
    rates = [group.learning_rate * group.schedule(index, 1000) for index in (0, 249, 250, 999)]
    assert rates == pytest.approx([expected[0], expected[0], expected[1], expected[1]])
    assert group.network == "generator"
    assert {id(p) for p in group.parameters} == {id(p) for p in transfer.mapper.parameters()}


def test_several_classes_name_what_can() -> None:
    with pytest.raises(UsageError, match="finetune") as raised:
        build(classes=3)
    assert "\n" not in str(raised.value)
