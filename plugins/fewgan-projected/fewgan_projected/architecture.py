"""The architecture `fastgan`: FastGAN's generator with the discriminator of Projected GAN."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fewgan.plugin import Adam, Defaults, Networks, Plugin, Pretrained, UsageError, option

if TYPE_CHECKING:
    from fewgan_projected.discriminators import Discriminator, DiscriminatorFacts
    from fewgan_projected.fastgan import GeneratorFacts

# Sauer et al. 2021, table 6 of the appendix. The published loop multiplies D's rate by 16/17 and adapts its second beta
# as if D were regularised in every 16th step only, which it is not; this is the rate that the paper names.
ADAM = Adam(learning_rate=2e-4, betas=(0.0, 0.99), epsilon=1e-8)
DEFAULTS = Defaults(
    loss="hinge",
    generator=ADAM,
    discriminator=ADAM,
    discriminator_steps=1,
    ema_images=10_000,
    ema_buffers="copy",
)
LEAST_SIDE = 64
SIDE = "discriminator_side"  # its name in arguments.pth


@dataclass(frozen=True, kw_only=True)
class Options:
    width: int = option(32, "Channels of the generator; 128 is the paper's, 32 is what a CPU bears.", min=4, max=512)
    lite: bool = option(True, "The generator with half as many layers, without noise.")
    separable: bool = option(True, "Depthwise convolutions in D; off: the paper's 4x4 ones.")
    side: int | None = option(
        None,
        "Side of the images for D's features. Default: the run's size; the paper's is 224 where that is smaller.",
        min=LEAST_SIDE,
        max=1024,
    )
    disturbed: bool = option(False, "Running statistics of D's features as the published code disturbs them.")
    latent_dim: int = option(256, "Length of z.", min=1, hidden=True)
    alternating: bool = option(False, "Big and small blocks in turn, where a file has them.", hidden=True)
    original: bool = option(False, "FastGAN's own generator, where a file has it.", hidden=True)
    huggan: bool = option(True, "FastGAN's own generator as HugGAN has it.", hidden=True)
    heads: str | None = option(None, "D's heads, where a file has others.", hidden=True)


def build(options: Options, *, size: int, classes: int) -> Networks:
    from fewgan_projected.fastgan import CHANNELS, SIZES, Generator, GeneratorFacts

    if size not in SIZES:
        raise UsageError(f"fastgan has no {size} px network; choose --size {', '.join(map(str, SIZES))}")
    if classes and size > 256:
        raise UsageError(f"fastgan with classes has no {size} px network; choose --size 64, 128 or 256")
    facts = GeneratorFacts(
        size=size,
        width=options.width,
        latent_dim=options.latent_dim,
        lite=options.lite,
        alternating=options.alternating,
        classes=classes,
        original=options.original,
        huggan=options.huggan,
    )
    if not facts.channels(size):
        least = math.ceil(1 / CHANNELS[size])
        raise UsageError(f"--fastgan-width {options.width} leaves no channels at {size} px; choose {least} or more")
    return Networks(Generator(facts), lambda: _discriminator(options, size, classes), DEFAULTS)


def _discriminator(options: Options, size: int, classes: int) -> Discriminator:
    from fewgan.plugin import Frozen
    from fewgan_projected.backbone import identity, pretrained
    from fewgan_projected.discriminators import Discriminator, published

    side = options.side or size
    if options.heads is None:
        facts = published(side, separable=options.separable, classes=classes)
    else:
        facts = dataclasses.replace(_facts(options.heads), classes=classes)
    frozen = Frozen(lambda: pretrained(disturbed=options.disturbed), identity(options.disturbed))
    return Discriminator(facts, frozen, size=size, side=side)


def _facts(text: str) -> DiscriminatorFacts:
    from fewgan_projected.discriminators import DiscriminatorFacts, Head

    content = json.loads(text)
    heads = tuple(Head(scale=scale, channels=tuple(channels)) for scale, channels in content.pop("heads"))
    across, scales = (None if content[name] is None else tuple(content[name]) for name in ("across", "scales"))
    return DiscriminatorFacts(across=across, scales=scales, heads=heads, separable=bool(content["separable"]))


def _text(facts: DiscriminatorFacts) -> str:
    heads = [(head.scale, head.channels) for head in facts.heads]
    return json.dumps({"across": facts.across, "scales": facts.scales, "heads": heads, "separable": facts.separable})


def read(files: Mapping[str, Any]) -> Pretrained | None:
    """Networks of the published code: state dicts in files of any name (the average first), and FastGAN's own.

    The latter are FastGANs of HugGAN, and checkpoints of the published FastGAN.
    """
    from fewgan_projected import huggan, layouts, original

    contents = {name: files[name] for name in files}
    found = layouts.find(contents) or huggan.find(contents) or original.find(contents)
    if found is None:
        return None
    facts, options, discriminator = found.facts, _options(found.facts), None
    judges = [name for name, state in contents.items() if layouts.holds(state, "discriminator.mini_discs.")]
    if judges:
        d_facts, discriminator = layouts.read_discriminator(contents[judges[0]], judges[0])
        if d_facts.classes != facts.classes:
            raise UsageError(
                f"{judges[0]} has {d_facts.classes} classes, the generator {facts.classes}; they do not belong together"
            )
        options |= {
            "heads": _text(d_facts),
            "separable": d_facts.separable,
            "side": _side(contents, facts.size),
            "disturbed": bool(layouts.read_disturbed(contents[judges[0]], judges[0])),
        }
    return Pretrained(
        options=Options(**options),
        size=facts.size,
        classes=facts.classes,
        generator=found.state,
        discriminator=None if discriminator is None else _with_identity(discriminator, options["disturbed"]),
        notes=found.notes,
    )


def _options(facts: GeneratorFacts) -> dict[str, Any]:
    """What `build` makes a generator of these facts from, beside size and classes."""
    names = ("width", "latent_dim", "lite", "alternating", "original", "huggan")
    return {name: getattr(facts, name) for name in names}


def _with_identity(state: Mapping[str, Any], disturbed: bool) -> dict[str, Any]:
    """The state dict of D beside that of its frozen backbone, which is its identity alone."""
    from fewgan.plugin import Frozen
    from fewgan_projected.backbone import identity

    return {**state, "backbone.identity": Frozen.digest(identity(disturbed))}


def _side(files: Mapping[str, Any], size: int) -> int:
    """The side of the images for D's features: as `write` has kept it, else the published network's."""
    from fewgan_projected.discriminators import PUBLISHED_SIDE

    kept = [content[SIDE] for content in files.values() if isinstance(content, Mapping) and SIDE in content]
    if not kept:
        return max(size, PUBLISHED_SIDE)
    if type(kept[0]) is not int or not LEAST_SIDE <= kept[0] <= 1024:
        raise UsageError(f"{SIDE} is {str(kept[0])[:40]!r}: the file is damaged")
    return kept[0]


def write(networks: Networks) -> dict[str, dict[str, Any]]:
    """State dicts under the published names: G_ema.pth, or the file of HugGAN or FastGAN, and D.pth.

    arguments.pth holds the side of the images for D's features, which leaves no trace in them.
    """
    from fewgan_projected import huggan, original
    from fewgan_projected.layouts import write_discriminator, write_generator

    generator: Any = networks.generator
    discriminator: Any = networks.discriminator
    disturbed = "disturbed" in discriminator.backbone.identity_text
    name, content = "G_ema.pth", write_generator
    if generator.facts.original:
        layout = huggan if generator.facts.huggan else original
        name, content = layout.GENERATOR, layout.write_generator
    return {
        name: content(generator),
        "D.pth": write_discriminator(discriminator, disturbed),
        "arguments.pth": {SIDE: discriminator.side},
    }


plugin = Plugin(
    api=1,
    summary="FastGAN with Projected GAN's discriminator: trains from scratch on few photos, 64 to 1024 px",
    options=Options,
    build=build,
    read=read,
    write=write,
    layout="projected-gan",
    sources="fewgan_projected:sources.toml",
)
