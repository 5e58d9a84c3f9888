"""StyleGAN2 written out literally, for comparison: weights made for each image, grouped convolutions, filters as the
paper draws them (zeros inserted, padded, convolved), one operation a line, NCHW.

Functions of a state dict in the names of the official files, so that both implementations share their weights.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

State = dict[str, Tensor]


def filtered(x: Tensor, filter: Tensor, *, up: int = 1, down: int = 1, pad: tuple[int, int] = (0, 0), gain: float = 1):
    """Zeros after each pixel, padding on both axes (before, after), convolution, every `down`-th pixel."""
    count, channels, height, width = x.shape
    if up > 1:
        x = x.reshape(count, channels, height, 1, width, 1)
        x = F.pad(x, (0, up - 1, 0, 0, 0, up - 1))
        x = x.reshape(count, channels, height * up, width * up)
    x = F.pad(x, (pad[0], pad[1], pad[0], pad[1]))
    kernel = (filter * gain).flip((0, 1))[None, None].repeat(channels, 1, 1, 1)
    x = F.conv2d(x, kernel, groups=channels)
    return x[:, :, ::down, ::down]


def activated(x: Tensor, bias: Tensor, *, gain: float = math.sqrt(2), clamp: float | None = None) -> Tensor:
    x = x + bias.view(1, -1, *[1] * (x.dim() - 2))
    x = F.leaky_relu(x, 0.2)
    x = x * gain
    return x if clamp is None else x.clamp(-clamp, clamp)


def linear(state: State, name: str, x: Tensor, *, multiplier: float = 1, activate: bool = False) -> Tensor:
    weight = state[name + ".weight"] * (multiplier / math.sqrt(x.shape[1]))
    bias = state[name + ".bias"] * multiplier
    x = x @ weight.t()
    return activated(x, bias) if activate else x + bias


def normalized(x: Tensor) -> Tensor:
    return x * (x.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt()


def mapping(state: State, z: Tensor | None, condition: Tensor | None, prefix: str = "mapping") -> Tensor:
    parts = [] if z is None else [normalized(z)]
    if condition is not None and condition.shape[1]:
        parts.append(normalized(linear(state, f"{prefix}.embed", condition)))
    x = torch.cat(parts, dim=1)
    index = 0
    while f"{prefix}.fc{index}.weight" in state:
        x = linear(state, f"{prefix}.fc{index}", x, multiplier=0.01, activate=True)
        index += 1
    return x


def modulated(x: Tensor, weight: Tensor, style: Tensor, *, up: Tensor | None = None, demodulate: bool = True) -> Tensor:
    count, channels, height, width = x.shape
    out, _, side, _ = weight.shape
    weights = weight[None] * style[:, None, :, None, None]
    if demodulate:
        weights = weights * (weights.square().sum(dim=(2, 3, 4), keepdim=True) + 1e-8).rsqrt()
    x = x.reshape(1, count * channels, height, width)
    if up is None:
        x = F.conv2d(x, weights.reshape(count * out, channels, side, side), padding=side // 2, groups=count)
        return x.reshape(count, out, height, width)
    weights = weights.transpose(1, 2).reshape(count * channels, out, side, side)
    x = F.conv_transpose2d(x, weights, stride=2, groups=count)
    x = x.reshape(count, out, 2 * height + 1, 2 * width + 1)
    return filtered(x, up, pad=(1, 1), gain=4)


def layer(state: State, name: str, x: Tensor, w: Tensor, *, noise: str, up: bool, clamp: float | None) -> Tensor:
    style = linear(state, name + ".affine", w)
    x = modulated(x, state[name + ".weight"], style, up=state[name + ".resample_filter"] if up else None)
    if noise == "const":
        x = x + state[name + ".noise_const"] * state[name + ".noise_strength"]
    elif noise == "random":
        x = x + torch.randn(len(x), 1, *x.shape[2:], dtype=x.dtype) * state[name + ".noise_strength"]
    return activated(x, state[name + ".bias"], clamp=clamp)


def synthesis(state: State, ws: Tensor, noise: str = "random", clamp: float | None = None) -> Tensor:
    """ws [N, layers, w_dim] -> images."""
    x = state["synthesis.b4.const"][None].repeat(len(ws), 1, 1, 1)
    image, index, side = None, 0, 4
    while f"synthesis.b{side}.conv1.weight" in state:
        block = f"synthesis.b{side}"
        if side > 4:
            x = layer(state, block + ".conv0", x, ws[:, index], noise=noise, up=True, clamp=clamp)
            index += 1
        x = layer(state, block + ".conv1", x, ws[:, index], noise=noise, up=False, clamp=clamp)
        index += 1
        weight = state[block + ".torgb.weight"]
        style = linear(state, block + ".torgb.affine", ws[:, index]) / math.sqrt(weight.shape[1])
        rgb = modulated(x, weight, style, demodulate=False)
        rgb = rgb + state[block + ".torgb.bias"].view(1, -1, 1, 1)
        rgb = rgb if clamp is None else rgb.clamp(-clamp, clamp)
        if image is not None:
            image = filtered(image, state[block + ".resample_filter"], up=2, pad=(2, 1), gain=4)
        image = rgb if image is None else image + rgb
        side *= 2
    return image


def generator(
    state: State,
    z: Tensor,
    condition: Tensor,
    noise: str = "random",
    truncation: float = 1,
    *,
    clamp: float | None = None,
) -> Tensor:
    w = mapping(state, z, condition)
    w = state["mapping.w_avg"] + truncation * (w - state["mapping.w_avg"])
    layers = 2 * sum(name.endswith(".torgb.weight") for name in state)
    return synthesis(state, w[:, None].repeat(1, layers, 1), noise, clamp)


def conv(state: State, name: str, x: Tensor, *, down: bool = False, gain: float = 1, clamp: float | None = None):
    weight = state[name + ".weight"]
    weight = weight * (1 / math.sqrt(weight[0].numel()))
    side = weight.shape[-1]
    if down:
        pad = (side + 1) // 2
        x = filtered(x, state[name + ".resample_filter"], pad=(pad, pad))
        x = F.conv2d(x, weight, stride=2)
    else:
        x = F.conv2d(x, weight, padding=side // 2)
    if name + ".bias" not in state:
        return x * gain
    return activated(x, state[name + ".bias"], gain=math.sqrt(2) * gain, clamp=None if clamp is None else clamp * gain)


def discriminator(
    state: State, images: Tensor, one_hot: Tensor | None = None, group: int = 4, clamp: float | None = None
) -> Tensor:
    """images -> logits [N]."""
    x, side = images, images.shape[-1]
    x = conv(state, f"b{side}.fromrgb", x, clamp=clamp)
    while side > 4:
        resnet = f"b{side}.skip.weight" in state
        gain = math.sqrt(0.5) if resnet else 1.0
        y = conv(state, f"b{side}.conv0", x, clamp=clamp)
        y = conv(state, f"b{side}.conv1", y, down=True, gain=gain, clamp=clamp)
        x = y + conv(state, f"b{side}.skip", x, down=True, gain=gain) if resnet else y
        side //= 2
    count, channels, height, width = x.shape
    size = min(group, count)
    y = x.reshape(size, -1, channels, height, width)
    y = y - y.mean(dim=0)
    y = (y.square().mean(dim=0) + 1e-8).sqrt().mean(dim=(1, 2, 3))
    y = y.reshape(-1, 1, 1, 1).repeat(size, 1, height, width)
    x = torch.cat([x, y], dim=1)
    x = conv(state, "b4.conv", x, clamp=clamp)
    x = linear(state, "b4.fc", x.flatten(1), activate=True)
    x = linear(state, "b4.out", x)
    if one_hot is None:
        return x.squeeze(1)
    return (x * mapping(state, None, one_hot)).sum(dim=1) / math.sqrt(x.shape[1])
