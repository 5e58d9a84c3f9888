"""Attention with a relative position bias, in memory that grows with its inputs and not with tokens squared.

PyTorch's fused attention has no second derivative, which a gradient penalty needs, and the literal form keeps several
matrices of tokens x tokens for the backward pass. Where these are large, scores are computed in pieces of queries that
stay in the processor's cache, and again in each backward pass, the second one too. Where they are small, autograd keeps
them, which is faster.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from fewgan.plugin import full_precision

KEPT = 1 << 21  # the most scores that autograd may keep; a double backward holds some ten matrices of them, of 8 MiB
PIECE = 1 << 19  # scores at a time where it may not; 2 MiB in float32
PIECE_ON_GPU = 1 << 26  # a launch for fewer leaves it idle


def attend(
    q: Tensor, k: Tensor, v: Tensor, table: Tensor | None = None, *, kept: int = KEPT, piece: int | None = None
) -> Tensor:
    """softmax(q kᵀ / √D + bias) v, differentiable twice: q [B, H, N, D], k and v [B, H, M, D] -> [B, H, N, D].

    table: [(2w − 1)², H], the bias of tokens of a map of w x w = N = M pixels, row by row: query (r, c) and key (s, d)
    have the row (r − s + w − 1)(2w − 1) + c − d + w − 1. kept, piece: as the constants above.
    """
    bias, rows = None, slice(0, q.shape[2])
    if table is not None:
        extent = round(table.shape[0] ** 0.5)
        bias, rows = table.t().reshape(-1, extent, extent), slice(0, (extent + 1) // 2)
        # With the keys in reverse the bias of query (r, c) and key (s, d) is at (r + s, c + d): a view, and no index.
        k, v = k.flip(2), v.flip(2)
    # A graph that is exported is for any batch, and has no pieces to count.
    if torch.compiler.is_exporting() or q.shape[:3].numel() * k.shape[2] <= kept:
        with full_precision(q.device):  # the types below are chosen by hand
            return _weights(q, k, bias, rows).to(v.dtype) @ v
    if piece is None:
        piece = PIECE if q.device.type == "cpu" else PIECE_ON_GPU
    result: Tensor = _Attention.apply(q, k, v, bias, piece)
    return result


def _windows(bias: Tensor, rows: slice) -> Tensor:
    """A bias [H, 2w − 1, 2w − 1] as a view [H, rows, w, w, w], by row and column of the query and the reversed key."""
    side = (bias.shape[1] + 1) // 2
    return bias.unfold(1, side, 1)[:, rows].unfold(2, side, 1).transpose(2, 3).movedim(2, 3)


def _folded(gradient: Tensor, bias: Tensor, rows: slice) -> Tensor:
    """The adjoint of `_windows`: gradient [H, queries, keys] -> [H, 2w − 1, 2w − 1]."""
    with torch.enable_grad():
        here = torch.zeros_like(bias, requires_grad=True)
        windows = _windows(here, rows)
    folded: Tensor = torch.autograd.grad(windows, here, gradient.view(windows.shape))[0]
    return folded


def _weights(q: Tensor, k: Tensor, bias: Tensor | None, rows: slice) -> Tensor:
    """The softmax [B, H, queries, keys], float32 or wider."""
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)
    scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
    if bias is not None:
        windows = _windows(bias, rows)
        scores.view(len(scores), *windows.shape).add_(windows)
    weights: Tensor = scores.softmax(-1)
    return weights


def _through_softmax(gradient: Tensor, weights: Tensor) -> Tensor:
    """The gradient of scores from that of their softmax; the same map, which is symmetric, serves its adjoint."""
    product = gradient * weights
    return product.addcmul_(weights, product.sum(-1, keepdim=True), value=-1)


def _pieces(q: Tensor, k: Tensor, bias: Tensor | None, piece: int) -> Iterator[tuple[slice, slice, slice]]:
    """(images, rows of the map, queries) at a time; without a bias each query is a row."""
    count, heads, queries, _ = q.shape
    unit = 1 if bias is None else (bias.shape[1] + 1) // 2
    images = max(piece // (heads * queries * k.shape[2]), 1)
    step = max(piece // (heads * unit * k.shape[2]), 1)
    for first in range(0, count, images):
        for start in range(0, queries // unit, step):
            stop = min(start + step, queries // unit)
            yield slice(first, first + images), slice(start, stop), slice(start * unit, stop * unit)


class _Attention(Function):
    """The forward pass in pieces; keeps its inputs alone."""

    @staticmethod
    def forward(  # noqa: PLR0917 (autograd passes no names)
        ctx: Any, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, piece: int
    ) -> Tensor:
        ctx.save_for_backward(q, k, v, bias)
        ctx.piece = piece
        out = torch.empty_like(q, dtype=v.dtype, memory_format=torch.contiguous_format)
        with full_precision(q.device):
            for images, rows, queries in _pieces(q, k, bias, piece):
                weights = _weights(q[images, :, queries], k[images], bias, rows)
                out[images, :, queries] = weights.to(v.dtype) @ v[images]
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        found = _Backward.apply(gradient, *ctx.saved_tensors, ctx.piece)
        return (*found, *[None] * (5 - len(found)))


class _Backward(Function):
    """The backward pass in pieces, and its own."""

    @staticmethod
    def forward(  # noqa: PLR0917
        ctx: Any, gradient: Tensor, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, piece: int
    ) -> tuple[Tensor, ...]:
        ctx.save_for_backward(gradient, q, k, v, bias)
        ctx.piece = piece
        scale = q.shape[-1] ** -0.5
        totals = [torch.zeros_like(x) for x in (q, k, v, bias) if x is not None]
        with full_precision(q.device):
            for images, rows, queries in _pieces(q, k, bias, piece):
                g, q_, k_, v_ = gradient[images, :, queries], q[images, :, queries], k[images], v[images]
                weights = _weights(q_, k_, bias, rows)
                of_scores = _through_softmax((g @ v_.mT).to(weights.dtype), weights)
                totals[2][images] += weights.to(v.dtype).mT @ g
                if bias is not None:
                    totals[3] += _folded(of_scores.sum(0).to(bias.dtype), bias, rows)
                narrow = of_scores.mul_(scale).to(q.dtype)
                totals[0][images, :, queries] = narrow @ k_
                totals[1][images] += narrow.mT @ q_
        return tuple(totals)

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor | None, ...]:
        """With P the weights, A the gradient to them and S that to the scores, each of these has a cotangent."""
        gradient, q, k, v, bias = ctx.saved_tensors
        scale = q.shape[-1] ** -0.5
        totals = [torch.zeros_like(x) for x in (gradient, q, k, v, bias) if x is not None]
        with full_precision(q.device):
            for images, rows, queries in _pieces(q, k, bias, ctx.piece):
                g, q_, k_, v_ = gradient[images, :, queries], q[images, :, queries], k[images], v[images]
                of_q, of_k, of_v = outer[0][images, :, queries], outer[1][images], outer[2][images]
                p = _weights(q_, k_, bias, rows)
                a = (g @ v_.mT).to(p.dtype)
                s = _through_softmax(a, p)
                to_s = (torch.cat((of_q, q_), -1) @ torch.cat((k_, of_k), -1).mT).to(p.dtype).mul_(scale)
                if bias is not None:
                    windows = _windows(outer[3], rows)
                    to_s.view(len(to_s), *windows.shape).add_(windows)
                to_a = _through_softmax(to_s, p)
                # S = P (A − Σ A P), so that P gets to_s (A − Σ A P) − A Σ to_s P, and of_v through the values
                to_p = (g @ of_v.mT).to(p.dtype)
                to_p.addcmul_(to_s, a - (a * p).sum(-1, keepdim=True))
                to_p.addcmul_(a, (to_s * p).sum(-1, keepdim=True), value=-1)
                to_scores = _through_softmax(to_p, p)
                if bias is not None:
                    totals[4] += _folded(to_scores.sum(0).to(bias.dtype), bias, rows)
                p, to_a = p.to(v.dtype), to_a.to(v.dtype)
                s, to_scores = s.mul_(scale).to(q.dtype), to_scores.mul_(scale).to(q.dtype)
                totals[0][images, :, queries] = to_a @ v_ + p @ of_v
                totals[1][images, :, queries] = to_scores @ k_ + s @ of_k
                totals[2][images] += to_scores.mT @ q_ + s.mT @ of_q
                totals[3][images] += to_a.mT @ g
        return (*totals, *[None] * (6 - len(totals)))
