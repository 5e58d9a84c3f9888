"""Times the two forms of the modulated convolution, filtered convolutions, and Winograd's way.

    python plugins/fewgan-stylegan2/benchmarks/forms.py [--device cuda] [--dtype bfloat16]

Milliseconds forward with backward, the best of ten. What `modulation.choose` and, on CPUs,
`winograd.serves` say rests on this.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
from fewgan_stylegan2 import winograd
from fewgan_stylegan2.modulation import modulated_conv2d
from fewgan_stylegan2.resampling import downsample_conv2d, low_pass, upsample_conv2d
from torch import Tensor
from torch.nn import functional as F

SHAPES = ((512, 4), (512, 16), (256, 32), (192, 32), (128, 64), (64, 64), (32, 128), (16, 256))


def timed(function: Callable[[], Tensor], inputs: tuple[Tensor, ...]) -> float:
    best = float("inf")
    for _ in range(10):
        start = time.perf_counter()
        result = function()
        torch.autograd.grad(result, inputs, torch.ones_like(result))
        if result.is_cuda:
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - start)
    return best * 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--counts", type=int, nargs="+", default=[1, 2, 8])
    arguments = parser.parse_args()
    options = {"device": arguments.device, "dtype": getattr(torch, arguments.dtype)}

    def made(*shape: int) -> Tensor:
        x = torch.randn(*shape, **options)
        return (x.contiguous(memory_format=torch.channels_last) if len(shape) == 4 else x).requires_grad_()

    def product(x: Tensor, weight: Tensor, style: Tensor, form: str) -> Tensor:
        y, factor = modulated_conv2d(x, weight, style, form=form)
        return y if factor is None else y * factor[:, :, None, None].to(y.dtype)

    filter = low_pass().to(arguments.device)

    def row(count: int, channels: int, side: int) -> list[float]:
        x, small = made(count, channels, side, side), made(count, channels, side // 2, side // 2)
        weight, style = made(channels, channels, 3, 3), made(count, channels)
        ways = [lambda: F.conv2d(x, weight, padding=1)]
        if arguments.device == "cpu":
            ways.append(lambda: winograd.conv2d(x, weight))
        return [
            *(timed(lambda f=f: product(x, weight, style, f), (x, weight)) for f in ("grouped", "scaled")),
            timed(lambda: upsample_conv2d(small, weight, filter), (small, weight)),
            timed(lambda: downsample_conv2d(x, weight, None, filter), (x, weight)),
            *(timed(way, (x, weight)) for way in ways),
        ]

    print("images channels side   grouped    scaled        up      down       3x3  Winograd")
    for count in arguments.counts:
        for channels, side in SHAPES:
            times = " ".join(f"{value:9.2f}" for value in row(count, channels, side))
            print(f"{count:6d} {channels:8d} {side:4d} {times}", flush=True)


if __name__ == "__main__":
    main()
