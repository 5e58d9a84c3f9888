"""An architecture: a small unconditional DCGAN (Radford et al. 2015, arXiv 1511.06434), 16 to 256 px."""

from __future__ import annotations

from dataclasses import dataclass

from fewgan.plugin import Adam, Defaults, Networks, Plugin, UsageError, option

ADAM = Adam(betas=(0.5, 0.999))  # learning rates and all else are fewgan's defaults


@dataclass(frozen=True, kw_only=True)
class Options:
    width: int = option(32, "Channels at full size; they double at each halving of the size, up to 256", min=1, max=256)


def build(options: Options, *, size: int, classes: int) -> Networks:
    if size not in (16, 32, 64, 128, 256):
        raise UsageError(f"template-net has no {size} px network; choose --size 16, 32, 64, 128 or 256")
    from fewgan_template.networks import Discriminator, Generator

    channels = [min(options.width * 2**level, 256) for level in range(size.bit_length() - 3)]
    return Networks(
        generator=Generator(channels, size, classes),
        discriminator=lambda: Discriminator(channels, size, classes),  # built only where D is needed: not for sampling
        defaults=Defaults(loss="nonsaturating", generator=ADAM, discriminator=ADAM),
    )


plugin = Plugin(api=1, summary="Net: a small DCGAN, 16 to 256 px", options=Options, build=build)
