"""The parts of both networks: norms, blocks with windows, and what changes the size of a map.

Tokens are [N, side², C], row by row. Names of parameters are those of the published state dicts.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fewgan_transgan.attention import attend

DEVIATION = 0.02  # of position embeddings, class tokens, bias tables and D's linear layers at the start


class Norm(nn.Module):
    """kind ln: LayerNorm; pn: PixelNorm, x / √(mean x² + 1e-8) over channels (Karras et al. 2018, section 4.2)."""

    def __init__(self, kind: str, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width) if kind == "ln" else None

    def forward(self, x: Tensor) -> Tensor:
        if self.norm is not None:
            normed: Tensor = self.norm(x)
            return normed
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-8)


class Mlp(nn.Module):
    """Two linear layers with a GELU between, four times as wide inside."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.fc2(F.gelu(self.fc1(x)))
        return result


class Attention(nn.Module):
    """Self-attention of tokens [B, window², C], with noise before it and a relative position bias, where there is one.

    noise: adds `noise_strength_1`, which starts at 0, times one N(0, 1) per token, in eval mode, too.
    window: None for no bias.
    """

    def __init__(self, width: int, *, heads: int, window: int | None, noise: bool) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.proj = nn.Linear(width, width)
        self.relative_position_bias_table: nn.Parameter | None = None
        if window is not None:
            self.relative_position_bias_table = nn.Parameter(torch.empty((2 * window - 1) ** 2, heads))
            nn.init.normal_(self.relative_position_bias_table, std=DEVIATION)
        self.noise_strength_1 = nn.Parameter(torch.zeros(())) if noise else None

    def forward(self, x: Tensor, queries: int | None = None) -> Tensor:
        """queries: only the first tokens ask, where there is no bias."""
        count, tokens, width = x.shape
        if self.noise_strength_1 is not None:
            drawn = torch.randn(count, tokens, 1, dtype=x.dtype, device=x.device)
            x = x + self.noise_strength_1 * drawn
        split = self.qkv(x).view(count, tokens, 3, self.heads, width // self.heads)
        q, k, v = split.permute(2, 0, 3, 1, 4).contiguous().unbind(0)
        found = attend(q[:, :, :queries], k, v, self.relative_position_bias_table)
        result: Tensor = self.proj(found.transpose(1, 2).flatten(2))
        return result


class CrossAttention(nn.Module):
    """Attention from all tokens to a map of the latent, added to the tokens, without norm and bias (CelebA-HQ)."""

    def __init__(self, width: int, context: int, *, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_transform = nn.Linear(width, width, bias=False)
        self.k_transform = nn.Linear(context, width, bias=False)
        self.v_transform = nn.Linear(context, width, bias=False)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        pairs = ((self.q_transform, x), (self.k_transform, context), (self.v_transform, context))
        q, k, v = (layer(given).unflatten(2, (self.heads, -1)).transpose(1, 2).contiguous() for layer, given in pairs)
        result: Tensor = x + self.proj(attend(q, k, v).transpose(1, 2).flatten(2))
        return result


class Block(nn.Module):
    """x += attention(norm(x)) within windows, then x += mlp(norm(x)) (section 3.1).

    side: of the map; None: the tokens are no map. context: channels of the latent's map, where there is
    cross-attention.
    """

    def __init__(
        self,
        width: int,
        *,
        heads: int,
        norm: str,
        noise: bool,
        window: int | None,
        bias: bool = True,
        side: int | None = None,
        context: int | None = None,
    ) -> None:
        super().__init__()
        self.windows = None if side is None or window is None or side == window else (side, window)
        self.norm1, self.norm2 = Norm(norm, width), Norm(norm, width)
        self.attn = Attention(width, heads=heads, window=window if bias else None, noise=noise)
        self.mlp = Mlp(width)
        self.cross_attention = None if context is None else CrossAttention(width, context, heads=heads)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        if self.cross_attention is not None:
            x = self.cross_attention(x, context)
        normed = self.norm1(x)
        if self.windows is None:
            x = x + self.attn(normed)
        else:
            x = x + from_windows(self.attn(to_windows(normed, *self.windows)), *self.windows)
        result: Tensor = x + self.mlp(self.norm2(x))
        return result

    def first(self, x: Tensor) -> Tensor:
        """What becomes of the first token, [N, C]; nothing else is computed for the others."""
        token = x[:, :1] + self.attn(self.norm1(x), queries=1)
        result: Tensor = (token + self.mlp(self.norm2(token)))[:, 0]
        return result


def to_windows(x: Tensor, side: int, window: int) -> Tensor:
    """[N, side², C] -> [N (side / window)², window², C], image by image, row by row."""
    count, _, width = x.shape
    some = side // window
    x = x.view(count, some, window, some, window, width)
    return x.transpose(2, 3).reshape(count * some * some, window * window, width)


def from_windows(x: Tensor, side: int, window: int) -> Tensor:
    """`to_windows` back."""
    some = side // window
    x = x.view(-1, some, some, window, window, x.shape[2])
    return x.transpose(2, 3).reshape(-1, side * side, x.shape[5])


def to_map(x: Tensor) -> Tensor:
    """[N, side², C] -> [N, C, side, side]."""
    side = round(x.shape[1] ** 0.5)
    return x.transpose(1, 2).reshape(len(x), x.shape[2], side, side)


def to_tokens(x: Tensor) -> Tensor:
    """[N, C, side, side] -> [N, side², C]."""
    return x.flatten(2).transpose(1, 2)


def shuffled(x: Tensor) -> Tensor:
    """Twice the side, a quarter of the channels: channel 4c + 2i + j goes to pixel (2y + i, 2x + j) of channel c."""
    count, tokens, width = x.shape
    side = round(tokens**0.5)
    x = x.view(count, side, side, width // 4, 2, 2)
    return x.permute(0, 1, 4, 2, 5, 3).reshape(count, 4 * tokens, width // 4)


def interpolated(x: Tensor) -> Tensor:
    """Twice the side, bicubic."""
    return to_tokens(F.interpolate(to_map(x), scale_factor=2, mode="bicubic", align_corners=False))


# Bicubic interpolation to four times the side and the mean of 4x4 pixels are one filter of 5 taps along each axis: the
# four pixels lie at ±1/8 and ±3/8 of the middle one, and the cubic is Keys' (1981) with a = −3/4.
_A = -0.75


def _cubic(distance: float) -> float:
    d = abs(distance)
    if d <= 1:
        return (_A + 2) * d**3 - (_A + 3) * d**2 + 1
    return _A * (d**3 - 5 * d**2 + 8 * d - 4) if d < 2 else 0.0


TAPS = tuple(sum(_cubic(tap - place) for place in (-0.375, -0.125, 0.125, 0.375)) / 4 for tap in range(-2, 3))


def smoothed(x: Tensor) -> Tensor:
    """Bicubic to four times the side, and averaged back."""
    side = round(x.shape[1] ** 0.5)
    padded = F.pad(to_map(x), (2, 2, 2, 2), mode="replicate")
    rows = sum(tap * padded[:, :, start : start + side] for start, tap in enumerate(TAPS))
    assert isinstance(rows, Tensor)
    columns = sum(tap * rows[:, :, :, start : start + side] for start, tap in enumerate(TAPS))
    assert isinstance(columns, Tensor)
    return to_tokens(columns)


def pooled(x: Tensor) -> Tensor:
    """Half the side: means of 2x2 pixels."""
    count, tokens, width = x.shape
    half = round(tokens**0.5) // 2
    return x.view(count, half, 2, half, 2, width).mean((2, 4)).view(count, half * half, width)
