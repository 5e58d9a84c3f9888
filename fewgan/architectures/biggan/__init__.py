"""BigGAN (Brock et al. 2018, arXiv 1809.11096): class-conditional, spectrally normalised, 32 to 256 px."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fewgan.plugin import API, Defaults, Networks, Plugin, Pretrained, UsageError, option

# Few photos ask for less than the published widths; these train on one GPU, and at 64 px on a CPU.
WIDTHS = {32: 64, 64: 32, 128: 32, 256: 32}
ATTENTION = {32: "16", 64: "32", 128: "64", 256: "64"}

# Chosen for batch 16 to 32 by measurement (see the README): the published rates let D die at such batches.
DEFAULTS = Defaults(
    loss="hinge",
    generator_learning_rate=1e-4,
    discriminator_learning_rate=2e-4,
    betas=(0.5, 0.999),
    epsilon=1e-6,
    discriminator_steps=2,
)


@dataclass(frozen=True, kw_only=True)
class Options:
    width: int | None = option(None, "Channel multiplier, `ch` in the paper. Default: by size.", min=1, max=512)
    attention: str | None = option(None, "Sides that get attention, as 32 or 32,64, or none. Default: by size.")
    latent_dim: int = option(120, "Length of z.", min=1, hidden=True)
    embedding_dim: int = option(128, "Length of the shared class embedding.", min=1, hidden=True)
    hierarchical: bool = option(True, "A chunk of z for each block.", hidden=True)
    shared_embedding: bool = option(True, "One class embedding for all layers.", hidden=True)
    discriminator_width: int | None = option(None, "Where D's differs.", min=1, hidden=True)
    discriminator_attention: str | None = option(None, "Where D's differs.", hidden=True)


def parse_attention(text: str, size: int) -> list[int]:
    """Sides named as 32, 32,64 or none (BigGAN-PyTorch writes 32_64)."""
    if text in ("none", "0", ""):
        return []
    try:
        sides = [int(side) for side in text.replace("_", ",").split(",")]
    except ValueError:
        sides = []
    allowed = [2**power for power in range(2, 9) if 2**power <= size]
    if not sides or any(side not in allowed for side in sides):
        raise UsageError(
            f"--biggan-attention {text}: give sides of this {size} px network such as {ATTENTION[size]}, or none"
        )
    return sides


def build(options: Options, *, size: int, classes: int) -> Networks:
    from fewgan.architectures.biggan.networks import SIZES, Discriminator, Generator

    if size not in SIZES:
        raise UsageError(f"biggan has no {size} px network; choose --size {', '.join(map(str, SIZES))}")
    width = options.width or WIDTHS[size]
    attention = ATTENTION[size] if options.attention is None else options.attention
    generator = Generator(
        size,
        width,
        parse_attention(attention, size),
        latent_dim=options.latent_dim,
        embedding_dim=options.embedding_dim,
        classes=classes,
        hierarchical=options.hierarchical,
        shared_embedding=options.shared_embedding,
    )
    discriminator_attention = attention if options.discriminator_attention is None else options.discriminator_attention
    discriminator = Discriminator(
        size,
        options.discriminator_width or width,
        parse_attention(discriminator_attention, size),
        classes=classes,
    )
    return Networks(generator, discriminator, DEFAULTS)


def read(files: Mapping[str, Any]) -> Pretrained | None:
    from fewgan.architectures.biggan import layouts

    return layouts.read(files)


def write(networks: Networks) -> dict[str, dict[str, Any]]:
    from fewgan.architectures.biggan import layouts

    return layouts.write(networks)


plugin = Plugin(
    api=API,
    summary="BigGAN: class-conditional convolutional GAN with self-attention, 32 to 256 px",
    options=Options,
    build=build,
    read=read,
    write=write,
)
