"""Golden numbers of the published code: those beside the tests, and whole networks in the folder of FEWGAN_GOLDEN.

Beside the tests are D, the part of G after its first map with the tokens that it gets, and one image per operation.
"""

import json
import math
import os
from functools import partial
from pathlib import Path

import pytest
import torch
from fewgan_transgan import losses
from fewgan_transgan import operations as ops
from fewgan_transgan.discriminator import Discriminator
from fewgan_transgan.files import discriminator_name, generator_name, read_discriminator, read_generator, write
from fewgan_transgan.generator import Blocks, Generator
from fewgan_transgan.layers import to_map
from fewgan_transgan.shapes import GeneratorShape, Stage
from safetensors.torch import load_file
from test_transgan_training import trained

HERE = Path(__file__).parent / "golden" / "transgan-32"
GIVEN = sorted(Path(os.environ.get("FEWGAN_GOLDEN", "")).glob("transgan-*")) if "FEWGAN_GOLDEN" in os.environ else []
FOLDERS = [HERE, *GIVEN]


def error(found, reference):
    return ((found - reference).abs().max() / reference.abs().max()).item()


def discriminator(folder, dtype=torch.float64):
    shape, classes, state = read_discriminator(load_file(folder / "D.safetensors"), "D")
    made = Discriminator(shape, classes)
    made.load_state_dict(state)
    return made.to(dtype)


def generator(folder):
    shape, classes, state = read_generator(load_file(folder / "G.safetensors"), "G")
    made = Generator(shape, classes)
    made.load_state_dict(state)
    return made.double()


@pytest.fixture(params=FOLDERS, ids=lambda folder: folder.parent.name + folder.name)
def folder(request):
    return request.param


@pytest.mark.parametrize(("dtype", "bound"), [(torch.float64, 1e-9), (torch.float32, 1e-4)])
def test_logits(folder, dtype, bound):
    numbers, made = load_file(folder / "io.safetensors"), discriminator(folder, dtype)
    for key, images in (("real", numbers["x"]), ("fake", numbers["image_f64"])):
        assert error(made(images.to(dtype))[:, None].double(), numbers[f"logit_{key}_f64"]) < bound


def test_the_penalty_and_its_gradients(folder):
    numbers, made = load_file(folder / "io.safetensors"), discriminator(folder)
    x, fake, alpha = numbers["x"].double(), numbers["image_f64"], numbers["alpha"].double()
    between = (alpha * x + (1 - alpha) * fake).requires_grad_()
    found = losses.penalty(made(between), between)
    assert error(found, numbers["gradient_penalty_f64"]) < 1e-9
    real = made(x).mean()
    loss = made(fake).mean() - real + 10 * found + 0.001 * real.square()
    assert error(loss, numbers["discriminator_loss_f64"]) < 1e-9
    compared = 0
    for name, value in (("grad_gp", found), ("grad", loss)):
        gradients = torch.autograd.grad(value, list(made.parameters()), retain_graph=True, allow_unused=True)
        for (key, _), gradient in zip(made.named_parameters(), gradients, strict=True):
            reference = numbers.get(f"{name}.D.{discriminator_name(key)}")
            if reference is not None:
                assert error(gradient, reference) < 1e-9, key
                compared += 1
    assert compared >= 8


def test_the_noise_of_attention_is_drawn_in_the_order_of_forward(folder):
    numbers, made = load_file(folder / "io.safetensors"), discriminator(folder, torch.float32)
    strengths = [p for name, p in made.named_parameters() if name.endswith("noise_strength_1")]
    with torch.no_grad():
        for parameter, value in zip(strengths, numbers["noise_strength"], strict=True):
            parameter.copy_(value)
        torch.manual_seed(7)
        assert error(made(numbers["x"])[:, None], numbers["logit_real_noise"]) < 1e-4
        torch.manual_seed(7)
        for number in range(len(strengths)):
            assert torch.equal(torch.randn(numbers[f"noise.{number}"].shape), numbers[f"noise.{number}"])


def test_the_index_of_the_bias_table_is_that_of_the_files(folder):
    numbers = load_file(folder / "io.safetensors")
    key = next(name for name in numbers if name.startswith("relative_position_index"))
    state = write(discriminator(folder))
    table = f"blocks_2.0.attn.{key.rpartition('_')[0]}"
    assert torch.equal(state[table], numbers[key].long())
    original = load_file(folder / "D.safetensors")
    assert original.keys() == {name for name in state if not name.endswith("relative_position_index")}
    assert all(torch.equal(state[name].float(), original[name]) for name in original)


def test_maps_that_grow_by_pixel_shuffle():
    part, numbers = load_file(HERE / "G-part.safetensors"), load_file(HERE / "io.safetensors")
    stages = [Stage(side=8, width=64, depth=0, window=8, up="")]
    stages += [Stage(side=s, width=w, depth=d, window=s, up="shuffle") for s, w, d in ((16, 16, 2), (32, 4, 1))]
    shape = GeneratorShape(latent_dim=1, stages=tuple(stages))
    made = Generator(shape)
    state = {name: part.get(generator_name(name, shape), tensor) for name, tensor in made.state_dict().items()}
    unused = part.keys() - {generator_name(name, shape) for name in state}
    assert unused == {"tokens_f64"}
    made.load_state_dict(state)
    x = part["tokens_f64"]
    for stage in made.double().stages[1:]:
        assert isinstance(stage, Blocks)
        x = stage(x, None)
    assert error(made.output(to_map(x)), numbers["image_f64"][:2]) < 1e-9


@pytest.mark.skipif(not GIVEN, reason="whole generators are in the folder of FEWGAN_GOLDEN")
def test_images_and_gradients_of_whole_generators():
    for folder in GIVEN:
        numbers, made, judge = load_file(folder / "io.safetensors"), generator(folder), discriminator(folder)
        z = numbers["z"].double().requires_grad_()
        images = made(z, z[:, :0])
        assert error(images, numbers["image_f64"]) < 1e-9
        assert error(made.float()(z.float(), z[:, :0]), numbers["image_eval"]) < 1e-4
        loss = -judge(images).mean()
        assert error(loss, numbers["generator_loss_f64"]) < 1e-9
        made.double()
        loss = -judge(made(z, z[:, :0])).mean()
        names = dict(made.named_parameters())
        gradients = torch.autograd.grad(loss, [z, *names.values()])
        assert error(gradients[0], numbers["grad_z_f64"]) < 1e-9
        norm = torch.stack([gradient.norm() for gradient in gradients[1:]]).norm()
        assert error(norm, numbers["grad_norm_G_f64"]) < 1e-9
        found = {f"grad.G.{generator_name(n, made.shape)}": g for n, g in zip(names, gradients[1:], strict=True)}
        compared = [error(found[key], numbers[key]) for key in numbers if key.startswith("grad.G.")]
        assert len(compared) > 5
        assert max(compared) < 1e-9


@pytest.mark.skipif(not GIVEN, reason="whole trainings are in the folder of FEWGAN_GOLDEN")
def test_five_steps_of_training():
    """Each D step starts from cleared gradients, which the published loop does not do after a step of G."""
    for folder in GIVEN:
        settings = json.loads((folder / "train.json").read_text())
        numbers = load_file(folder / "train.safetensors")
        made = trained(generator(folder), discriminator(folder), numbers, settings)
        named = partial(generator_name, shape=made["G"].shape)
        names = {"G": named, "D": discriminator_name, "ema": named}
        compared = 0
        for side, network in made.items():
            for name, parameter in network.named_parameters():
                reference = numbers.get(f"clean.{side}.{names[side](name)}")
                if reference is not None:
                    assert (parameter - reference).abs().max() < 1e-9, name
                    compared += 1
        assert compared == sum(key.startswith("clean.") for key in numbers)


AUG = [load_file(folder / "aug.safetensors") for folder in FOLDERS]
RUN = {
    "translation": ops.translation,
    "color": ops.color,
    "hue": lambda x, turn, coin: ops.hue(x, torch.where(coin < ops.HUE, (2 * turn - 1) * math.pi, 0)),
    "cutout": lambda x, coin, *centre: ops.erase(x, (torch.tensor(x.shape[-1] // 2),) * 2, *centre, coin < ops.COIN),
    "erase_ratio": lambda x, height, width, coin, *centre: ops.erase(x, (height, width), *centre, coin < ops.COIN),
}
RUN["stl_erase_ratio"] = RUN["erase_ratio"]


def _filtered(x, *draws):
    gains = [torch.where(u < ops.FILTER, torch.exp2(n), 1) for n, u in zip(draws[::2], draws[1::2], strict=True)]
    return ops.band_filter(x, torch.stack(gains, 1))


def _policy(x, *draws):
    x = RUN["cutout"](RUN["translation"](x, *draws[:2]), *draws[2:5])
    return RUN["color"](x, *draws[5:])


RUN |= {"filter": _filtered, "translation+cutout+color": _policy}


@pytest.mark.parametrize("numbers", AUG, ids=[str(number) for number in range(len(AUG))])
@pytest.mark.parametrize("name", RUN)
def test_operations_from_their_draws(numbers, name):
    x = numbers[f"{name}.x"].double().requires_grad_()
    draws = [numbers[f"{name}.draw{i}"] for i in range(20) if f"{name}.draw{i}" in numbers]
    out = RUN[name](x, *draws)
    assert (out - numbers[f"{name}.output"]).abs().max() < 1e-5
    weights = torch.linspace(-1, 1, 4 * x[0].numel(), dtype=torch.float64).view(4, *x.shape[1:])
    if f"{name}.row" in numbers:
        weights = weights[numbers[f"{name}.row"]][None]
    (gradient,) = torch.autograd.grad((out * weights).sum(), x)
    assert error(gradient, numbers[f"{name}.grad_x"]) < 1e-5


def test_the_filter_bank():
    assert torch.allclose(ops.filter_bank(), AUG[0]["filter_bank"], atol=1e-12)
