"""What the networks cost, in seconds of one thread: python plugins/fewgan-projected/benchmarks/costs.py

D: two forwards and the backward to the discriminators' parameters, for one fake and one real image. G: forward and
backward to the image, for one. Everything lies in channels_last. Folded: batch norm in the frozen convolutions, and
mixing before upsampling. step: both. Each is the best of some rounds, in processor time, over a batch.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
from fewgan_projected.backbone import pretrained
from fewgan_projected.discriminators import Discriminator, published
from fewgan_projected.fastgan import Generator, GeneratorFacts

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--batch", type=int, default=8)
parser.add_argument("--rounds", type=int, default=4)
parser.add_argument("--sides", type=int, nargs="+", default=[64, 128, 224], help="sides that D looks at")
parser.add_argument("--sizes", type=int, nargs="+", default=[64, 128], help="sizes of G's images")
arguments = parser.parse_args()
batch = arguments.batch
torch.set_num_threads(1)


def seconds(function: Callable[[], None]) -> float:
    """Of processor time, an image."""
    best = float("inf")
    for _ in range(arguments.rounds + 1):
        start = time.process_time()
        function()
        best = min(best, time.process_time() - start)
    return best / batch


def cost_of_discriminator(side: int, separable: bool, fast: bool, bf16: bool) -> tuple[float, float]:
    discriminator = Discriminator(
        published(side, separable=separable), pretrained(folded=fast), size=side, side=side, early=fast
    )
    discriminator.to(memory_format=torch.channels_last)
    fake, real = (torch.randn(batch, 3, side, side) for _ in range(2))
    image = fake.clone().requires_grad_()

    def step_d() -> None:
        discriminator.zero_grad(set_to_none=True)
        discriminator.advance()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss = (1 + discriminator(fake)).relu().mean() + (1 - discriminator(real)).relu().mean()
        loss.backward()

    def step_g() -> None:
        image.grad = None
        discriminator.requires_grad_(False)
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss = -discriminator(image).mean()
        loss.backward()
        discriminator.heads.requires_grad_(True)

    return seconds(step_d), seconds(step_g)


def cost_of_generator(size: int, width: int, lite: bool, bf16: bool) -> float:
    generator = Generator(GeneratorFacts(size=size, width=width, lite=lite)).to(memory_format=torch.channels_last)
    z = torch.randn(batch, generator.latent_dim)

    def step() -> None:
        generator.zero_grad(set_to_none=True)
        generator.advance()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            images = generator(z, z[:, :0])
        images.float().sum().backward()

    return seconds(step)


WAYS = (
    ("not folded", False, False),
    ("folded", True, False),
    ("folded, bf16", True, True),
)
print(f"{'discriminator':42} {'side':>4} {'D':>7} {'G':>7} {'step':>7}")
for side in arguments.sides:
    for separable in (False, True):
        for name, fast, bf16 in WAYS:
            d, g = cost_of_discriminator(side, separable, fast, bf16)
            label = ("separable, " if separable else "conv4x4, ") + name
            print(f"{label:42} {side:4} {d:7.4f} {g:7.4f} {d + g:7.4f}", flush=True)
print(f"\n{'generator':42} {'size':>4} {'forward and backward':>22}")
for size in arguments.sizes:
    for width in (32, 64):
        for lite in (True, False):
            for bf16 in (False, True):
                label = f"{'lite' if lite else 'big'}, width {width}" + (", bf16" if bf16 else "")
                print(f"{label:42} {size:4} {cost_of_generator(size, width, lite, bf16):22.4f}", flush=True)
