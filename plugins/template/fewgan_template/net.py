"""An architecture: a small unconditional DCGAN (Radford et al. 2015, arXiv 1511.06434), 16 to 256 px."""

from __future__ import annotations

from dataclasses import dataclass

from fewgan.plugin import API, Defaults, Networks, Plugin, UsageError, option


@dataclass(frozen=True, kw_only=True)
class Options:
    width: int = option(32, "Channels next to the picture; twice as many at each halving, 256 at most", min=1, max=256)


def build(options: Options, *, size: int, classes: int) -> Networks:
    if size not in (16, 32, 64, 128, 256):
        raise UsageError(f"template-net has no {size} px network; choose --size 16, 32, 64, 128 or 256")
    from fewgan_template.networks import Discriminator, Generator

    channels = [min(options.width * 2**level, 256) for level in range(size.bit_length() - 3)]
    defaults = Defaults(loss="nonsaturating", betas=(0.5, 0.999))
    return Networks(Generator(channels, size, classes), Discriminator(channels, size, classes), defaults)


plugin = Plugin(api=API, summary="Net: a small DCGAN, 16 to 256 px", options=Options, build=build)
