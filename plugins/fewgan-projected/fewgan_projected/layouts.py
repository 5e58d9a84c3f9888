"""The names of Projected GAN's state dicts, and the facts that the tensors hold; no config file is read."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from fewgan.plugin import UsageError
from fewgan_projected.backbone import CHANNELS, STAGES, pretrained
from fewgan_projected.discriminators import Discriminator, DiscriminatorFacts, Head
from fewgan_projected.fastgan import SIZES, Generator, GeneratorFacts

State = Mapping[str, Tensor]
# Parts of a block, by (small, conditional): the names here and there.
_PARTS = {
    (False, False): {"conv1": "1", "noise1": "2", "norm1": "3", "conv2": "5", "noise2": "6", "norm2": "7"},
    (True, False): {"conv": "1", "norm": "2"},
    (False, True): {"conv1": "conv1", "noise1": "noise", "norm1": "bn1", "conv2": "conv2", "norm2": "bn2"},
    (True, True): {"conv": "conv", "norm": "bn"},
}
_SPECTRAL = {"weight": "weight_orig", "u": "weight_u", "v": "weight_v"}
# The published code builds and saves the blocks up to this side, whatever the size of its images.
_BUILT_SIDE = 256
_BLOCK = re.compile(r"synthesis\.(?:feat|se)_(\d+)\.")
_HEAD = re.compile(r"discriminator\.mini_discs\.(\d+)\.(?:main\.(\d+)\.)?")
_COUNTER = "num_batches_tracked"
_PRETRAINED = "feature_network.pretrained."


@dataclass(frozen=True)
class Found:
    """A generator in files of others: its facts, its state dict under the names here, and lines for the user to see."""

    facts: GeneratorFacts
    state: dict[str, Tensor]
    notes: tuple[str, ...] = ()


def find(files: Mapping[str, Any]) -> Found | None:
    """Projected GAN's generator in files of any name, the average before others; None where there is none."""
    generators = [name for name, state in files.items() if holds(state, "synthesis.to_big.weight_orig")]
    if not generators:
        return None
    name = min(generators, key=lambda name: ("ema" not in name.lower(), name))
    return Found(*read_generator(files[name], name))


def holds(content: Any, prefix: str) -> bool:
    """Whether this is a dict with a name that starts so."""
    return isinstance(content, Mapping) and any(str(name).startswith(prefix) for name in content)


def read_generator(state: State, file: str) -> tuple[GeneratorFacts, dict[str, Tensor]]:
    """A generator's state dict under the published names -> its facts, and its state dict under the names here.

    Raises UsageError naming the file and the tensor that is missing, unknown or of another shape.
    """
    facts = _generator_facts(Named(state, file))
    with torch.device("meta"):
        expected = Generator(facts).state_dict()
    dead = {name for name in state if (match := _BLOCK.match(name)) and int(match[1]) > facts.size}
    return facts, translated(state, file, expected, lambda name: generator_name(name, expected, facts), dead)


def write_generator(generator: Generator) -> dict[str, Tensor]:
    """Its state dict under the published names, with the blocks that the published code has and does not use."""
    facts, state = generator.facts, generator.state_dict()
    found = {}
    if facts.size < _BUILT_SIDE:
        whole = replace(facts, size=_BUILT_SIDE)
        with torch.random.fork_rng(devices=[]):
            unused = Generator(whole).state_dict()
        found = {generator_name(name, unused, whole): tensor for name, tensor in unused.items()}
    found |= {generator_name(name, state, facts): tensor for name, tensor in state.items()}
    return written(found)


def generator_name(name: str, state: Iterable[str], facts: GeneratorFacts) -> str:
    """The published name of a generator's tensor. state: all names here."""
    first, *middle, leaf = name.split(".")
    leaf = published_leaf(name, leaf, state)
    if first == "stem":
        return f"synthesis.init.init.{'0' if middle == ['conv'] else '1'}.{leaf}"
    if first == "features":
        side, part, *rest = middle
        part = _PARTS[facts.small(int(side)), bool(facts.classes)][part]
        if facts.classes:
            leaf = leaf.replace("running_", "stored_")
        return ".".join(["synthesis", f"feat_{side}", part, *rest, leaf])
    if first == "excitations":
        return f"synthesis.se_{middle[0]}.main.{'1' if middle[1] == 'conv1' else '3'}.{leaf}"
    return f"synthesis.{'embed' if first == 'embedding' else 'to_big'}.{leaf}"


def _generator_facts(state: Named) -> GeneratorFacts:
    latent_dim, stem = state.shape("synthesis.init.init.0.weight_orig", 4)[:2]
    last = state.shape("synthesis.to_big.weight_orig", 4)[1]
    big = {
        side: state.has(*(f"synthesis.feat_{side}.{part}.weight_orig" for part in ("5", "conv2"))) for side in (8, 16)
    }
    classes = state.shape("synthesis.embed.weight", 2)[0] if state.has("synthesis.embed.weight") else 0
    width = stem // 2 // 16
    facts = GeneratorFacts(
        size=SIZES[0],
        width=width,
        latent_dim=latent_dim,
        lite=not big[8],
        alternating=big[8] and not big[16],
        classes=classes,
    )
    sizes = [size for size in SIZES if facts.channels(size) == last]
    if len(sizes) != 1:
        raise UsageError(
            f"{state.file}: synthesis.to_big.weight_orig has {last} input channels, which no FastGAN generator of "
            f"width {width} has; its sizes are {', '.join(map(str, SIZES))}"
        )
    return replace(facts, size=sizes[0])


def read_discriminator(state: State, file: str) -> tuple[DiscriminatorFacts, dict[str, Tensor]]:
    """A discriminator's state dict under the published names -> its facts, and its state dict under the names here.

    The backbone is in neither; see `read_disturbed`. Raises UsageError as `read_generator` does.
    """
    facts = _discriminator_facts(Named(state, file))
    with torch.device("meta"):
        # Large enough for every head; the side of the images is not in the weights.
        expected = Discriminator(facts, nn.Identity(), size=512, side=512).state_dict()
    ignored = {name for name in state if name.startswith(_PRETRAINED)}
    return facts, translated(state, file, expected, lambda name: discriminator_name(name, expected, facts), ignored)


def write_discriminator(discriminator: Discriminator, disturbed: bool) -> dict[str, Tensor]:
    """Its state dict under the published names, with that of the backbone. disturbed: see `Backbone.disturb`."""
    state = {name: tensor for name, tensor in discriminator.state_dict().items() if not name.startswith("backbone.")}
    found = {discriminator_name(name, state, discriminator.facts): tensor for name, tensor in state.items()}
    backbone = pretrained(disturbed=disturbed, folded=False).state()
    return written({_pretrained_name(name): tensor for name, tensor in backbone.items()} | found)


def read_disturbed(state: State, file: str) -> bool | None:
    """Whether the backbone in a discriminator's state dict is disturbed; None where the dict has no backbone.

    Raises UsageError where it is another network than `backbone.pretrained()`.
    """
    if not any(name.startswith(_PRETRAINED) for name in state):
        return None
    for disturbed in (False, True):
        ours = {
            _pretrained_name(name): tensor
            for name, tensor in pretrained(disturbed=disturbed, folded=False).state().items()
        }
        if all(_close(state.get(name), tensor) for name, tensor in ours.items()):
            return disturbed
    raise UsageError(f"{file}: its feature network is not EfficientNet-Lite0 with the published weights")


def _close(found: Tensor | None, expected: Tensor) -> bool:
    if found is None or found.shape != expected.shape:
        return False
    return bool(torch.allclose(found.to(expected), expected, rtol=1e-3, atol=1e-5))


def discriminator_name(name: str, state: Iterable[str], facts: DiscriminatorFacts) -> str:
    """The published name of a discriminator's tensor. state: all names here."""
    first, *middle, leaf = name.split(".")
    leaf = published_leaf(name, leaf, state)
    if first == "projector":
        part, index = middle
        return f"feature_network.scratch.layer{index}_{'ccm' if part == 'across' else 'csm.out_conv'}.{leaf}"
    head, part = facts.heads[int(middle[0])], middle[1]
    prefix = f"discriminator.mini_discs.{head.scale}"
    if part == "down":
        index, inner = middle[2:]
        inner = {"conv": "0", "norm": "1"}.get(inner, f"0.{inner}")
        return f"{prefix}.main.{index}.main.{inner}.{leaf}"
    if part == "last":
        return f"{prefix}.{'cls' if facts.classes else f'main.{len(head.channels) - 1}'}.{leaf}"
    return f"{prefix}.{'embed' if part == 'embedding' else 'embed_proj.0'}.{leaf}"


def _discriminator_facts(state: Named) -> DiscriminatorFacts:
    across = state.rows("feature_network.scratch.layer{}_ccm.weight")
    scales = state.rows("feature_network.scratch.layer{}_csm.out_conv.weight")
    layers: dict[int, set[int]] = {}  # of each head, by its scale
    for match in filter(None, map(_HEAD.match, state.state)):
        layers.setdefault(int(match[1]), set()).update([int(match[2])] if match[2] else [])
    if not layers:
        raise UsageError(f"{state.file}: there is no tensor discriminator.mini_discs.0…; this is no Projected GAN")
    prefixes = {scale: f"discriminator.mini_discs.{scale}" for scale in sorted(layers)}
    separable = state.has(*(f"{prefix}.main.0.main.0.pointwise.weight_orig" for prefix in prefixes.values()))
    tables = [f"{prefix}.embed.weight" for prefix in prefixes.values()]
    classes = state.shape(tables[0], 2)[0] if state.has(*tables) else 0
    mixed, heads = scales or across, []
    for scale, prefix in prefixes.items():
        downs = len(layers[scale]) - (0 if classes else 1)  # the last of `main` is the last convolution, or it is `cls`
        widths = [len(state.tensor(f"{prefix}.main.{index}.main.1.weight")) for index in range(downs)]
        if downs > 0:
            part = "0.depthwise.weight_orig" if separable else "0.weight_orig"
            before = state.shape(f"{prefix}.main.0.main.{part}", 4)[0 if separable else 1]
        else:
            before = state.shape(f"{prefix}.{'cls' if classes else 'main.0'}.weight_orig", 4)[1]
        if scale >= len(mixed or CHANNELS) or (mixed or CHANNELS)[scale] != before:
            raise UsageError(f"{state.file}: {prefix} takes {before} channels, which its features do not have")
        heads.append(Head(scale=scale, channels=(before, *widths)))
    return DiscriminatorFacts(across=across, scales=scales, heads=tuple(heads), separable=separable, classes=classes)


class Named:
    """A state dict that says which tensor is missing or of another shape."""

    def __init__(self, state: State, file: str) -> None:
        self.state, self.file = state, file

    def has(self, *names: str) -> bool:
        return any(name in self.state for name in names)

    def tensor(self, name: str) -> Tensor:
        if name not in self.state:
            raise UsageError(f"{self.file}: tensor {name} is missing")
        return self.state[name]

    def shape(self, name: str, dimensions: int) -> torch.Size:
        shape = self.tensor(name).shape
        if len(shape) != dimensions:
            raise UsageError(
                f"{self.file}: tensor {name} has the shape {list(shape)}; it should have {dimensions} axes"
            )
        return shape

    def rows(self, pattern: str) -> tuple[int, ...] | None:
        """Output channels of the four convolutions of that name, or None where there is none."""
        if not self.has(*(pattern.format(index) for index in range(4))):
            return None
        return tuple(self.shape(pattern.format(index), 4)[0] for index in range(4))


def published_leaf(name: str, leaf: str, state: Iterable[str]) -> str:
    """The published last part of a name: in a spectral layer, which has a u, weight, u and v are called differently."""
    return _SPECTRAL.get(leaf, leaf) if f"{name.rpartition('.')[0]}.u" in state else leaf


def translated(
    state: State, file: str, expected: State, rename: Callable[[str], str], ignored: set[str]
) -> dict[str, Tensor]:
    """state under the names of `expected`, which `rename` gives in the file. Raises UsageError as `read_generator`."""
    named, found, used = Named(state, file), {}, set(ignored)
    for name, tensor in expected.items():
        published = rename(name)
        found[name] = named.tensor(published)
        if found[name].shape != tensor.shape:
            raise UsageError(
                f"{file}: tensor {published} has the shape {list(found[name].shape)}; "
                f"beside the others it should have {list(tensor.shape)}"
            )
        used.add(published)
    for name in state:
        if name not in used and not name.endswith(_COUNTER):
            raise UsageError(f"{file}: tensor {name} is unknown")
    return found


def written(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Plain tensors, and the counters of PyTorch's batch norm, which nothing reads."""
    found = {name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format) for name, tensor in state.items()}
    for name in state:
        if name.endswith("running_mean"):
            found[f"{name.removesuffix('running_mean')}{_COUNTER}"] = torch.tensor(0)
    return found


def _pretrained_name(name: str) -> str:
    """A tensor's name in the package's file -> its name in the published discriminator, built from timm's network."""
    first, *rest = name.split(".")
    if first != "_blocks":
        return f"{_PRETRAINED}layer0.{'0' if first == '_conv_stem' else '1'}.{rest[0]}"
    index, layer, leaf = int(rest[0]), rest[1], rest[2]
    stage = 0
    while index >= STAGES[stage][0]:
        index, stage = index - STAGES[stage][0], stage + 1
    place = ("layer0.3", "layer0.4", "layer1.0", "layer2.0", "layer2.1", "layer3.0", "layer3.1")[stage]
    names = {"_depthwise_conv": "conv_dw", "_bn1": "bn2", "_expand_conv": "conv_pw", "_bn0": "bn1"}
    names |= {"_project_conv": "conv_pwl", "_bn2": "bn3"}
    if stage == 0:
        names = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
    return f"{_PRETRAINED}{place}.{index}.{names[layer]}.{leaf}"
