"""StyleGAN2's generator (Karras et al. 2020, arXiv 1912.04958), skip architecture, named as in the official files."""

from __future__ import annotations

import math
from collections.abc import Mapping as MappingType
from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fewgan.plugin import full_precision
from fewgan_stylegan2.layers import GAIN, SLOPE, Linear, Mapping, at_least_float32, clamped
from fewgan_stylegan2.modulation import modulated_conv2d, modulated_projection
from fewgan_stylegan2.resampling import low_pass, upsample

Noise = Literal["random", "const", "none"]
W_AVERAGE_DECAY = 0.995


def sides(size: int) -> list[int]:
    """The sides of the blocks: 4, 8 … size."""
    return [2**power for power in range(2, int(math.log2(size)) + 1)]


@dataclass(frozen=True, kw_only=True)
class GeneratorShape:
    """Everything that decides the generator's parameters and function.

    channels: of the activations at each side, 4 to size. classes: 0 for unconditional. clamp: activations of
    convolutions stay within ±clamp; None does not limit them. embedded, hidden: see `Mapping`.
    """

    size: int
    channels: MappingType[int, int]
    classes: int = 0
    z_dim: int = 512
    w_dim: int = 512
    mapping_layers: int = 8
    embedded: int | None = None
    hidden: int | None = None
    clamp: float | None = None


class GeneratorMapping(Mapping):
    """The mapping network, and the running average of w that truncation pulls to."""

    w_avg: Tensor

    def __init__(self, shape: GeneratorShape) -> None:
        super().__init__(
            shape.z_dim,
            shape.classes,
            shape.w_dim,
            shape.mapping_layers,
            embedded=shape.embedded,
            hidden=shape.hidden,
        )
        self.register_buffer("w_avg", torch.zeros(shape.w_dim))

    @torch.no_grad()
    def track(self, w: Tensor) -> None:
        """Moves w_avg towards the mean of w [N, w_dim]."""
        self.w_avg.copy_(w.mean(dim=0).to(self.w_avg.dtype).lerp(self.w_avg, W_AVERAGE_DECAY))


class StyleConv2d(nn.Module):
    """Modulated 3x3 convolution, noise, bias, leaky ReLU; with `up`, to twice the side. side: that of the result."""

    noise_const: Tensor
    resample_filter: Tensor

    def __init__(self, in_channels: int, out_channels: int, w_dim: int, side: int, *, up: bool, clamp: float | None):
        super().__init__()
        self.up, self.clamp = up, clamp
        self.affine = Linear(w_dim, in_channels, bias=1)
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, 3, 3))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.register_buffer("noise_const", torch.randn(side, side))
        self.register_buffer("resample_filter", low_pass())

    def forward(self, x: Tensor, w: Tensor, noise: Noise) -> Tensor:
        y, factor = modulated_conv2d(x, self.weight, self.affine(w), up=self.resample_filter if self.up else None)
        bias = (self.bias * GAIN).to(y.dtype)[:, None, None]
        if factor is None:
            y = torch.add(bias, y, alpha=GAIN)
        else:
            y = torch.addcmul(bias, y, (factor * GAIN).to(y.dtype)[:, :, None, None])
        if noise == "random":
            drawn = torch.randn(len(y), 1, *y.shape[2:], dtype=self.noise_strength.dtype, device=y.device)
            y.add_((drawn * (self.noise_strength * GAIN)).to(y.dtype))
        elif noise == "const":
            y.add_((self.noise_const * (self.noise_strength * GAIN)).to(y.dtype))
        return clamped(F.leaky_relu_(y, SLOPE), self.clamp)


class ToRGB(nn.Module):
    """Modulated 1x1 convolution to three channels, without demodulation and noise; x [N, C, H, W] -> [N, 3, H, W]."""

    def __init__(self, in_channels: int, w_dim: int, *, clamp: float | None) -> None:
        super().__init__()
        self.clamp = clamp
        self.affine = Linear(w_dim, in_channels, bias=1, gain=1 / math.sqrt(in_channels))
        self.weight = nn.Parameter(torch.randn(3, in_channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(3))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        return clamped(modulated_projection(x, self.weight, self.affine(w), self.bias), self.clamp)


class SynthesisBlock(nn.Module):
    """conv0 to twice the side, conv1, and torgb added to the upsampled image; the first block starts from `const`."""

    resample_filter: Tensor

    def __init__(self, in_channels: int, out_channels: int, w_dim: int, side: int, *, clamp: float | None) -> None:
        super().__init__()
        self.register_buffer("resample_filter", low_pass())
        if in_channels == 0:
            self.const = nn.Parameter(torch.randn(out_channels, side, side))
        else:
            self.conv0 = StyleConv2d(in_channels, out_channels, w_dim, side, up=True, clamp=clamp)
        self.conv1 = StyleConv2d(out_channels, out_channels, w_dim, side, up=False, clamp=clamp)
        self.torgb = ToRGB(out_channels, w_dim, clamp=clamp)

    def forward(self, x: Tensor | None, image: Tensor | None, ws: Tensor, noise: Noise) -> tuple[Tensor, Tensor]:
        """ws [N, 2 or 3, w_dim], one for each layer."""
        w0, w1, w2 = ws[:, 0], ws[:, -2], ws[:, -1]
        if x is None:
            # The layout is set here and lasts to the end.
            x = self.const.expand(len(ws), -1, -1, -1).contiguous(memory_format=torch.channels_last)
        else:
            x = self.conv0(x, w0, noise)
        x = self.conv1(x, w1, noise)
        rgb = self.torgb(x, w2)
        rgb = at_least_float32(rgb)
        if image is None:
            return x, rgb
        with full_precision(image.device):  # the image adds up in float32 also under autocast
            return x, rgb + upsample(image, self.resample_filter)


class Synthesis(nn.Module):
    """ws [N, number of layers, w_dim] -> images [N, 3, size, size]."""

    def __init__(self, shape: GeneratorShape) -> None:
        super().__init__()
        self.sides = sides(shape.size)
        self.styles = 2 * len(self.sides)
        before = 0
        for side in self.sides:
            block = SynthesisBlock(before, shape.channels[side], shape.w_dim, side, clamp=shape.clamp)
            self.add_module(f"b{side}", block)
            before = shape.channels[side]

    def forward(self, ws: Tensor, noise: Noise = "random") -> Tensor:
        x: Tensor | None = None
        image: Tensor | None = None
        start = 0
        for side in self.sides:
            # A torgb shares its w with the conv0 of the next block.
            count = 2 if start == 0 else 3
            x, image = self.get_submodule(f"b{side}")(x, image, ws[:, start : start + count], noise)
            start += count - 1
        return cast(Tensor, image)


class Generator(nn.Module):
    """z [N, z_dim], condition [N, classes] one-hot -> images [N, 3, size, size], about [-1, 1] and free to leave it.

    Training mode moves w_avg and mixes styles: with probability `mixing`, one coin for the batch, layers from a random
    one on take the w of a second z, behind a mapper that of the image before. noise: `random` draws [N, 1, r, r] in
    each layer, `const` takes the stored one, `none` leaves it out. cutoff: how many layers truncation acts on; None for
    all.
    """

    moving = ("w_avg",)
    mapped = False
    path_length_weight: float | None = None  # of the configuration that the generator is trained with

    def __init__(
        self, shape: GeneratorShape, *, mixing: float = 0.9, noise: Noise = "random", cutoff: int | None = None
    ) -> None:
        super().__init__()
        self.shape, self.mixing, self.noise, self.cutoff = shape, mixing, noise, cutoff
        self.size, self.classes = shape.size, shape.classes
        self.latent_dim, self.condition_dim = shape.z_dim, shape.classes
        self.mapping = GeneratorMapping(shape)
        self.synthesis = Synthesis(shape)

    def blocks(self) -> list[nn.Module]:
        first, *others = (self.synthesis.get_submodule(f"b{side}") for side in self.synthesis.sides)
        return [nn.ModuleList([self.mapping, first]), *others]

    def embed(self, labels: Tensor) -> Tensor:
        """labels int64 [N] -> one-hot rows [N, classes]."""
        if self.classes == 0:
            return self.mapping.w_avg.new_zeros(len(labels), 0)
        return F.one_hot(labels, self.classes).to(self.mapping.w_avg.dtype)

    def styles(self, z: Tensor, condition: Tensor) -> Tensor:
        """w for each layer, [N, layers, w_dim], with style mixing and a step of w_avg in training mode."""
        w: Tensor = self.mapping(z, condition)
        layers = self.synthesis.styles
        ws = w[:, None].expand(-1, layers, -1)
        if not self.training:
            return ws
        self.mapping.track(w)
        # Drawn on the CPU: the second mapping runs only where the coin says so, and no device is waited for.
        if self.mixing and torch.rand(()).item() < self.mixing:
            start = int(torch.randint(1, layers, ()).item())
            # After a mapper, what it gives has another law than N(0, 1): the second z is that of another image.
            other: Tensor = w.roll(1, dims=0) if self.mapped else self.mapping(torch.randn_like(z), condition)
            ws = torch.cat((ws[:, :start], other[:, None].expand(-1, layers - start, -1)), dim=1)
        return ws

    def truncated(self, ws: Tensor, truncation: float | None) -> Tensor:
        """w_avg + truncation (w - w_avg) in the layers below the cutoff (paper of StyleGAN, arXiv 1812.04948, B)."""
        if truncation is None or truncation == 1:
            return ws
        head = ws[:, : self.cutoff]
        head = torch.lerp(self.mapping.w_avg.to(ws.dtype).expand_as(head), head, truncation)
        return head if self.cutoff is None else torch.cat((head, ws[:, self.cutoff :]), dim=1)

    def sample(self, z: Tensor, condition: Tensor, truncation: float | None) -> Tensor:
        """Images with truncation psi in w, without style mixing and without a step of w_avg."""
        ws = self.mapping(z, condition)[:, None].expand(-1, self.synthesis.styles, -1)
        images: Tensor = self.synthesis(self.truncated(ws, truncation), self.noise)
        return images

    @property
    def w_shape(self) -> tuple[int, int]:
        """Layers, and the length of w."""
        return self.synthesis.styles, self.shape.w_dim

    def from_w(self, w: Tensor) -> Tensor:
        """Images of w [N, w_dim], the same in all layers, or [N, layers, w_dim] (W+ of arXiv 1904.03189)."""
        ws = w if w.dim() == 3 else w[:, None].expand(-1, self.synthesis.styles, -1)
        images: Tensor = self.synthesis(ws, self.noise)
        return images

    def forward(self, z: Tensor, condition: Tensor) -> Tensor:
        images: Tensor = self.synthesis(self.styles(z, condition), self.noise)
        return images
