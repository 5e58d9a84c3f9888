"""VGG16 (Simonyan & Zisserman 2014, arXiv 1409.1556) with random weights, narrowed to 64 features."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

SIDE, DIM = 64, 64
WIDTHS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
HIDDEN = 4096


class RandomVGG(nn.Module):
    """uint8 images [N, 3, H, W] -> float32 [N, 64], what VGG16's second fully connected layer gives.

    Random features see colours, contrast and texture and know no objects, so they are coarse: use them where no
    pretrained features are at hand that the discriminator has not learned from, or as a second opinion. Naeem et al.
    2020 (arXiv 2002.09797) propose them for pictures unlike ImageNet's, and narrow the layer to 64 features (R64).
    Pictures are resized to 64 px, where the published network takes 224 (a twelfth of the time); weights are normal
    with variance 2 / fan-in (He et al. 2015, arXiv 1502.01852) and biases zero. seed: the same weights on any machine.
    """

    dim = DIM

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self.identity = f"random-vgg16:{seed}"
        self.score_name = "Fréchet distance (random VGG16)" if seed == 0 else f"Fréchet distance (random VGG16, {seed})"
        # NumPy keeps this stream unchanged over versions and machines.
        random = np.random.RandomState(seed)
        layers: list[nn.Module] = []
        channels = 3
        for widths in WIDTHS:
            for width in widths:
                layers += [_drawn(nn.Conv2d(channels, width, 3, padding=1), random), nn.ReLU(inplace=True)]
                channels = width
            layers.append(nn.MaxPool2d(2))
        flat = channels * (SIDE // 2 ** len(WIDTHS)) ** 2
        layers += [nn.Flatten(), _drawn(nn.Linear(flat, HIDDEN), random), nn.ReLU(inplace=True)]
        layers.append(_drawn(nn.Linear(HIDDEN, DIM), random))
        self.network = nn.Sequential(*layers).eval().requires_grad_(False).to(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.network(_input(images))
        return features

    def maps(self, images: Tensor) -> list[Tensor]:
        """float images [N, 3, H, W] in [0, 255] -> the last map of each of the five blocks, 64 to 4 px."""
        x, found = _input(images), list[Tensor]()
        for layer in self.network:
            if isinstance(layer, nn.Flatten):
                break
            if isinstance(layer, nn.MaxPool2d):
                found.append(x)
            x = layer(x)
        return found


def _input(images: Tensor) -> Tensor:
    x = F.interpolate(images.float(), size=(SIDE, SIDE), mode="bilinear", align_corners=False, antialias=True)
    return (x / 127.5 - 1).contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def _drawn(layer: nn.Conv2d | nn.Linear, random: np.random.RandomState) -> nn.Module:
    """The layer with weights drawn in float64 in the order of its rows, and no bias."""
    weight = random.standard_normal(tuple(layer.weight.shape)) * math.sqrt(2 / layer.weight[0].numel())
    layer.weight.copy_(torch.from_numpy(weight))
    if layer.bias is not None:
        layer.bias.zero_()
    return layer
