"""Times a training step and sampling of StyleGAN2 against the literal implementation beside this file, in one run.

    python plugins/fewgan-stylegan2/benchmarks/steps.py --size 64 --base 4096

A step is one update of D (reals and fakes apart, softplus losses) and one of G, by Adam, in training mode with noise
and style mixing, without R1 and path length; these are timed apart, each as one update of its own. Both sides have the
same weights, batch and optimizer, and take turns; the best of the rounds counts, as noise only adds. Memory is the peak
resident size of a process of its own that makes two steps with both terms.
"""

from __future__ import annotations

import argparse
import importlib.util
import math
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from fewgan_stylegan2 import losses
from fewgan_stylegan2.discriminator import Discriminator, DiscriminatorShape
from fewgan_stylegan2.generator import Generator, GeneratorShape, sides
from torch import Tensor
from torch.nn.functional import softplus

_spec = importlib.util.spec_from_file_location("stylegan2_plain", Path(__file__).with_name("plain.py"))
plain = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(plain)

SIDES = ("plain", "ours")


class Side:
    """One implementation with its weights: how it makes ws, images from ws, and logits."""

    def __init__(self, name: str, arguments: argparse.Namespace) -> None:
        torch.manual_seed(0)
        channels = {side: min(arguments.base // side, arguments.max) for side in sides(arguments.size)}
        width = arguments.latent
        self.generator = Generator(
            GeneratorShape(
                size=arguments.size, channels=channels, z_dim=width, w_dim=width, mapping_layers=arguments.mapping
            )
        )
        self.discriminator = Discriminator(DiscriminatorShape(size=arguments.size, channels=channels))
        self.batch, self.latent, self.size = arguments.batch, width, arguments.size
        self.none = torch.zeros(self.batch, 0)
        if name == "ours":
            self.generator.to(memory_format=torch.channels_last)
            self.discriminator.to(memory_format=torch.channels_last)
            self.styles = lambda z: self.generator.styles(z, self.none)
            self.images = lambda ws: self.generator.synthesis(ws, "random")
            self.logits = lambda images: self.discriminator(images, None)
            self.layout = torch.channels_last
        else:
            self.states = [
                dict(network.named_parameters()) | dict(network.named_buffers())
                for network in (self.generator, self.discriminator)
            ]
            self.styles = self._plain_styles
            self.images = lambda ws: plain.synthesis(self.states[0], ws, "random")
            self.logits = lambda images: plain.discriminator(self.states[1], images)
            self.layout = torch.contiguous_format
        self.optimizers = {
            network: torch.optim.Adam(network.parameters(), lr=1e-5, betas=(0.0, 0.99), eps=1e-8, fused=True)
            for network in (self.generator, self.discriminator)
        }
        self.reals = torch.randn(self.batch, 3, self.size, self.size).contiguous(memory_format=self.layout)
        self.mean = torch.zeros(())

    def _plain_styles(self, z: Tensor) -> Tensor:
        state, layers = self.states[0], 2 * int(math.log2(self.size)) - 2
        w = plain.mapping(state, z, torch.zeros(len(z), 0))
        with torch.no_grad():
            state["mapping.w_avg"].copy_(w.mean(dim=0).lerp(state["mapping.w_avg"], 0.995))
        ws = w[:, None].repeat(1, layers, 1)
        cutoff = int(torch.randint(1, layers, ()))
        if torch.rand(()) < 0.9:
            ws[:, cutoff:] = plain.mapping(state, torch.randn_like(z), torch.zeros(len(z), 0))[:, None]
        return ws

    def z(self, count: int | None = None) -> Tensor:
        return torch.randn(count or self.batch, self.latent)

    def update(self, network: torch.nn.Module, *terms: Callable[[], Tensor]) -> None:
        for other in self.optimizers:
            other.requires_grad_(other is network)
        self.optimizers[network].zero_grad(set_to_none=True)
        for term in terms:
            term().backward()
        self.optimizers[network].step()

    def step(self) -> None:
        with torch.no_grad():
            fakes = self.images(self.styles(self.z()))
        self.update(
            self.discriminator,
            lambda: softplus(self.logits(fakes)).mean(),
            lambda: softplus(-self.logits(self.reals)).mean(),
        )
        self.update(self.generator, lambda: softplus(-self.logits(self.images(self.styles(self.z())))).mean())

    def r1(self) -> None:
        images = self.reals.detach().requires_grad_()
        self.update(self.discriminator, lambda: losses.r1(self.logits(images), images, 1.0))

    def path_length(self) -> None:
        self.none = torch.zeros(self.batch // 2, 0)

        def loss() -> Tensor:
            ws = self.styles(self.z(self.batch // 2))
            value, self.mean = losses.path_length(losses.path_lengths(self.images(ws), ws), self.mean)
            self.mean = self.mean.detach()
            return value

        self.update(self.generator, loss)
        self.none = torch.zeros(self.batch, 0)

    @torch.no_grad()
    def sample(self) -> None:
        if self.layout == torch.channels_last:
            self.generator.eval()
            self.generator.sample(self.z(), self.none, 0.7)
            self.generator.train()
        else:
            plain.generator(self.states[0], self.z(), self.none, "random", 0.7)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (
        ("size", 64), ("base", 4096), ("max", 512), ("batch", 8), ("latent", 512), ("mapping", 2), ("rounds", 3),
        ("threads", torch.get_num_threads()),
    ):  # fmt: skip
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--bf16", action="store_true", help="both sides under autocast to bfloat16")
    parser.add_argument("--times-alone", action="store_true", help="leave memory out")
    parser.add_argument("--memory", choices=SIDES, help="make two steps of this side and print the peak in MiB")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    with torch.autocast("cpu", torch.bfloat16, enabled=arguments.bf16):
        measure(arguments)


def measure(arguments: argparse.Namespace) -> None:
    if arguments.memory:
        side = Side(arguments.memory, arguments)
        for _ in range(2):
            side.step()
            side.r1()
            side.path_length()
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
        return

    peaks = {}  # measured first: a child's peak starts from what its parent holds
    for name in () if arguments.times_alone else SIDES:
        command = [sys.executable, __file__, *sys.argv[1:], "--memory", name]
        # Freed memory goes back at once, so that the peak is that of the tensors alive.
        environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
        peaks[name] = int(subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout)
    pair = {name: Side(name, arguments) for name in SIDES}
    clock = time.process_time if arguments.threads == 1 else time.perf_counter  # of one thread, whatever else runs
    precision = "bf16" if arguments.bf16 else "fp32"
    print(
        f"{arguments.size} px, channel base {arguments.base}, batch {arguments.batch}, {arguments.threads} threads, "
        f"{precision}"
    )
    for work in ("step", "r1", "path_length", "sample"):
        best = dict.fromkeys(SIDES, math.inf)
        for _ in range(arguments.rounds + 1):  # the first warms up, and may win all the same
            for name, side in pair.items():
                start = clock()
                getattr(side, work)()
                best[name] = min(best[name], clock() - start)
        print(
            f"{work:12} plain {best['plain']:7.3f} s  ours {best['ours']:7.3f} s  {best['plain'] / best['ours']:.2f}x"
        )
    if peaks:
        print(f"memory       plain {peaks['plain']:5d} MiB ours {peaks['ours']:5d} MiB")


if __name__ == "__main__":
    main()
