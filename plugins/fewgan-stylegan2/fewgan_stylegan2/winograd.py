"""3x3 convolutions with 16 products in the place of 36, for CPUs (Winograd's F(2x2, 3x3); Lavin and Gray 2016, arXiv
1509.09308, section 4.1).

A tile of 2x2 results needs 4x4 pixels. Pixels, kernels and results are transformed by small matrices, and between them
stands one product of matrices for each of the 16 places in a tile. In float32 the result is as near to the exact one as
that of the ordinary convolution; in bfloat16 it would not be, and there the ordinary one is taken.

The work goes through pieces of the batch that stay in the cache, so that nothing of the size of all tiles is held.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from threading import Barrier
from typing import Any, TypeVar

import torch
from torch import Tensor

from fewgan.plugin import constant
from fewgan_stylegan2.tiles import Room, of_gradients, of_pixels, to_results

Pieces = Sequence[tuple[slice, slice]]
Result = TypeVar("Result")

TILES, NUMBERS = 256, 2**17
"""Of a piece: at least so many tiles, and about so many numbers in each of its 16 matrices. With fewer, the products
of matrices are slow; with more, a piece leaves the cache."""

KERNEL = ((1.0, 0.0, 0.0), (0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0.0, 0.0, 1.0))
_inputs_alone = ContextVar("inputs_alone", default=False)
MIRRORED = (3, 1, 2, 0)
"""Where the places of a transformed kernel, on one axis, are found for the mirrored kernel."""


def serves(x: Tensor, weight: Tensor) -> bool:
    """Whether this is faster for x [N, in, H, W] and weight [out, in, k, k], as benchmarks/forms.py measures it.

    Below some 192 channels or 256 tiles the transforms take more than the products save.
    """
    count, channels, height, width = x.shape
    return (
        weight.shape[-1] == 3
        and min(channels, weight.shape[0]) >= 192
        and count * height * width >= 4 * TILES
        and height % 2 == width % 2 == 0
        and x.device.type == "cpu"
        and x.dtype == weight.dtype in (torch.float32, torch.float64)
        and not torch.is_autocast_enabled("cpu")
    )


def conv2d(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """F.conv2d(x, weight, bias, padding=1) to all orders of derivatives; x [N, in, H, W], weight [out, in, 3, 3].

    H and W are even. The result is in channels_last.
    """
    y: Tensor = _Convolution.apply(x, weight, False)
    return y if bias is None else y.add_(bias[:, None, None])


@contextmanager
def inputs_alone() -> Iterator[None]:
    """Gradients that are taken in here are none of weights, as in the first of two derivatives.

    torch.autograd tells its own operations which gradients are asked for, but no Function.
    """
    token = _inputs_alone.set(True)
    try:
        yield
    finally:
        _inputs_alone.reset(token)


class _Convolution(torch.autograd.Function):
    """x, weight -> the convolution, or with `adjoint` that of the mirrored kernel from its outputs to its inputs."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, adjoint: bool) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.adjoint = adjoint
        kernels = _kernels(weight)
        mirrored = kernels.view(4, 4, *kernels.shape[1:])[MIRRORED, :][:, MIRRORED].flatten(0, 1) if adjoint else None
        factors = kernels.transpose(1, 2) if mirrored is None else mirrored
        count, _, height, width = x.shape
        shape = (count, factors.shape[2], height, width)
        y = torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=torch.channels_last)
        theirs, ours = x.permute(0, 2, 3, 1), y.permute(0, 2, 3, 1)

        def work(pieces: Pieces) -> None:
            room = Room(x)
            for image, row in pieces:
                tiles = of_pixels(theirs, image, row, room)
                products = room("products", (*tiles.shape[:-1], factors.shape[2]))
                _multiply(tiles.flatten(0, 1).flatten(1, 3), factors, products.flatten(0, 1).flatten(1, 3))
                to_results(products, ours[image, row], room)

        _shared(work, x)
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, weight = ctx.saved_tensors
        of_x = _Convolution.apply(gradient, weight, not ctx.adjoint) if ctx.needs_input_grad[0] else None
        pair = (gradient, x) if ctx.adjoint else (x, gradient)
        wanted = ctx.needs_input_grad[1] and not _inputs_alone.get()
        of_weight = _KernelGradient.apply(*pair) if wanted else None
        return of_x, of_weight, None


class _KernelGradient(torch.autograd.Function):
    """x [N, in, H, W] and the gradient of its convolution [N, out, H, W] -> that of the weight [out, in, 3, 3]."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, gradient: Tensor) -> Tensor:
        ctx.save_for_backward(x, gradient)
        ins, outs = x.shape[1], gradient.shape[1]
        pixels, gradients = x.permute(0, 2, 3, 1), gradient.permute(0, 2, 3, 1)

        def work(pieces: Pieces) -> Tensor:
            room, total = Room(x), x.new_zeros(16, outs, ins)
            for image, row in pieces:
                tiles = of_pixels(pixels, image, row, room).flatten(0, 1).flatten(1, 3)
                spread = of_gradients(gradients[image, row], room).flatten(0, 1).flatten(1, 3)
                _multiply(spread.transpose(1, 2), tiles, total, add=True)
            return total

        total, *others = _shared(work, x)
        for other in others:
            total += other
        rows = _both_axes(x).t() @ total.view(16, -1)
        return rows.view(3, 3, outs, ins).permute(2, 3, 0, 1).contiguous(memory_format=torch.channels_last)

    @staticmethod
    def backward(ctx: Any, weight: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, gradient = ctx.saved_tensors
        of_x = _Convolution.apply(gradient, weight, True) if ctx.needs_input_grad[0] else None
        of_gradient = _Convolution.apply(x, weight, False) if ctx.needs_input_grad[1] else None
        return of_x, of_gradient


def _multiply(a: Tensor, b: Tensor, out: Tensor, *, add: bool = False) -> None:
    """out = a @ b, or with `add` out += a @ b; [16, n, k], [16, k, m] -> [16, n, m]."""
    product = _onednn()
    if product is None or a.dtype != torch.float32:
        out.baddbmm_(a, b, beta=int(add))
        return
    for one, other, result in zip(a, b, out, strict=True):
        if add:
            result.add_(product(one, other.t()))
        else:
            result.copy_(product(one, other.t()))


@cache
def _onednn() -> Callable[[Tensor, Tensor], Tensor] | None:
    """x @ weight.T by oneDNN, which is twice as fast on AMD's CPUs as the library behind `@`; None without it.

    torch calls it from compiled code alone, under a name that a release may change.
    """

    def product(x: Tensor, weight: Tensor) -> Tensor:
        y: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, None, "none", [], "")
        return y

    try:
        with torch.device("cpu"):  # whatever device the caller makes its networks on
            works = torch.equal(product(torch.ones(2, 3), torch.ones(4, 3)), torch.full((2, 4), 3.0))
    except (AttributeError, RuntimeError, TypeError):
        works = False
    return product if works else None


def _both_axes(like: Tensor) -> Tensor:
    """The transform of a kernel as one matrix [16, 9]."""
    kernel = constant(KERNEL, like)
    return torch.kron(kernel, kernel)


def _kernels(weight: Tensor) -> Tensor:
    """weight [out, in, 3, 3] -> [16, out, in]."""
    outs, ins = weight.shape[:2]
    return (_both_axes(weight) @ weight.permute(2, 3, 0, 1).reshape(9, -1)).view(16, outs, ins)


def _shared(work: Callable[[Pieces], Result], x: Tensor) -> list[Result]:
    """What `work` makes of the pieces, dealt out in turn to as many workers as torch has threads.

    Each worker computes with one thread: the pieces are small, and two threads that wait for each other after each of
    many small operations lose more than they gain where another process takes a core.
    """
    pieces = list(_pieces(x))
    count = min(torch.get_num_threads(), len(pieces))
    if count == 1:
        return [work(pieces)]
    pool = _pool(torch.get_num_threads(), os.getpid())

    @torch.no_grad()
    def alone(index: int) -> Result:
        return work(pieces[index::count])

    return list(pool.map(alone, range(count)))


def _one_thread() -> None:
    torch.set_num_threads(1)
    torch.get_num_threads()  # a thread takes the process's number when it is first asked for it, and never again


@cache
def _pool(count: int, process: int) -> ThreadPoolExecutor:
    """Workers of one thread each. process: threads do not come along into a forked one."""
    del process
    pool = ThreadPoolExecutor(count, initializer=_one_thread)
    barrier = Barrier(count)
    list(pool.map(lambda _: barrier.wait(), range(count)))  # all of them are there
    torch.set_num_threads(count)  # for threads to come, what the workers have changed for themselves
    return pool


def _pieces(x: Tensor) -> Iterator[tuple[slice, slice]]:
    """Images and rows of results."""
    count, channels, height, width = x.shape
    pixels = 4 * max(TILES, NUMBERS // channels)
    rows = min(height, max(2, pixels // width // 2 * 2))
    images = max(1, pixels // (rows * width))
    for image in range(0, count, images):
        for row in range(0, height, rows):
            yield slice(image, min(image + images, count)), slice(row, min(row + rows, height))
