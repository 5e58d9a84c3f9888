"""ContraD against numbers of the published code: its losses, the operations of its views, and whole steps."""

import pytest
import torch
from contrad_golden import CONFIG, Operation, error, operations, read
from fewgan_contrad import colour, geometry, losses
from fewgan_contrad.contrad import ContraD
from fewgan_contrad.heads import Heads
from torch import nn
from torch.nn import functional as F

from fewgan.plugin import Step

NAMES = {"nonsat": "nonsaturating", "wgan": "wasserstein"}
TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4}


@pytest.fixture(scope="module")
def numbers():
    return read("losses")


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("count", CONFIG["Ns"])
def test_contrastive_losses_and_their_gradients(numbers, count, dtype):
    values = f"n{count}." if dtype == torch.float64 else f"n{count}.f32."
    total = 0.0
    for loss, projection in (("L_real", "projection"), ("L_fake", "projection2")):
        rows = numbers[f"n{count}.{projection}"].to(dtype).requires_grad_()
        parts = rows.chunk(3)
        if loss == "L_real":
            found = losses.real_contrast(*parts[:2], CONFIG["temp"])
        else:
            found = losses.fake_contrast(*parts, CONFIG["temp"])
        total += found * (1 if loss == "L_real" else CONFIG["lbd_a"])
        (gradient,) = torch.autograd.grad(found, rows, retain_graph=True)
        assert found.dtype == numbers[f"{values}{loss}"].dtype == dtype
        assert error(found, numbers[f"{values}{loss}"]) < TOLERANCE[dtype]
        assert error(gradient, numbers[f"n{count}.grad_{loss}"]) < TOLERANCE[dtype]
    assert error(total, numbers[f"{values}contrastive_total"]) < TOLERANCE[dtype]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("count", CONFIG["Ns"])
@pytest.mark.parametrize("loss", ["nonsat", "hinge", "wgan", "lsgan"])
def test_gan_losses_and_their_gradients(numbers, count, dtype, loss):
    values = f"n{count}." if dtype == torch.float64 else f"n{count}.f32."
    logits = numbers[f"n{count}.logit"].to(dtype).requires_grad_()
    real, _, fake = logits.chunk(3)
    found = losses.discriminator_loss(NAMES.get(loss, loss), real, fake)
    assert error(found, numbers[f"{values}L_dis_{loss}"]) < TOLERANCE[dtype]
    (gradient,) = torch.autograd.grad(found, logits)
    assert error(gradient, numbers[f"n{count}.grad_L_dis_{loss}"]) < TOLERANCE[dtype]
    expected = numbers[f"{values}G_{'wgan' if loss == 'hinge' else loss}"]
    assert error(losses.generator_loss(NAMES.get(loss, loss), fake), expected) < TOLERANCE[dtype]


def crop(images, golden):
    """The crop of the samples that there are, out of the draws of the whole batch."""
    side, count = images.shape[-1], golden.whole
    wide, high, fits = geometry.box_sides(golden.tensors["area"], golden.tensors["log_ratio"], side)
    wide, high = wide[fits], high[fits]
    if "choice" in golden.tensors:
        wide, high = (pixels[golden.tensors["choice"]] for pixels in (wide, high))
    assert len(wide) == len(golden.tensors["shift_w"]) <= count
    whole = [side] * (count - len(wide))
    sides = [torch.cat((pixels, torch.tensor(whole, dtype=torch.int64))) for pixels in (wide, high)]
    places = [F.pad(golden.tensors[f"shift_{name}"], (0, len(whole))) for name in "wh"]
    theta = golden.tensors["theta"] * side
    assert torch.equal(theta[:, 0, 0].long(), sides[0])
    assert torch.equal(theta[:, 1, 1].long(), sides[1])
    assert all((place.abs() <= side - pixels).all() for place, pixels in zip(places, sides, strict=True))
    return geometry.crop(images, *(part[list(golden.rows)] for part in (*sides, *places)))


def jitter(images, golden, *, contrast_first):
    def hsv(images):
        return colour.shift_hsv(images, golden["hue"] * 255 / 360, golden["saturation"], golden["value"])

    if contrast_first:
        return hsv(colour.contrast(images, golden["contrast"]))
    return colour.contrast(hsv(images), golden["contrast"])


DONE = {
    "crop": crop,
    "crop_few": crop,
    "flip": lambda x, golden: geometry.flip(x, golden["draw"] == 0),
    "contrast": lambda x, golden: colour.contrast(x, golden["factor"]),
    "hsv": lambda x, golden: colour.shift_hsv(x, golden["hue"] * 255 / 360, golden["saturation"], golden["value"]),
    "jitter_contrast_first": lambda x, golden: jitter(x, golden, contrast_first=True),
    "jitter_hsv_first": lambda x, golden: jitter(x, golden, contrast_first=False),
    "grey": lambda x, golden: colour.grey(x),
    "apply_grey": lambda x, golden: torch.where(golden["mask"].view(-1, 1, 1, 1) == 1, colour.grey(x), x),
    "blur": lambda x, golden: geometry.blur(x, golden["sigma"]),
    "cutout": lambda x, golden: geometry.cutout(x, golden["row"], golden["col"], CONFIG["cut"]),
}
OPERATIONS = [name for name in operations() if name not in ("rgb2hsv", "flip_shift")]  # flip_shift: CR's


def test_every_operation_of_the_views_is_there():
    assert {name.split(".")[0] for name in OPERATIONS} == set(DONE)


@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_from_their_draws(name):
    golden = Operation(name)
    images = golden.images.clone().requires_grad_()
    output = DONE[name.split(".")[0]](images, golden)
    assert (output - golden.tensors["output"]).abs().max() < 1e-5
    assert (golden.gradient(output, images) - golden.tensors["grad_x"]).abs().max() < 1e-5


def test_hsv_and_back():
    golden = Operation("rgb2hsv").tensors
    hsv = colour.rgb_to_hsv(golden["x"])
    assert (hsv - golden["output"]).abs().max() < 1e-5
    assert (colour.hsv_to_rgb(hsv) - golden["back"]).abs().max() < 1e-5


class Encoder(nn.Module):
    """The golden encoder as a discriminator of fewgan; given images in [-1, 1]."""

    def __init__(self, channels, size):
        super().__init__()
        self.size = size
        self.conv0 = nn.Conv2d(3, channels, 3, 1, 1)
        self.conv1 = nn.Conv2d(channels, 2 * channels, 4, 2, 1)
        self.conv2 = nn.Conv2d(2 * channels, 2 * channels, 4, 2, 1)

    def features(self, images):
        for conv in (self.conv0, self.conv1, self.conv2):
            images = F.leaky_relu(conv(images), 0.1)
        return images.flatten(1)


class Game:
    """The golden networks in float64 and their steps; the views are given, so images are what they show."""

    def __init__(self, **options):
        self.numbers = {name: tensor.double() for name, tensor in read("step").items()}
        weights = {name: tensor.double() for name, tensor in read("step_weights").items()}
        self.encoder = Encoder(CONFIG["ch"], CONFIG["img"]).double()
        inner = {name: weights.pop(name) for name in self.encoder.state_dict()}
        self.encoder.load_state_dict(inner)
        heads = Heads(weights["linear.l1.weight"].shape[1], hidden=CONFIG["hid"], projection=CONFIG["proj"]).double()
        heads.load_state_dict(weights)
        options = {"temperature": CONFIG["temp"], "fake_weight": CONFIG["lbd_a"]} | options
        self.contrad = ContraD(self.encoder.features, heads, self.views, **options)
        self.parameters = dict(self.encoder.named_parameters()) | dict(heads.named_parameters())
        self.fake = self.numbers["fake_view"].clone().requires_grad_()

    def views(self, images):
        """Photos come as view1 and again as their second view."""
        if len(images) == CONFIG["N"]:
            return images
        first, _, fakes = images.chunk(3)
        return torch.cat((first, self.numbers["view2"], fakes))

    def step(self, side, index=0):
        real = self.numbers["view1"] * 2 - 1 if side == "discriminator" else None
        fake = self.fake * 2 - 1
        fake = fake.detach() if side == "discriminator" else fake
        absent = dict.fromkeys(("labels", "fake_labels", "z", "logits_real", "logits_fake", "generator", "generate"))
        shown = {"real": real, "real_augmented": real, "fake": fake, "fake_augmented": fake, "augment": None}
        clock = {"index": index, "images_seen": 0, "planned_images": 1}
        return Step(**clock, **shown, **absent, discriminator=self.encoder)

    def check(self, loss, name):
        """The loss and its gradient for every parameter, zeros included."""
        assert error(loss, self.numbers[name]) < 1e-9
        gradients = torch.autograd.grad(loss, list(self.parameters.values()), allow_unused=True, retain_graph=True)
        for parameter, found in zip(self.parameters, gradients, strict=True):
            expected = self.numbers[f"grad_{name}.{parameter}"]
            if not expected.any():
                assert found is None or not found.any(), parameter
            else:
                assert found is not None, parameter
                assert error(found, expected) < 1e-9, parameter


def test_a_step_of_d_and_what_each_loss_trains():
    game = Game()
    contrad, numbers, step = game.contrad, game.numbers, game.step("discriminator")
    real, fake = contrad.logits(step)
    count = CONFIG["N"]
    assert error(real, numbers["forward.logit"][:count, 0]) < 1e-9
    assert error(fake, numbers["forward.logit"][2 * count :, 0]) < 1e-9
    judged = contrad._judged
    features = torch.cat(judged.features)
    if "forward.penultimate" in numbers:
        assert error(features, numbers["forward.penultimate"]) < 1e-9
    assert error(contrad.heads.projection(features), numbers["forward.projection"]) < 1e-9
    assert error(contrad.heads.projection2(features), numbers["forward.projection2"]) < 1e-9
    game.check(losses.discriminator_loss("nonsaturating", real, fake), "L_dis")
    contrast = contrad._contrast(judged)
    assert error(contrast, numbers["d_loss"]) < 1e-9
    assert error(contrad.loss_real.double(), numbers["L_real"]) < 1e-6
    assert error(contrad.loss_fake.double(), numbers["L_fake"]) < 1e-6
    total = contrad.discriminator_loss(step)
    assert contrad._judged is None
    if "grad_total.conv0.weight" in numbers:
        game.check(total, "total")
    parts = {name: total.new_zeros(()) for name in game.parameters}
    for name in parts:
        parts[name] = sum(numbers[f"grad_{loss}.{name}"] for loss in ("L_real", "L_fake", "L_dis"))
    gradients = torch.autograd.grad(total, list(game.parameters.values()))
    for (name, expected), found in zip(parts.items(), gradients, strict=True):
        assert error(found, expected) < 1e-9, name
    assert error(total, numbers["total"]) < 1e-9


@pytest.mark.parametrize(("weight", "loss"), [(0.0, "L_real"), (1.0, "L_fake")])
def test_each_contrastive_loss_alone(weight, loss):
    game = Game(fake_weight=weight)
    contrad, step = game.contrad, game.step("discriminator")
    contrad.logits(step)
    judged = contrad._judged
    found = contrad._contrast(judged)
    if loss == "L_fake":
        contrad.fake_weight = 0.0
        found = found - contrad._contrast(judged)
    game.check(found, loss)


def test_r1_goes_through_the_features_and_counts_every_so_many_steps():
    game = Game()
    contrad, step = game.contrad, game.step("discriminator")
    game.check(contrad._r1(step, game.numbers["view1"]), "r1")
    without = contrad.discriminator_loss(step)
    contrad.r1, contrad.r1_every = 0.5, 16
    lazy = contrad.discriminator_loss(step) - without
    assert error(lazy, 16 * 0.5 / 2 * game.numbers["r1"]) < 1e-9
    assert torch.equal(contrad.discriminator_loss(game.step("discriminator", index=8)), without)


def test_a_step_of_g():
    game = Game()
    loss = game.contrad.generator_loss(game.step("generator"))
    assert error(loss, game.numbers["G.loss"]) < 1e-9
    (gradient,) = torch.autograd.grad(loss, game.fake)
    assert error(gradient, game.numbers["G.grad_fake_view"]) < 1e-9
