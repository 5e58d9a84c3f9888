"""FastGAN's own checkpoints (Liu et al. 2021, arXiv 2101.04775; odegeasslbc/FastGAN-pytorch): all_50000.pth, 50000.pth.

Both hold `g` and `d`, state dicts. all_50000.pth also holds `g_ema`, a list of the averaged parameters in the order of
those in `g`; 50000.pth has them in `g`. Batch statistics, u and v are never averaged. The generator's names are those
of Projected GAN, without `synthesis.`. Images are squashed by tanh at 1024 px alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from fewgan.plugin import UsageError
from fewgan_projected import layouts
from fewgan_projected.fastgan import SIZES, Generator, GeneratorFacts
from fewgan_projected.layers import SpectralConv2d
from fewgan_projected.layouts import Found, Named, State, holds, published_leaf, translated, written

GENERATOR = "fastgan.pth"
_FIRST = "init.init.0.weight_orig"
_OF_D = "down_from_big."
# Makes a second, small image, which FastGAN's own discriminator alone sees.
_SMALL_IMAGE = "to_128"
_SMALL_SIDE = 128
_PARALLEL = "module."  # what DataParallel puts before all names
_LEARNED = ("weight_orig", "weight", "bias")


def find(files: Mapping[str, Any]) -> Found | None:
    """The generator in files of any name: of several, that of the last step; None where there is none."""
    states = {name: state for name, content in files.items() if (state := _state(content, "g", _FIRST))}
    if not states:
        return None
    name = max(states, key=lambda name: (_step(name), "g_ema" in files[name], name))
    state, notes = states[name], []
    if "g_ema" in files[name]:
        averaged = _state(files[name], "g_ema", _FIRST) or _averaged(state, files[name]["g_ema"])
        if averaged is None:
            notes.append(f"g_ema of {name} does not fit its generator; g was read, which is not averaged")
        state = averaged or state
    if any(_state(files[other], "d", _OF_D) for other in {name, *(files.keys() - states.keys())}):
        notes.append(f"the discriminator beside {name} is FastGAN's own, not Projected GAN's; not read")
    return Found(*read_generator(state, name), tuple(notes))


def _state(content: Any, key: str, prefix: str) -> dict[str, Tensor] | None:
    """The state dict under that key, or that is the content itself, if it has names that start so."""
    inner = content[key] if isinstance(content, Mapping) and key in content else content
    if holds(inner, _PARALLEL):
        inner = {str(name).removeprefix(_PARALLEL): tensor for name, tensor in inner.items()}
    return dict(inner) if holds(inner, prefix) else None


def _step(file: str) -> int:
    """The last number in a file's name; -1 where there is none."""
    return int((re.findall(r"\d+", file) or ["-1"])[-1])


def _averaged(state: State, average: Any) -> dict[str, Tensor] | None:
    """The state dict with the averaged parameters, a list in the order of its own; None where they do not fit."""
    names = [name for name in state if name.rpartition(".")[2] in _LEARNED]
    if not isinstance(average, list | tuple) or len(average) != len(names):
        return None
    pairs = dict(zip(names, average, strict=True))
    fit = all(isinstance(tensor, Tensor) and tensor.shape == state[name].shape for name, tensor in pairs.items())
    return {**state, **pairs} if fit else None


def read_generator(state: State, file: str) -> tuple[GeneratorFacts, dict[str, Tensor]]:
    """As `layouts.read_generator`."""
    named = Named(state, file)
    latent_dim, stem = named.shape(_FIRST, 4)[:2]
    size = max((size for size in SIZES if named.has(f"feat_{size}.1.weight_orig")), default=SIZES[0])
    facts = GeneratorFacts(size=size, width=stem // 2 // 16, latent_dim=latent_dim, original=True, huggan=False)
    if facts.channels(size) < 1:
        raise UsageError(f"{file}: no FastGAN generator of {size} px and width {facts.width} has these tensors")
    with torch.device("meta"):
        expected = Generator(facts).state_dict()
    dead = {name for name in state if name.startswith(f"{_SMALL_IMAGE}.")}
    return facts, translated(state, file, expected, lambda name: generator_name(name, expected, facts), dead)


def write_generator(generator: Generator) -> dict[str, Any]:
    """A checkpoint with `g`: its state dict under these names, and an untrained convolution of the small image."""
    state, facts = generator.state_dict(), generator.facts
    found = {generator_name(name, state, facts): tensor for name, tensor in state.items()}
    with torch.random.fork_rng(devices=[]):
        unused = SpectralConv2d(facts.channels(_SMALL_SIDE), 3, 1).state_dict(prefix=f"{_SMALL_IMAGE}.")
    for name, tensor in unused.items():
        found[f"{_SMALL_IMAGE}.{published_leaf(name, name.rpartition('.')[2], unused)}"] = tensor
    return {"g": written(found)}


def generator_name(name: str, state: Iterable[str], facts: GeneratorFacts) -> str:
    """The name in the file of a generator's tensor. state: all names here."""
    return layouts.generator_name(name, state, facts).removeprefix("synthesis.")
