"""The network of the efficientnet-lite-pytorch package, up to its last pooling."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from efficientnet_lite_pytorch import EfficientNet
from torch import Tensor, nn
from torch.nn import functional as F

from fewgan.plugin import check_shapes, read_weights

SIDES = (224, 240, 260)


class EfficientNetLite(nn.Module):
    """uint8 images [N, 3, H, W] -> float32 [N, 1280], channel means after the last convolution.

    variant: 0, 1 or 2. weights: a file with the state dict of that variant. `identity` is the variant with the file's
    SHA-256. Raises UsageError for a file with anything else.
    """

    dim = 1280

    def __init__(self, variant: int, weights: Path) -> None:
        super().__init__()
        self.side = SIDES[variant]
        self.score_name = f"Fréchet distance (EfficientNet-Lite{variant})"
        network = EfficientNet.from_name(f"efficientnet-lite{variant}")
        state = read_weights(weights)
        check_shapes(network, {name: tuple(tensor.shape) for name, tensor in state.items()}, weights)
        network.load_state_dict(state)
        with open(weights, "rb") as file:
            self.identity = f"efficientnet-lite{variant}:{hashlib.file_digest(file, 'sha256').hexdigest()}"
        self.network = network.eval().requires_grad_(False).to(memory_format=torch.channels_last)

    def train(self, mode: bool = True) -> EfficientNetLite:
        return super().train(False)  # dropped blocks have no place in a measurement

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.network.extract_features(self._input(images)).mean(dim=(2, 3))
        return features

    def maps(self, images: Tensor) -> list[Tensor]:
        """float images [N, 3, H, W] in [0, 255] -> five maps, the last block's at each side, a half to a 32nd."""
        network, found = self.network, list[Tensor]()
        x = network._swish(network._bn0(network._conv_stem(self._input(images))))
        for block in network._blocks:
            after = block(x)
            if after.shape[-1] < x.shape[-1]:
                found.append(x)
            x = after
        return [*found, x]

    def _input(self, images: Tensor) -> Tensor:
        sides = (self.side, self.side)
        x = F.interpolate(images.float(), size=sides, mode="bilinear", align_corners=False, antialias=True)
        return ((x - 127) / 128).contiguous(memory_format=torch.channels_last)
