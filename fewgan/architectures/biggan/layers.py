"""Blocks of BigGAN (Brock et al. 2018, arXiv 1809.11096, appendix B), named as in BigGAN-PyTorch."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fewgan.architectures.biggan.resampling import DownsampleConv2d, UpsampleConv2d
from fewgan.plugin import SpectralConv2d, SpectralLinear, batch_norm

BATCH_NORM_EPSILON = 1e-5
BATCH_NORM_MOMENTUM = 0.1


class BatchNorm(nn.Module):
    """Batch normalisation whose running averages are called `stored_mean` and `stored_var`, without gain and bias."""

    stored_mean: Tensor
    stored_var: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("stored_mean", torch.zeros(channels))
        self.register_buffer("stored_var", torch.ones(channels))
        self.momentum = BATCH_NORM_MOMENTUM

    def normalize(self, x: Tensor, gain: Tensor | None = None, bias: Tensor | None = None) -> Tensor:
        return batch_norm(
            x, self.stored_mean, self.stored_var, gain, bias, self.training, self.momentum, BATCH_NORM_EPSILON
        )


class OutputBatchNorm(BatchNorm):
    """The generator's last normalisation, with a gain and a bias of its own."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.gain = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return self.normalize(x, self.gain, self.bias)


class ClassTable(nn.Module):
    """A row per class, for networks whose layers each embed the class themselves; one-hot [N, classes] -> [N, out]."""

    def __init__(self, classes: int, features: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(classes, features))
        nn.init.orthogonal_(self.weight)

    def forward(self, one_hot: Tensor) -> Tensor:
        return one_hot @ self.weight


class ConditionalBatchNorm(BatchNorm):
    """batch_norm(x) * (1 + gain(condition)) + bias(condition); x [N, channels, H, W], condition [N, C]."""

    def __init__(self, channels: int, condition_dim: int, shared_embedding: bool) -> None:
        super().__init__(channels)
        self.gain: nn.Module
        self.bias: nn.Module
        if shared_embedding:
            self.gain = SpectralLinear(condition_dim, channels, bias=False)
            self.bias = SpectralLinear(condition_dim, channels, bias=False)
        else:
            self.gain = ClassTable(condition_dim, channels)
            self.bias = ClassTable(condition_dim, channels)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        gain, bias = 1 + self.gain(condition), self.bias(condition)
        if self.training:
            x = self.normalize(x)
        else:
            # The running averages join gain and bias, which leaves one pass over the image.
            gain = gain * torch.rsqrt(self.stored_var + BATCH_NORM_EPSILON)
            bias = bias - self.stored_mean * gain
        return torch.addcmul(bias[:, :, None, None], x, gain[:, :, None, None])


class Attention(nn.Module):
    """Self-attention (Zhang et al. 2018, arXiv 1805.08318): gamma * o + x, gamma starts at 0.

    Written out rather than fused: the fused kernel has no double backward on the CPU, and gradient penalties need one.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.theta = SpectralConv2d(channels, max(channels // 8, 1), 1, bias=False)
        self.phi = SpectralConv2d(channels, max(channels // 8, 1), 1, bias=False)
        self.g = SpectralConv2d(channels, max(channels // 2, 1), 1, bias=False)
        self.o = SpectralConv2d(max(channels // 2, 1), channels, 1, bias=False)
        self.gamma = nn.Parameter(torch.tensor(0.0))

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        # [N, pixels, channels] throughout: in channels_last all of these are views, forward and backward.
        queries = _pixels(self.theta(x))
        keys = _pixels(F.max_pool2d(self.phi(x), 2))
        values = _pixels(F.max_pool2d(self.g(x), 2))
        weights = torch.softmax(queries @ keys.transpose(1, 2), dim=-1)
        mixed = (weights @ values).view(len(x), height, width, -1).permute(0, 3, 1, 2)
        attended: Tensor = self.o(mixed)
        return torch.addcmul(x, self.gamma, attended)


def _pixels(x: Tensor) -> Tensor:
    """[N, C, H, W] -> [N, H W, C]."""
    return x.permute(0, 2, 3, 1).flatten(1, 2)


class GeneratorBlock(nn.Module):
    """bn1, ReLU, upsampled conv1, bn2, ReLU, conv2; the shortcut's 1x1 convolution runs on the small side."""

    def __init__(self, in_channels: int, out_channels: int, condition_dim: int, shared_embedding: bool) -> None:
        super().__init__()
        self.conv1 = UpsampleConv2d(in_channels, out_channels)
        self.conv2 = SpectralConv2d(out_channels, out_channels, 3)
        self.conv_sc = SpectralConv2d(in_channels, out_channels, 1)
        self.bn1 = ConditionalBatchNorm(in_channels, condition_dim, shared_embedding)
        self.bn2 = ConditionalBatchNorm(out_channels, condition_dim, shared_embedding)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        # In place: nobody else reads what the normalisation gives.
        h = self.conv1(self.bn1(x, condition).relu_())
        h = self.conv2(self.bn2(h, condition).relu_())
        shortcut = F.interpolate(self.conv_sc(x), scale_factor=2, mode="nearest")
        result: Tensor = shortcut.add_(h)
        return result


class DiscriminatorBlock(nn.Module):
    """ReLU, conv1, ReLU, conv2, average pool; `first` leaves out the leading ReLU.

    The shortcut pools before its 1x1 convolution, which changes nothing and costs a quarter.
    """

    def __init__(self, in_channels: int, out_channels: int, downsample: bool, first: bool) -> None:
        super().__init__()
        self.downsample, self.first = downsample, first
        self.conv1 = SpectralConv2d(in_channels, out_channels, 3)
        self.conv2: SpectralConv2d
        if downsample:
            self.conv2 = DownsampleConv2d(out_channels, out_channels)
        else:
            self.conv2 = SpectralConv2d(out_channels, out_channels, 3)
        self.conv_sc = (
            SpectralConv2d(in_channels, out_channels, 1) if in_channels != out_channels or downsample else None
        )

    def forward(self, x: Tensor) -> Tensor:
        # The leading ReLU is never in place: the shortcut reads the same tensor.
        h: Tensor = self.conv2(self.conv1(x if self.first else F.relu(x)).relu_())
        shortcut = F.avg_pool2d(x, 2) if self.downsample else x
        return h + (shortcut if self.conv_sc is None else self.conv_sc(shortcut))
