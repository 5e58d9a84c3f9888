"""Times attention in pieces against its literal form, and takes the peak of memory of each, in one run.

    python plugins/fewgan-transgan/benchmarks/attention.py --side 64 --images 1 --width 72

forward: without derivatives. first: the gradients of q, k, v and the bias. second: the derivatives of these, as a
gradient penalty needs them. Both forms take turns, in processor time; the best of the rounds counts. Memory is the peak
resident size of a process of its own that computes the second derivatives once, above that of one that has made the
inputs alone.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time

import torch
from fewgan_transgan.attention import attend
from fewgan_transgan.files import relative_position_index
from torch import Tensor

FORMS = ("literal", "pieces")


def literal(q: Tensor, k: Tensor, v: Tensor, table: Tensor, index: Tensor) -> Tensor:
    scores = q @ k.transpose(2, 3) * q.shape[-1] ** -0.5
    bias = table[index.view(-1)].view(*index.shape, -1).permute(2, 0, 1)
    return (scores + bias[None]).softmax(-1) @ v


class Form:
    """One of the two forms with its inputs."""

    def __init__(self, name: str, arguments: argparse.Namespace) -> None:
        torch.manual_seed(0)
        side, heads = arguments.side, arguments.heads
        shape = (arguments.images, heads, side * side, arguments.width // heads)
        self.inputs = [torch.randn(shape, requires_grad=True) for _ in range(3)]
        self.inputs.append(torch.randn((2 * side - 1) ** 2, heads, requires_grad=True))
        index = relative_position_index(side) if name == "literal" else None
        self.function = attend if index is None else lambda *x: literal(*x, index)

    def forward(self) -> None:
        with torch.no_grad():
            self.function(*self.inputs)

    def first(self) -> None:
        torch.autograd.grad(self.function(*self.inputs).square().sum(), self.inputs)

    def second(self) -> None:
        out = self.function(*self.inputs).square().sum()
        found = torch.autograd.grad(out, self.inputs, create_graph=True)
        torch.autograd.grad(sum(gradient.square().sum() for gradient in found), self.inputs)


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (
        ("side", 32), ("images", 4), ("heads", 4), ("width", 64), ("rounds", 3), ("threads", torch.get_num_threads()),
    ):  # fmt: skip
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--memory", choices=FORMS, help="compute once with this form and print the peak in MiB")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)

    if arguments.memory:
        form = Form(arguments.memory, arguments)
        before = peak()
        form.second()
        print(peak() - before)
        return

    command = [sys.executable, __file__, *sys.argv[1:], "--memory"]
    peaks = [int(subprocess.run([*command, name], check=True, capture_output=True, text=True).stdout) for name in FORMS]
    forms = [Form(name, arguments) for name in FORMS]
    print(f"{arguments.side}x{arguments.side} tokens, {arguments.images} images, {arguments.heads} heads, "
          f"{arguments.width} channels, {arguments.threads} threads")  # fmt: skip
    for work in ("forward", "first", "second"):
        best = [float("inf")] * len(forms)
        for _ in range(arguments.rounds + 1):
            for number, form in enumerate(forms):
                start = time.process_time()
                getattr(form, work)()
                best[number] = min(best[number], time.process_time() - start)
        print(f"{work:8} literal {best[0]:7.3f} s  pieces {best[1]:7.3f} s  {best[0] / best[1]:.2f}x")
    print(f"memory   literal {peaks[0]:5} MiB  pieces {peaks[1]:5} MiB  {peaks[0] / max(peaks[1], 1):.1f}x")


if __name__ == "__main__":
    main()
