"""FastGAN generators of the HugGAN community on the Hugging Face Hub (huggan/fastgan-few-shot-…): `pytorch_model.bin`.

Their code seems to be that of silentz/Towards-Faster-And-Stabilized-GAN-…, which keeps to Liu et al. 2021 (arXiv
2101.04775), at 1024 px: each spectral layer lies in a module of its own, `_conv`, and noise has a `_weight`. The
discriminator beside it (`discriminator.bin`) is FastGAN's own, with decoders, and not Projected GAN's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from fewgan.plugin import UsageError
from fewgan_projected.fastgan import CHANNELS, SIZES, Generator, GeneratorFacts
from fewgan_projected.layouts import Found, Named, State, holds, published_leaf, translated, written

GENERATOR = "pytorch_model.bin"
_FIRST = "_init._layers.0._conv.weight_orig"
_OF_D = "_features_large."
# A second, small image, which FastGAN's own discriminator alone sees.
_SMALL_IMAGE = "_out_128."
_BIG = {"conv1": "1._conv", "noise1": "2", "norm1": "3", "conv2": "5._conv", "noise2": "6", "norm2": "7"}
_SMALL = {"conv": "1._conv", "norm": "2"}


def find(files: Mapping[str, Any]) -> Found | None:
    """The generator in files of any name; None where there is none."""
    generators = [name for name, state in files.items() if isinstance(state, Mapping) and _FIRST in state]
    if not generators:
        return None
    name = min(generators, key=lambda name: (name != GENERATOR, name))
    judges = [other for other, state in files.items() if holds(state, _OF_D)]
    notes = (f"{judge} is FastGAN's own discriminator, not Projected GAN's; not read" for judge in judges)
    return Found(*read_generator(files[name], name), tuple(notes))


def read_generator(state: State, file: str) -> tuple[GeneratorFacts, dict[str, Tensor]]:
    """As `layouts.read_generator`."""
    named = Named(state, file)
    latent_dim, stem = named.shape(_FIRST, 4)[:2]
    sizes = [size for size in SIZES if named.has(f"_out_{size}.0._conv.weight_orig")]
    width = stem // 2 // 16
    facts = GeneratorFacts(size=max(sizes, default=SIZES[0]), width=width, latent_dim=latent_dim, original=True)
    if not sizes or width * CHANNELS[facts.size] < 1:
        raise UsageError(f"{file}: no FastGAN generator of {facts.size} px and width {width} has these tensors")
    with torch.device("meta"):
        expected = Generator(facts).state_dict()
    dead = {name for name in state if name.startswith(_SMALL_IMAGE) and facts.size != 128}
    return facts, translated(state, file, expected, lambda name: generator_name(name, expected, facts), dead)


def write_generator(generator: Generator) -> dict[str, Tensor]:
    """Its state dict under these names, without the convolution of the small image."""
    state = generator.state_dict()
    return written({generator_name(name, state, generator.facts): tensor for name, tensor in state.items()})


def generator_name(name: str, state: Iterable[str], facts: GeneratorFacts) -> str:
    """The name in the file of a generator's tensor. state: all names here."""
    first, *middle, leaf = name.split(".")
    leaf = published_leaf(name, leaf, state)
    if first == "stem":
        return f"_init._layers.{'0._conv' if middle == ['conv'] else '1'}.{leaf}"
    if first == "features":
        side, part = middle
        leaf = "_weight" if part.startswith("noise") else leaf
        return f"_upsample_{side}._layers.{(_SMALL if facts.small(int(side)) else _BIG)[part]}.{leaf}"
    if first == "excitations":
        return f"_sle_{middle[0]}._layers.{'1' if middle[1] == 'conv1' else '3'}._conv.{leaf}"
    return f"_out_{facts.size}.0._conv.{leaf}"
