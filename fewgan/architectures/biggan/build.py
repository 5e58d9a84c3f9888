"""The options of BigGAN, its defaults for few photos, and its networks built from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fewgan.plugin import Adam, Defaults, Networks, UsageError, option

# Few photos ask for less than the published widths; these train on one GPU, and at 64 px on a CPU.
WIDTHS = {32: 64, 64: 32, 128: 32, 256: 32}
ATTENTION = {32: "16", 64: "32", 128: "64", 256: "64"}

# Chosen for batch 16 to 32 by measurement (see the README): the published rates let D die at such batches.
DEFAULTS = Defaults(
    loss="hinge",
    generator=Adam(learning_rate=1e-4, betas=(0.5, 0.999), epsilon=1e-6),
    discriminator=Adam(learning_rate=2e-4, betas=(0.5, 0.999), epsilon=1e-6),
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
    channels: str | None = option(None, "Of every block, bottom to image, where no width gives them.", hidden=True)
    discriminator_width: int | None = option(None, "Where D's differs.", min=1, hidden=True)
    discriminator_channels: str | None = option(None, "Of every block of D, as for G.", hidden=True)
    discriminator_attention: str | None = option(None, "Where D's differs.", hidden=True)


def attended(text: str, size: int, sides: Sequence[int]) -> list[int]:
    """Indices of the blocks with attention, of those whose sides are given.

    text: sides named as 32, 32,64 or none (BigGAN-PyTorch writes 32_64); or blocks, as block0,block2, which `read`
    writes where a side names more blocks than have attention.
    """
    if text in ("none", "0", ""):
        return []
    words = text.replace("_", ",").split(",")
    if all(word.startswith("block") and word[5:].isdecimal() for word in words):
        return [int(word[5:]) for word in words]
    allowed = {str(2**power) for power in range(2, 9) if 2**power <= size}
    if not set(words) <= allowed:
        raise UsageError(
            f"--biggan-attention {text}: give sides of this {size} px network such as {ATTENTION[size]}, or none"
        )
    return [index for index, side in enumerate(sides) if str(side) in words]


def _channels(text: str | None, width: int, table: Sequence[int]) -> list[int]:
    if text is None:
        return [multiplier * width for multiplier in table]
    try:
        channels = [int(word) for word in text.split(",")]
    except ValueError:
        channels = []
    if len(channels) != len(table) or min(channels) < 1:
        raise UsageError(f"channels {text!r}: {len(table)} numbers are needed; the file that says so is damaged")
    return channels


def build(options: Options, *, size: int, classes: int) -> Networks:
    from fewgan.architectures.biggan import networks

    if size not in networks.SIZES:
        raise UsageError(f"biggan has no {size} px network; choose --size {', '.join(map(str, networks.SIZES))}")
    width = options.width or WIDTHS[size]
    attention = ATTENTION[size] if options.attention is None else options.attention
    generator = networks.Generator(
        size,
        _channels(options.channels, width, networks.GENERATOR_CHANNELS[size]),
        attended(attention, size, networks.generator_sizes(size)),
        latent_dim=options.latent_dim,
        embedding_dim=options.embedding_dim,
        classes=classes,
        hierarchical=options.hierarchical,
        shared_embedding=options.shared_embedding,
    )
    width = options.discriminator_width or width
    attention = attention if options.discriminator_attention is None else options.discriminator_attention
    discriminator = networks.Discriminator(
        size,
        _channels(options.discriminator_channels, width, networks.DISCRIMINATOR_CHANNELS[size]),
        attended(attention, size, networks.discriminator_sizes(size)),
        classes=classes,
    )
    return Networks(generator, discriminator, DEFAULTS)
