"""BigGAN (Brock et al. 2018, arXiv 1809.11096): class-conditional, spectrally normalised, 32 to 256 px."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fewgan.architectures.biggan.build import Options, build
from fewgan.plugin import Networks, Plugin, Pretrained


def read(files: Mapping[str, Any]) -> Pretrained | None:
    from fewgan.architectures.biggan import layouts

    return layouts.read(files)


def write(networks: Networks) -> dict[str, dict[str, Any]]:
    from fewgan.architectures.biggan import layouts

    return layouts.write(networks)


plugin = Plugin(
    api=1,
    summary="BigGAN: class-conditional convolutional GAN with self-attention, 32 to 256 px",
    options=Options,
    build=build,
    read=read,
    write=write,
    layout="biggan-pytorch",
)
