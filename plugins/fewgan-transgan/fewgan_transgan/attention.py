"""Attention with a relative position bias, in memory that grows with its inputs and not with tokens squared.

PyTorch's fused attention has no second derivative, which a gradient penalty needs, and the literal form keeps several
matrices of tokens x tokens for the backward pass. Here scores are computed in pieces of queries, and again in each
backward pass, the second one too; a piece stays in the processor's cache. Only attention whose scores are one piece is
written out for autograd.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

PIECE = 1 << 19  # scores at a time; 2 MiB in float32
PIECE_ON_GPU = 1 << 26  # a launch for fewer leaves it idle


def attend(q: Tensor, k: Tensor, v: Tensor, table: Tensor | None = None, *, piece: int | None = None) -> Tensor:
    """softmax(q kᵀ / √D + bias) v, differentiable twice: q [B, H, N, D], k and v [B, H, M, D] -> [B, H, N, D].

    table: [(2w − 1)², H], the bias of tokens of a map of w x w = N = M pixels, row by row: query (r, c) and key (s, d)
    have the row (r − s + w − 1)(2w − 1) + c − d + w − 1. piece: the most scores held at a time.
    """
    if piece is None:
        piece = PIECE if q.device.type == "cpu" else PIECE_ON_GPU
    bias = None
    if table is not None:
        extent = round(table.shape[0] ** 0.5)
        bias = table.t().reshape(-1, extent, extent)
    if q.shape[:3].numel() * k.shape[2] <= piece:
        with _full_precision(q):
            return _values(q, k, v, bias, slice(0, q.shape[2] if bias is None else _side(bias)))
    result: Tensor = _Attention.apply(q, k, v, bias, piece)
    return result


def _full_precision(like: Tensor) -> AbstractContextManager[Any]:
    """Autocast switched off, where it is on: the types below are chosen by hand."""
    if not torch.is_autocast_enabled(like.device.type):
        return nullcontext()
    return torch.autocast(like.device.type, enabled=False)


def _side(bias: Tensor) -> int:
    """w of a bias [H, 2w − 1, 2w − 1]."""
    return (bias.shape[1] + 1) // 2


def _rows(bias: Tensor, rows: slice) -> Tensor:
    """[H, 2w − 1, 2w − 1] -> [H, queries, keys] of the queries in some rows of the map: windows, and no index."""
    side = _side(bias)
    windows = bias.unfold(1, side, 1)[:, rows].unfold(2, side, 1)
    return windows.flip(3, 4).reshape(len(bias), -1, side * side)


def _from_rows(gradient: Tensor, bias: Tensor, rows: slice) -> Tensor:
    """The adjoint of `_rows`, differentiable in the gradient [H, queries, keys]."""
    with torch.enable_grad():
        here = torch.zeros_like(bias, requires_grad=True)
        spread = _rows(here, rows)
        (back,) = torch.autograd.grad(spread, here, gradient, create_graph=gradient.requires_grad)
    return back  # type: ignore[no-any-return]


def _weights(q: Tensor, k: Tensor, bias: Tensor | None, rows: slice) -> Tensor:
    """The softmax, float32 or wider."""
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)
    scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
    return (scores if bias is None else scores + _rows(bias, rows)).softmax(-1)


def _values(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, rows: slice) -> Tensor:
    return _weights(q, k, bias, rows).to(v.dtype) @ v


def _gradients(  # noqa: PLR0917 (those of _values, after its gradient)
    gradient: Tensor, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, rows: slice
) -> list[Tensor]:
    """Those of `_values` to q, k, v and, where there is one, the bias. Differentiable."""
    scale = q.shape[-1] ** -0.5
    weights = _weights(q, k, bias, rows)
    of_weights = (gradient @ v.transpose(-2, -1)).to(weights.dtype)
    of_scores = weights * (of_weights - (of_weights * weights).sum(-1, keepdim=True))
    narrow = (of_scores * scale).to(q.dtype)
    found = [narrow @ k, narrow.transpose(-2, -1) @ q, weights.to(v.dtype).transpose(-2, -1) @ gradient]
    return found if bias is None else [*found, _from_rows(of_scores.sum(0).to(bias.dtype), bias, rows)]


def _pieces(q: Tensor, k: Tensor, bias: Tensor | None, piece: int) -> Iterator[tuple[slice, slice, slice]]:
    """(images, rows of the map, queries) at a time; without a bias each query is a row."""
    count, heads, queries, _ = q.shape
    one = heads * queries * k.shape[2]
    if one <= piece:
        images = max(piece // one, 1)
        rows = slice(0, queries if bias is None else _side(bias))
        for start in range(0, count, images):
            yield slice(start, start + images), rows, slice(0, queries)
        return
    unit = 1 if bias is None else _side(bias)
    step = max(piece // (heads * unit * k.shape[2]), 1)
    for image in range(count):
        for start in range(0, queries // unit, step):
            rows = slice(start, min(start + step, queries // unit))
            yield slice(image, image + 1), rows, slice(rows.start * unit, rows.stop * unit)


class _Attention(Function):
    """`_values` in pieces; keeps its inputs alone."""

    @staticmethod
    def forward(  # noqa: PLR0917 (autograd passes no names)
        ctx: Any, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, piece: int
    ) -> Tensor:
        ctx.save_for_backward(q, k, v, bias)
        ctx.piece = piece
        out = torch.empty_like(q, dtype=v.dtype, memory_format=torch.contiguous_format)
        with _full_precision(q):
            for images, rows, queries in _pieces(q, k, bias, piece):
                out[images, :, queries] = _values(q[images, :, queries], k[images], v[images], bias, rows)
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, bias = ctx.saved_tensors
        found = _Backward.apply(gradient.contiguous(), q, k, v, bias, ctx.piece)
        return (*found, *[None] * (5 - len(found)))


class _Backward(Function):
    """`_gradients` in pieces; its own backward computes them again, with a graph for one piece at a time."""

    @staticmethod
    def forward(  # noqa: PLR0917
        ctx: Any, gradient: Tensor, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, piece: int
    ) -> tuple[Tensor, ...]:
        ctx.save_for_backward(gradient, q, k, v, bias)
        ctx.piece = piece
        totals = [torch.zeros_like(x) for x in (q, k, v, bias) if x is not None]
        with _full_precision(q):
            for images, rows, queries in _pieces(q, k, bias, piece):
                parts = gradient[images, :, queries], q[images, :, queries], k[images], v[images]
                found = _gradients(*parts, bias, rows)
                totals[0][images, :, queries] = found[0]
                totals[1][images] += found[1]
                totals[2][images] += found[2]
                if bias is not None:
                    totals[3] += found[3]
        return tuple(totals)

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor | None, ...]:
        gradient, q, k, v, bias = ctx.saved_tensors
        totals = [torch.zeros_like(x) for x in (gradient, q, k, v, bias) if x is not None]
        with _full_precision(q), torch.enable_grad():
            for images, rows, queries in _pieces(q, k, bias, ctx.piece):
                parts = [gradient[images, :, queries], q[images, :, queries], k[images], v[images]]
                parts = [part.detach().requires_grad_() for part in (*parts, *([] if bias is None else [bias]))]
                incoming, *inputs = parts[:4]
                q_, k_, v_ = inputs
                found = _gradients(incoming, q_, k_, v_, None if bias is None else parts[4], rows)
                seeds = [outer[0][images, :, queries], outer[1][images], outer[2][images], *outer[3:]]
                second = torch.autograd.grad(found, parts, seeds)
                totals[0][images, :, queries] = second[0]
                totals[1][images, :, queries] = second[1]
                totals[2][images] += second[2]
                totals[3][images] += second[3]
                if bias is not None:
                    totals[4] += second[4]
        return (*totals, *[None] * (6 - len(totals)))
