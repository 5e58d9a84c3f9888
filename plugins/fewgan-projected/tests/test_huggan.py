"""FastGANs of HugGAN: their names, and the function that their code computes, written out with torch's own layers."""

import pytest
import torch
from fewgan_projected.architecture import Options, build, write
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import spectral_norm

import fewgan
from fewgan.errors import UsageError

WIDTH, LATENT = 8, 12
CHANNELS = {4: 128, 8: 64, 16: 32, 32: 16, 64: 16, 128: 8, 256: 4, 512: 2, 1024: 1}
PAIRS = ((4, 64), (8, 128), (16, 256), (32, 512))


class Held(nn.Module):
    """Modules under the names of the files."""

    def __init__(self, **parts):
        super().__init__()
        for name, part in parts.items():
            self.add_module(name, part)


def conv(ins, outs, side, make=nn.Conv2d):
    return Held(_conv=spectral_norm(make(ins, outs, side, padding=1 if side == 3 else 0, bias=False)))


class Noise(nn.Module):
    def __init__(self):
        super().__init__()
        self._weight = nn.Parameter(torch.randn(1))


def layers(*numbered):
    return Held(_layers=nn.ModuleDict({str(index): part for index, part in numbered}))


def up(ins, outs, big):
    parts = [(1, conv(ins, 2 * outs, 3))]
    if not big:
        return layers(*parts, (2, nn.BatchNorm2d(2 * outs)))
    parts += [(2, Noise()), (3, nn.BatchNorm2d(2 * outs)), (5, conv(outs, 2 * outs, 3))]
    return layers(*parts, (6, Noise()), (7, nn.BatchNorm2d(2 * outs)))


@pytest.fixture(scope="module")
def published():
    torch.manual_seed(0)
    net = Held(_init=layers((0, conv(LATENT, 256, 4, nn.ConvTranspose2d)), (1, nn.BatchNorm2d(256))))
    for side in list(CHANNELS)[1:]:
        block = up(CHANNELS[side // 2], CHANNELS[side], big=side in (8, 32, 128, 512))
        net.add_module(f"_upsample_{side}", block)
    for low, high in PAIRS:
        ins, outs = CHANNELS[low], CHANNELS[high]
        net.add_module(f"_sle_{high}", layers((1, conv(ins, outs, 4)), (3, conv(outs, outs, 1))))
    net.add_module("_out_128", nn.Sequential(conv(8, 3, 1)))
    net.add_module("_out_1024", nn.Sequential(conv(1, 3, 3)))
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight.data, module.bias.data, module.running_mean):
                tensor.normal_(1, 0.3)
        if hasattr(module, "weight_u"):  # near the largest singular value, as in a trained network
            weight = module.weight_orig.data
            matrix = (weight.transpose(0, 1) if isinstance(module, nn.ConvTranspose2d) else weight).flatten(1)
            left, _, right = torch.linalg.svd(matrix, full_matrices=False)
            module.weight_u.copy_(left[:, 0])
            module.weight_v.copy_(right[0])
    return net.eval()


def literal(net, z):
    """Their forward, eval mode, noise left out."""
    at = net.get_submodule

    def gate(name, x):
        return F.glu(at(name)(x), 1)

    x = at("_init._layers.0._conv")(z[:, :, None, None])
    found = {4: gate("_init._layers.1", x)}
    for side in list(CHANNELS)[1:]:
        place = f"_upsample_{side}._layers"
        big = side in (8, 32, 128, 512)
        x = F.interpolate(found[side // 2], scale_factor=2, mode="nearest")
        x = gate(f"{place}.{3 if big else 2}", at(f"{place}.1._conv")(x))
        if big:
            x = gate(f"{place}.7", at(f"{place}.5._conv")(x))
        if 64 <= side <= 512:
            sle = f"_sle_{side}._layers"
            small = at(f"{sle}.1._conv")(F.adaptive_avg_pool2d(found[side // 16], 4))
            x = x * at(f"{sle}.3._conv")(F.silu(small)).sigmoid()
        found[side] = x
    return at("_out_1024.0._conv")(found[1024]).tanh()


def saved(folder, net):
    folder.mkdir()
    torch.save(net.state_dict(), folder / "pytorch_model.bin")
    judge = {"_features_large.0._conv.weight_orig": torch.zeros(8, 4, 1, 1), "_decoder_large.x": torch.zeros(1)}
    torch.save(judge, folder / "discriminator.bin")
    return folder


@torch.no_grad()
def test_files_of_huggan_are_models(tmp_path, published):
    model = fewgan.load(saved(tmp_path / "cats", published))
    assert (model.architecture.name, model.generator.size, model.generator.classes) == ("fastgan", 1024, 0)
    assert not model.has_discriminator
    (note,) = model.config["notes"]
    assert note == "discriminator.bin is FastGAN's own discriminator, not Projected GAN's; not read"
    z = torch.randn(1, LATENT)
    for name, parameter in model.generator.named_parameters():
        if "noise" in name:
            assert parameter.item() != 0
            parameter.zero_()
    found = model.generator(z, model.generator.embed(torch.zeros(1, dtype=torch.int64)))
    torch.testing.assert_close(found, literal(published, z), rtol=1e-4, atol=1e-5)


def test_the_generator_is_written_back_under_its_names(tmp_path, published):
    model = fewgan.load(saved(tmp_path / "cats", published))
    options = Options(width=WIDTH, latent_dim=LATENT, lite=False, original=True, side=64)
    networks = build(options, size=1024, classes=0).with_discriminator()
    networks.generator.load_state_dict(model.generator.state_dict())
    files = write(networks)
    assert files.keys() == {"pytorch_model.bin", "D.pth", "arguments.pth"}
    expected = {name: tensor for name, tensor in published.state_dict().items() if not name.startswith("_out_128")}
    assert files["pytorch_model.bin"].keys() == expected.keys()
    assert all(torch.equal(tensor, files["pytorch_model.bin"][name]) for name, tensor in expected.items())


@torch.no_grad()
def test_an_export_is_read_with_its_discriminator(tmp_path, published):
    model = fewgan.load(saved(tmp_path / "cats", published))
    made = build(Options(**{**model.architecture.options, "side": 64}), size=1024, classes=0).with_discriminator()
    for name, content in write(made).items():
        torch.save(content, tmp_path / name)
    again = fewgan.load(tmp_path)
    assert (again.discriminator.side, again.config["notes"]) == (64, [])
    images = torch.rand(2, 3, 1024, 1024) * 2 - 1
    torch.testing.assert_close(again.discriminator(images, None), made.discriminator.eval()(images, None))


def test_a_damaged_file_of_huggan_is_one_line(tmp_path, published):
    state = published.state_dict()
    del state["_sle_64._layers.1._conv.weight_u"]
    torch.save(state, tmp_path / "pytorch_model.bin")
    with pytest.raises(
        UsageError, match=r"pytorch_model.bin: tensor _sle_64._layers.1._conv.weight_u is missing \(read as fastgan\)$"
    ):
        fewgan.load(tmp_path)
