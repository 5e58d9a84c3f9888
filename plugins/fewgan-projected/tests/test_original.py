"""FastGAN's own checkpoints, and the function that its code computes, written out with torch's own layers."""

import copy

import pytest
import torch
from fewgan_projected.architecture import Options, build, read, write
from torch import nn
from torch.nn.utils import spectral_norm

import fewgan
from fewgan.errors import UsageError

WIDTH, LATENT = 8, 12
CHANNELS = {4: 128, 8: 64, 16: 32, 32: 16, 64: 16, 128: 8, 256: 4, 512: 2, 1024: 1}
NONE = torch.zeros(1, 0)


class Noise(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        rows, _, height, width = x.shape
        return x + torch.randn(rows, 1, height, width, dtype=x.dtype) * self.weight


class Part(nn.Module):
    """A sequence that lies under a name of its own."""

    def __init__(self, name, *layers):
        super().__init__()
        self.add_module(name, nn.Sequential(*layers))

    def forward(self, x):
        return next(self.children())(x)


def conv(ins, outs, side):
    return spectral_norm(nn.Conv2d(ins, outs, side, padding=side // 2 if side < 4 else 0, bias=False))


def block(side, big):
    ins, outs = CHANNELS[side // 2], CHANNELS[side]
    layers = [nn.Upsample(scale_factor=2), conv(ins, 2 * outs, 3), nn.BatchNorm2d(2 * outs), nn.GLU(1)]
    if big:
        layers.insert(2, Noise())
        layers += [conv(outs, 2 * outs, 3), Noise(), nn.BatchNorm2d(2 * outs), nn.GLU(1)]
    return nn.Sequential(*layers)


def excitation(side):
    ins, outs = CHANNELS[side // 16], CHANNELS[side]
    return Part("main", nn.AdaptiveAvgPool2d(4), conv(ins, outs, 4), nn.SiLU(), conv(outs, outs, 1), nn.Sigmoid())


class Published(nn.Module):
    """The generator; its parts are made in the order of the published one's, on which `g_ema` depends."""

    def __init__(self, size):
        super().__init__()
        self.size = size
        stem = spectral_norm(nn.ConvTranspose2d(LATENT, 256, 4, bias=False))
        self.init = Part("init", stem, nn.BatchNorm2d(256), nn.GLU(1))
        for side in (8, 16, 32, 64, 128, 256):
            self.add_module(f"feat_{side}", block(side, big=side in (8, 32, 128)))
        for side in (64, 128, 256):
            self.add_module(f"se_{side}", excitation(side))
        self.to_128 = conv(CHANNELS[128], 3, 1)
        self.to_big = conv(CHANNELS[size], 3, 3)
        if size >= 512:
            self.feat_512, self.se_512 = block(512, big=True), excitation(512)
        if size == 1024:
            self.feat_1024 = block(1024, big=False)

    def forward(self, z):
        at = {4: self.init(z[:, :, None, None])}
        side = 4
        while side < self.size:
            side *= 2
            at[side] = self.get_submodule(f"feat_{side}")(at[side // 2])
            if 64 <= side <= 512:
                at[side] = at[side] * self.get_submodule(f"se_{side}")(at[side // 16])
        image = self.to_big(at[side])
        return torch.tanh(image) if side == 1024 else image


@torch.no_grad()
def trained(size, seed=0):
    """In eval mode, with the buffers that forwards in training mode leave behind."""
    torch.manual_seed(seed)
    net = Published(size)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.8
            module.weight.normal_(2, 0.5)
            module.bias.normal_()
        if isinstance(module, Noise):
            module.weight.normal_()
    for _ in range(3):
        net(torch.randn(4, LATENT))
    net.to_big.weight_u.mul_(0.2)  # so that images leave [-1, 1] where nothing squashes them
    return net.eval()


def checkpoint(net):
    """What the published loop saves as all_….pth, and the network with the averages in it, which ….pth holds."""
    average = [parameter.data * (1 + 0.1 * torch.randn_like(parameter)) for parameter in net.parameters()]
    averaged = copy.deepcopy(net)
    for parameter, mean in zip(averaged.parameters(), average, strict=True):
        parameter.data.copy_(mean)
    optimizer = torch.optim.Adam(net.parameters()).state_dict()
    content = {"g": net.state_dict(), "d": judge(), "g_ema": average, "opt_g": optimizer, "opt_d": optimizer}
    return content, averaged


def judge():
    return {"down_from_big.0.weight_orig": torch.zeros(4, 3, 3, 3), "decoder_big.main.1.weight_orig": torch.zeros(1)}


def state(model):
    return model.generator.state_dict()


@torch.no_grad()
@pytest.mark.parametrize("size", [256, 512, 1024])
def test_images_are_those_of_the_published_code(tmp_path, size):
    content, averaged = checkpoint(trained(size))
    torch.save(content, tmp_path / "all_50000.pth")
    model = fewgan.load(tmp_path / "all_50000.pth")
    facts = model.generator.facts
    assert (model.architecture.name, facts.size, facts.width, facts.latent_dim) == ("fastgan", size, WIDTH, LATENT)
    z = torch.randn(2, LATENT, dtype=torch.float64)
    torch.manual_seed(1)
    expected = averaged.double()(z)
    torch.manual_seed(1)  # the noise is drawn in the same order
    found = model.generator.double()(z, NONE)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
    assert (found.abs().amax() > 1) == (size < 1024)
    assert not model.has_discriminator
    (note,) = model.config["notes"]
    assert note == "the discriminator beside all_50000.pth is FastGAN's own, not Projected GAN's; not read"


def test_a_file_without_the_list_has_the_averages_in_g(tmp_path):
    content, averaged = checkpoint(trained(256))
    torch.save(content, tmp_path / "all_50000.pth")
    torch.save({"g": averaged.state_dict(), "d": judge()}, tmp_path / "50000.pth")
    torch.save(averaged.state_dict(), tmp_path / "generator.pt")
    first, *others = (state(fewgan.load(tmp_path / name)) for name in ("all_50000.pth", "50000.pth", "generator.pt"))
    for other in others:
        assert all(torch.equal(tensor, first[name]) for name, tensor in other.items())


def test_of_several_the_last_step_is_read():
    files, average = {}, {}
    for step in (9000, 10000):
        content, averaged = checkpoint(trained(256, seed=step))
        files |= {f"all_{step}.pth": content, f"{step}.pth": {"g": averaged.state_dict(), "d": judge()}}
        average[step] = averaged
    found = read(files)
    assert found.notes == ("the discriminator beside all_10000.pth is FastGAN's own, not Projected GAN's; not read",)
    assert torch.equal(found.generator["stem.conv.weight"], average[10000].init.init[0].weight_orig)


def test_names_of_data_parallel_and_an_average_by_name():
    net = trained(256)
    content, averaged = checkpoint(net)
    expected = read({"all_1.pth": content}).generator
    parallel = {f"module.{name}": tensor for name, tensor in content["g"].items()}
    by_name = {f"module.{name}": tensor for name, tensor in averaged.state_dict().items()}
    for changed in ({"g": parallel}, {"g": parallel, "g_ema": by_name}):
        found = read({"all_1.pth": content | changed})
        assert all(torch.equal(tensor, expected[name]) for name, tensor in found.generator.items())
    separate = read({"g.pth": parallel, "d.pth": {f"module.{name}": tensor for name, tensor in judge().items()}})
    assert torch.equal(separate.generator["output.weight"], net.to_big.weight_orig)
    assert len(separate.notes) == 1


def test_an_average_that_does_not_fit_is_told():
    net = trained(256)
    content, _ = checkpoint(net)
    swapped = [content["g_ema"][1], content["g_ema"][0], *content["g_ema"][2:]]
    for average in (content["g_ema"][:-1], swapped, None):
        found = read({"all_1.pth": content | {"g_ema": average}})
        assert found.notes[0] == "g_ema of all_1.pth does not fit its generator; g was read, which is not averaged"
        assert torch.equal(found.generator["stem.conv.weight"], net.init.init[0].weight_orig)


@torch.no_grad()
@pytest.mark.parametrize("size", [256, 1024])
def test_an_export_is_what_the_published_code_reads(tmp_path, size):
    net = trained(size)
    found = read({"g.pth": net.state_dict()})
    options = Options(width=WIDTH, latent_dim=LATENT, lite=False, original=True, huggan=False)
    assert found.options == options
    made = build(Options(**{**vars(options), "side": 64}), size=size, classes=0).with_discriminator()
    made.generator.load_state_dict(found.generator)
    files = write(made)
    assert files.keys() == {"fastgan.pth", "D.pth", "arguments.pth"}
    other = Published(size)
    other.load_state_dict(files["fastgan.pth"]["g"])
    expected = {
        name: tensor
        for name, tensor in net.state_dict().items()
        if not name.startswith("to_128") and "num_" not in name
    }
    assert all(torch.equal(tensor, other.state_dict()[name]) for name, tensor in expected.items())
    again = read(files)
    assert (again.size, again.options.huggan, again.options.side, again.notes) == (size, False, 64, ())
    assert all(torch.equal(tensor, again.generator[name]) for name, tensor in found.generator.items())
    assert again.discriminator is not None


def test_a_damaged_checkpoint_is_one_line(tmp_path):
    content, _ = checkpoint(trained(256))
    del content["g"]["se_64.main.1.weight_u"]
    torch.save(content, tmp_path / "all_1.pth")
    with pytest.raises(UsageError, match=r"all_1.pth: tensor se_64.main.1.weight_u is missing \(read as fastgan\)$"):
        fewgan.load(tmp_path)
    with pytest.raises(UsageError, match="no FastGAN generator of 512 px and width 2 has these tensors"):
        read({"x": {"init.init.0.weight_orig": torch.zeros(9, 64, 4, 4), "feat_512.1.weight_orig": torch.zeros(1)}})
