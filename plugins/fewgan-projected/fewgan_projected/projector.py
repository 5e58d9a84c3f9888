"""Random mixing of the frozen features (Sauer et al. 2021, arXiv 2111.01007, section 3.2); it never learns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Projector(nn.Module):
    """Features [N, in_i, H_i, W_i], finest first -> mixed features, finest first.

    in_channels: of the features. across: channels after mixing across channels (CCM), a 1x1 convolution of each
    feature; None: the features as they are. scales: channels after mixing across scales (CSM), where each feature is
    added to what comes from the next coarser one, upsampled to twice its size (bilinear, corners aligned) and passed
    through a 1x1 convolution; None: no such mixing, and sizes stay. early: this convolution runs before the
    upsampling, with which it commutes: the same to 3e-6, a quarter of the work. seed: of the weights, uniform within
    1/sqrt(in) as PyTorch's.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        across: Sequence[int] | None,
        scales: Sequence[int] | None,
        *,
        early: bool = True,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.early = early
        inner = list(across or in_channels)
        self.across = nn.ModuleList(map(_conv1x1, in_channels, inner) if across is not None else [])
        self.scales = nn.ModuleList(map(_conv1x1, inner, scales) if scales is not None else [])
        self.out_channels = list(inner if scales is None else scales)
        random = torch.Generator().manual_seed(seed)
        for conv in (*self.across, *self.scales):
            bound = cast(nn.Conv2d, conv).in_channels ** -0.5
            for parameter in conv.parameters():
                parameter.requires_grad_(False).uniform_(-bound, bound, generator=random)

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        mixed = [conv(x) for conv, x in zip(self.across, features, strict=True)] if self.across else list(features)
        if not self.scales:
            return mixed
        above: Tensor | None = None
        for index in reversed(range(len(mixed))):
            x = mixed[index] if above is None else _fitted(above, mixed[index]) + mixed[index]
            conv = self.scales[index]
            above = mixed[index] = _upsampled(conv(x)) if self.early else conv(_upsampled(x))
        return mixed


def _conv1x1(in_channels: int, out_channels: int) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, 1)


def _upsampled(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)


def _fitted(x: Tensor, like: Tensor) -> Tensor:
    """x cut to the size of `like`: twice a size that was rounded up is one too many."""
    return x if x.shape[2:] == like.shape[2:] else x[:, :, : like.shape[2], : like.shape[3]]
