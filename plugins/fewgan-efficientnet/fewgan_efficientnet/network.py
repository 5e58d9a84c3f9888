"""The network of the efficientnet-lite-pytorch package, up to its last pooling."""

from __future__ import annotations

from pathlib import Path

import torch
from efficientnet_lite_pytorch import EfficientNet
from torch import Tensor, nn
from torch.nn import functional as F

SIDES = (224, 240, 260)


class EfficientNetLite(nn.Module):
    """uint8 images [N, 3, H, W] -> float32 [N, 1280], channel means after the last convolution.

    variant: 0, 1 or 2. weights: a state dict of tensors for that variant.
    """

    dim = 1280

    def __init__(self, variant: int, weights: Path) -> None:
        super().__init__()
        self.side = SIDES[variant]
        self.score_name = f"Fréchet distance (EfficientNet-Lite{variant})"
        network = EfficientNet.from_name(f"efficientnet-lite{variant}")
        network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
        self.network = network.eval().requires_grad_(False).to(memory_format=torch.channels_last)

    def train(self, mode: bool = True) -> EfficientNetLite:
        return super().train(False)  # dropped blocks have no place in a measurement

    def forward(self, images: Tensor) -> Tensor:
        sides = (self.side, self.side)
        x = F.interpolate(images.float(), size=sides, mode="bilinear", align_corners=False, antialias=True)
        x = ((x - 127) / 128).contiguous(memory_format=torch.channels_last)
        features: Tensor = self.network.extract_features(x).mean(dim=(2, 3))
        return features
