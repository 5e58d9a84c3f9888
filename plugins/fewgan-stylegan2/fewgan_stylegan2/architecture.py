"""The architecture `stylegan2`: its options, how its networks are built, and how they are trained."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from fewgan.plugin import Adam, Defaults, Networks, Plugin, Pretrained, UsageError, option

if TYPE_CHECKING:
    from fewgan_stylegan2.configs import Configuration
    from fewgan_stylegan2.discriminator import Discriminator
    from fewgan_stylegan2.generator import GeneratorShape

Shape = TypeVar("Shape")

SIZES = (8, 16, 32, 64, 128, 256, 512, 1024)
NOISES = ("random", "const", "none")
ARCHITECTURES = ("resnet", "orig")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    config: str = option(
        "auto", "Configuration of the reference: auto, stylegan2, paper256, paper512, paper1024, cifar."
    )
    channel_base: int | None = option(
        None, "Channels at a side are this over the side. Default: the config's.", min=1, max=2**20
    )
    channel_max: int | None = option(None, "Most channels of a layer. Default: the config's.", min=1, max=4096)
    latent_dim: int | None = option(None, "Length of z and of w. Default: the config's.", min=1, max=4096)
    mapping_layers: int | None = option(None, "Layers from z to w. Default: the config's.", min=1, max=64)
    architecture: str | None = option(None, "Discriminator: resnet, or orig (no shortcuts). Default: the config's.")
    group: int | None = option(
        None, "Images that share a standard deviation in D. Default: the config's.", min=1, max=2**16
    )
    clamp: float | None = option(
        None, "Activations stay within ±clamp; 0: no limit. Default: the config's.", min=0, max=1e6
    )
    mixing: float | None = option(
        None, "Probability of style mixing, a batch. Default: the config's.", min=0, max=1, network=False
    )
    noise: str = option("random", "Noise in each layer: random, const (the stored one) or none.", network=False)
    cutoff: int | None = option(
        None, "Layers that --truncation acts on, from the first. Default: all.", min=0, max=64, network=False
    )
    generator_shape: str | None = option(None, "The generator's shape in a file.", hidden=True)
    discriminator_shape: str | None = option(None, "The discriminator's shape in a file.", hidden=True)


def build(options: Options, *, size: int, classes: int) -> Networks:
    from fewgan_stylegan2.generator import Generator

    found = _configuration(options, size)
    shape = _generator_shape(options, found, size, classes)
    generator = Generator(
        shape,
        mixing=found.mixing,
        noise=_one_of("noise", options.noise, NOISES),  # type: ignore[arg-type]
        cutoff=options.cutoff,
    )
    generator.path_length_weight = found.path_length or None
    return Networks(generator, lambda: _discriminator(options, found, shape), defaults(found))


def defaults(found: Configuration) -> Defaults:
    """How the reference trains with this configuration.

    Its half-life holds at its own batch; the core changes it in proportion at others. Adam's values are those of lazy
    regularization (arXiv 1912.04958, appendix B) for both networks, whether or not a regularizer is turned off: so the
    reference has it, where a weight of 0 does not change them.
    """
    from fewgan_stylegan2.configs import PATH_LENGTH_EVERY, R1_EVERY, lazy

    def adam(every: int) -> Adam:
        rate, betas = lazy(found.learning_rate, found.betas, every)
        return Adam(learning_rate=rate, betas=betas, epsilon=found.epsilon)

    return Defaults(
        loss="nonsaturating",
        generator=adam(PATH_LENGTH_EVERY),
        discriminator=adam(R1_EVERY),
        ema_images=round(found.ema_images * 32 / found.batch),
        ema_ramp=found.ema_ramp,
        ema_buffers="copy",
        regularizers=("r1", "pathlength") if found.path_length else ("r1",),
    )


def _one_of(name: str, value: str, known: tuple[str, ...]) -> str:
    if value not in known:
        raise UsageError(f"--stylegan2-{name} {value}: unknown; choose {', '.join(known[:-1])} or {known[-1]}")
    return value


def _configuration(options: Options, size: int) -> Configuration:
    """The named configuration with the single options in it."""
    from fewgan_stylegan2.configs import CONFIGURATIONS, configuration

    if size not in SIZES:
        raise UsageError(f"stylegan2 has no {size} px network; choose --size {', '.join(map(str, SIZES))}")
    found = configuration(_one_of("config", options.config, tuple(CONFIGURATIONS)), size)
    names = ("channel_base", "channel_max", "latent_dim", "mapping_layers", "architecture", "group", "mixing")
    given = {name: value for name in names if (value := getattr(options, name)) is not None}
    if "architecture" in given:
        _one_of("architecture", given["architecture"], ARCHITECTURES)
    if options.clamp is not None:
        given["clamp"] = options.clamp or None
    return dataclasses.replace(found, **given)


def _generator_shape(options: Options, found: Configuration, size: int, classes: int) -> GeneratorShape:
    from fewgan_stylegan2.generator import GeneratorShape

    if options.generator_shape is not None:
        return _shape(GeneratorShape, options.generator_shape, size, classes)
    return GeneratorShape(
        size=size,
        channels=found.channels(size),
        classes=classes,
        z_dim=found.latent_dim,
        w_dim=found.latent_dim,
        mapping_layers=found.mapping_layers,
        clamp=found.clamp,
    )


def _discriminator(options: Options, found: Configuration, generator: GeneratorShape) -> Discriminator:
    from fewgan_stylegan2.discriminator import Discriminator, DiscriminatorShape

    if options.discriminator_shape is not None:
        shape = _shape(DiscriminatorShape, options.discriminator_shape, generator.size, generator.classes)
    else:
        shape = DiscriminatorShape(
            size=generator.size,
            channels=generator.channels,
            classes=generator.classes,
            architecture=found.architecture,
            group=found.group,
            clamp=generator.clamp,
        )
    discriminator = Discriminator(shape)
    discriminator.r1_gamma = found.gamma
    return discriminator


def text(shape: Any) -> str:
    """A generator's or discriminator's shape as one option; the number of classes is the core's to say."""
    content = dataclasses.asdict(shape)
    del content["classes"]
    return json.dumps(content)


def _shape(kind: Callable[..., Shape], text: str, size: int, classes: int) -> Shape:
    """Raises UsageError for what `text` did not write, and for networks of another size."""
    from fewgan_stylegan2.generator import sides

    try:
        content = dict(json.loads(text))
        content["channels"] = {int(side): count for side, count in content["channels"].items()}
        shape = kind(**content, classes=classes)
        numbers = [*content["channels"].values(), *(value for value in content.values() if isinstance(value, int))]
        sound = all(type(number) is int and 0 < number <= 2**16 for number in numbers)
        sound = sound and content.get("mapping_layers", 8) <= 64
        if not sound or (content["size"] == size and set(content["channels"]) != set(sides(size))):
            raise ValueError(text)
    except (AttributeError, KeyError, TypeError, ValueError):
        raise UsageError("stylegan2: the shape of the networks in this file is damaged") from None
    if content["size"] != size:
        raise UsageError(f"--size {size}: these networks are of {content['size']} px")
    return shape


def read(files: Mapping[str, Any]) -> Pretrained | None:
    """Networks of the official code, and of rosinality's, in files of any name; nothing else is looked at."""
    from fewgan_stylegan2.layouts import read

    return read(files)


def write(networks: Networks) -> dict[str, dict[str, Any]]:
    """State dicts under the official names: G_ema.pth, D.pth; arguments.pth holds what leaves no trace in them."""
    from fewgan_stylegan2.layouts import write

    return write(networks)


plugin = Plugin(
    api=1,
    summary="StyleGAN2, 8 to 1024 px, with official and rosinality weights",
    options=Options,
    build=build,
    read=read,
    write=write,
    layout="stylegan2",
    sources="fewgan_stylegan2:sources.toml",
)
