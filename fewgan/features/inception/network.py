"""Inception v3 for FID: torchvision's network with the poolings that the original weights were trained with."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torchvision.models import inception as torchvision_inception

from fewgan.plugin import UsageError, check_shapes

SIDE = 299
DIM = 2048
MAPS = ("Conv2d_2b_3x3", "Conv2d_4a_3x3", "Mixed_5d", "Mixed_6e", "Mixed_7c")
"""The last layer at each side: 147, 71, 35, 17 and 8 px."""


class Inception(nn.Module):
    """uint8 images [N, 3, H, W] -> float32 [N, 2048], the last pooled features, as pytorch-fid has them.

    weights: a state dict in torchvision's names. score_name: what the Fréchet distance is called. source: the file,
    for messages. identity: what the weights are. Batch norm is folded into the convolutions, which changes the
    features by 3e-7 of their norm. Raises UsageError naming the first tensor that is missing, unknown or misshapen.
    """

    dim = DIM

    def __init__(
        self, weights: Mapping[str, Tensor], *, score_name: str, source: str = "Inception weights", identity: str = ""
    ) -> None:
        super().__init__()
        self.score_name, self.identity = score_name, identity
        network = by_shape()
        network.load_state_dict(_checked(weights, network, source), assign=True)
        network.eval().requires_grad_(False)
        for module in network.modules():
            if isinstance(module, torchvision_inception.BasicConv2d):
                module.conv = fuse_conv_bn_eval(module.conv, module.bn)
                module.bn = nn.Identity()
        network.fc = nn.Identity()
        self.network = network.to(memory_format=torch.channels_last)

    def train(self, mode: bool = True) -> Inception:
        return super().train(False)  # dropout has no place in a measurement

    def forward(self, images: Tensor) -> Tensor:
        x = _input(images)
        # TF32 convolutions, on by default on recent GPUs, would move the features by more than the tools differ.
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=False, allow_tf32=False):
            features: Tensor = self.network(x)
        return features

    def maps(self, images: Tensor) -> list[Tensor]:
        """float images [N, 3, H, W] in [0, 255] -> five maps, 147 to 8 px."""
        x, found = _input(images), list[Tensor]()
        for name, layer in self.network.named_children():
            x = layer(x)
            if name in MAPS:
                found.append(x)
            if name == MAPS[-1]:
                break
        return found


def _input(images: Tensor) -> Tensor:
    x = F.interpolate(images.float() / 255, size=(SIDE, SIDE), mode="bilinear", align_corners=False)
    return (2 * x - 1).contiguous(memory_format=torch.channels_last)


def by_shape() -> nn.Module:
    """The network without weights (on the meta device); 566 entries in its state dict."""
    vision = torchvision_inception
    blocks = [vision.BasicConv2d, _A, vision.InceptionB, _C, vision.InceptionD, _E, vision.InceptionAux]
    with torch.device("meta"):
        network: nn.Module = vision.Inception3(1008, aux_logits=False, init_weights=False, inception_blocks=blocks)
        network.Mixed_7c = _LastE(DIM)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.optional_state = frozenset({"num_batches_tracked"})  # type: ignore[assignment]
    return network


def _checked(weights: Mapping[str, Tensor], network: nn.Module, source: str) -> dict[str, Tensor]:
    """The weights in float32, complete. Raises UsageError where they are not those of this network."""
    where = f"{source}: not Inception v3 weights for FID"
    check_shapes(network, {name: tuple(tensor.shape) for name, tensor in weights.items()}, where)
    for name, tensor in weights.items():
        if not torch.isfinite(tensor).all():
            raise UsageError(f"{source}: tensor {name} contains NaN or infinity; the file is damaged")
    # Files from before PyTorch counted batches lack the counters, and nothing reads them here.
    counters = {name for name in network.state_dict() if name.endswith("num_batches_tracked")}
    missing = {name: torch.zeros((), dtype=torch.int64) for name in counters - weights.keys()}
    return {**{name: tensor.float() for name, tensor in weights.items()}, **missing}


def _average(x: Tensor) -> Tensor:
    # TensorFlow's average leaves the padding out of the count.
    return F.avg_pool2d(x, kernel_size=3, stride=1, padding=1, count_include_pad=False)


class _A(torchvision_inception.InceptionA):  # type: ignore[misc]
    def forward(self, x: Tensor) -> Tensor:
        middle = self.branch5x5_2(self.branch5x5_1(x))
        wide = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat((self.branch1x1(x), middle, wide, self.branch_pool(_average(x))), dim=1)


class _C(torchvision_inception.InceptionC):  # type: ignore[misc]
    def forward(self, x: Tensor) -> Tensor:
        middle = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x)))
        wide = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        wide = self.branch7x7dbl_5(self.branch7x7dbl_4(wide))
        return torch.cat((self.branch1x1(x), middle, wide, self.branch_pool(_average(x))), dim=1)


class _E(torchvision_inception.InceptionE):  # type: ignore[misc]
    def pool(self, x: Tensor) -> Tensor:
        return _average(x)

    def forward(self, x: Tensor) -> Tensor:
        middle = self.branch3x3_1(x)
        wide = self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        middles = (self.branch3x3_2a(middle), self.branch3x3_2b(middle))
        wides = (self.branch3x3dbl_3a(wide), self.branch3x3dbl_3b(wide))
        return torch.cat((self.branch1x1(x), *middles, *wides, self.branch_pool(self.pool(x))), dim=1)


class _LastE(_E):
    def pool(self, x: Tensor) -> Tensor:
        # The original network averages here as well; the graph that FID's weights come from takes the maximum.
        return F.max_pool2d(x, kernel_size=3, stride=1, padding=1)
