"""The architecture `transgan`: options, the published recipes, and checkpoints of the published code."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fewgan.plugin import Adam, Defaults, Networks, Plugin, Pretrained, UsageError, option
from fewgan_transgan.shapes import (
    DiscriminatorShape,
    GeneratorShape,
    as_text,
    discriminator_from_text,
    discriminator_shape,
    generator_from_text,
    generator_shape,
)

if TYPE_CHECKING:
    from fewgan_transgan.discriminator import Discriminator

ADAM = Adam(learning_rate=1e-4, betas=(0.0, 0.99), epsilon=1e-8, gradient_clip=5.0)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A configuration: both networks at its sizes, and its training.

    ema_images is at batch 32; the published half-lives count one of the D steps between two G steps, these all of them.
    """

    sizes: tuple[int, ...]
    width: int
    depths: tuple[int, ...]
    latent_dim: int = 512
    norm: str = "ln"
    d_norm: str = "ln"
    kind: str = "two"
    patch: int = 2
    d_width: int = 384
    d_depth: int = 3
    cross: bool = False
    steps: int = 4
    ema_images: int = 1_000_000
    ema_ramp: float | None = 0.4


# An average of decay 0.995 per G step, 128 photos of a batch of 32 apart.
_CHURCH: dict[str, Any] = {"ema_images": 17_699, "ema_ramp": None}
RECIPES = {
    "cifar": Recipe(sizes=(32,), width=1024, depths=(5, 4, 2), latent_dim=256),
    # The published half-life is 500,000 photos of a batch of 32, the warm-up 0.05, with five D steps.
    "stl": Recipe(
        sizes=(48,), width=1024, depths=(7, 5, 3), norm="pn", d_norm="pn", steps=5, ema_images=2_500_000, ema_ramp=0.25
    ),
    "church": Recipe(sizes=(256,), width=1024, depths=(5, 4, 4, 4, 4, 4), norm="pn", kind="church", patch=4, **_CHURCH),
    "celebahq": Recipe(
        sizes=(256,), width=1024, depths=(5, 4, 4, 4, 4, 4), norm="pn", kind="celebahq", cross=True, **_CHURCH
    ),
}
# Nobody published 64 and 128 px, nor networks that a CPU can train.
AUTO = {
    32: Recipe(sizes=(32,), width=256, depths=(3, 2, 1), latent_dim=256, d_width=128, d_depth=2),
    48: Recipe(sizes=(48,), width=256, depths=(3, 2, 1), latent_dim=256, d_width=128, d_depth=2),
    64: Recipe(sizes=(64,), width=512, depths=(4, 3, 3, 2), latent_dim=256, patch=4, d_width=192, d_depth=2),
    128: Recipe(sizes=(128,), width=512, depths=(4, 4, 3, 3, 2), norm="pn", kind="church", patch=4, d_width=256),
    256: RECIPES["church"],
}


@dataclass(frozen=True, kw_only=True)
class Options:
    config: str = option("auto", "auto, or a published one: cifar (32 px), stl (48), church or celebahq (256).")
    width: int | None = option(None, "Channels of the generator's first map. Default: of the config.", min=16, max=4096)
    depths: str | None = option(None, "Blocks on each of the generator's maps, such as 5,4,2. Default: of the config.")
    window: int = option(16, "Side of the windows that attention keeps to on maps above 48 px.", min=1, max=256)
    norm: str | None = option(None, "The generator's norm, ln or pn (LayerNorm, PixelNorm). Default: of the config.")
    latent_dim: int | None = option(None, "Length of z. Default: of the config.", min=1, max=4096)
    d_width: int | None = option(None, "Channels of D's last map. Default: of the config.", min=16, max=4096)
    d_depth: int | None = option(None, "Blocks on each of D's maps, about. Default: of the config.", min=1, max=64)
    d_norm: str | None = option(None, "D's norm, ln or pn. Default: of the config.")
    generator_shape: str | None = option(None, "The generator of a pretrained file.", hidden=True)
    discriminator_shape: str | None = option(None, "The discriminator of a pretrained file.", hidden=True)


def recipe(options: Options, size: int) -> Recipe:
    """Raises UsageError where the configuration has no network of this size."""
    if options.config == "auto":
        if size in AUTO:
            return AUTO[size]
        raise UsageError(f"transgan has no {size} px network; choose --size {', '.join(map(str, AUTO))}")
    found = RECIPES.get(options.config)
    if found is None:
        raise UsageError(f"--transgan-config {options.config}: unknown; choose auto, {', '.join(RECIPES)}")
    if size not in found.sizes:
        raise UsageError(
            f"--transgan-config {options.config}: is a {found.sizes[0]} px network; add --size {found.sizes[0]}, or "
            "choose --transgan-config auto"
        )
    return found


def build(options: Options, *, size: int, classes: int) -> Networks:
    """Networks of a size, conditional with classes. Raises UsageError for a size or options that it cannot serve."""
    from fewgan_transgan.generator import Generator

    # A file may hold a network of a size of its own, which is trained as those of 32 px.
    given = options.generator_shape is not None
    chosen = AUTO[32] if given and options.config == "auto" and size not in AUTO else recipe(options, size)
    if options.generator_shape is None:
        shape = _generator_shape(options, chosen, size)
    else:
        shape = generator_from_text(options.generator_shape)
        if shape.size != size:
            raise UsageError(f"--size {size}: this network is of {shape.size} px")
    defaults = Defaults(
        loss="wasserstein",
        generator=ADAM,
        discriminator=ADAM,
        discriminator_steps=chosen.steps,
        generator_batch=2,
        ema_images=chosen.ema_images,
        ema_ramp=chosen.ema_ramp,
        ema_buffers="copy",
        regularizers=("gradient-penalty",),
    )
    judge = _discriminator_shape(options, chosen, size)
    return Networks(Generator(shape, classes), lambda: _discriminator(judge, classes), defaults)


def _discriminator(shape: DiscriminatorShape, classes: int) -> Discriminator:
    from fewgan_transgan.discriminator import Discriminator

    return Discriminator(shape, classes)


def _generator_shape(options: Options, chosen: Recipe, size: int) -> GeneratorShape:
    return generator_shape(
        size,
        width=options.width or chosen.width,
        depths=chosen.depths if options.depths is None else _numbers(options.depths),
        window=options.window,
        cross=chosen.cross,
        latent_dim=options.latent_dim or chosen.latent_dim,
        norm=_norm("norm", options.norm, chosen.norm),
        noise=size > 48,
    )


def _discriminator_shape(options: Options, chosen: Recipe, size: int) -> DiscriminatorShape:
    if options.discriminator_shape is not None:
        shape = discriminator_from_text(options.discriminator_shape)
        if shape.size != size:
            raise UsageError(f"--size {size}: the discriminator is of {shape.size} px")
        return shape
    return discriminator_shape(
        chosen.kind,
        size,
        width=options.d_width or chosen.d_width,
        depth=options.d_depth or chosen.d_depth,
        patch=chosen.patch,
        norm=_norm("d-norm", options.d_norm, chosen.d_norm),
        noise=chosen.kind == "two",
        bias=chosen.kind != "celebahq",
    )


def _numbers(text: str) -> tuple[int, ...]:
    try:
        numbers = tuple(int(word) for word in text.split(","))
    except ValueError:
        numbers = ()
    if not numbers or not all(0 < number < 100 for number in numbers):
        raise UsageError(f"--transgan-depths {text}: give numbers from 1 to 99, separated by commas, such as 5,4,2")
    return numbers


def _norm(flag: str, given: str | None, default: str) -> str:
    if given not in (None, "ln", "pn"):
        raise UsageError(f"--transgan-{flag} {given}: unknown; choose ln or pn")
    return given or default


def read(files: Mapping[str, Any]) -> Pretrained | None:
    """Checkpoints of the published code, and state dicts under its names, in files of any name; the average first."""
    from fewgan_transgan.files import read_discriminator, read_generator

    generators, judges = [], []
    for name, state in _states(files):
        if _holds(state, "l1.weight", "deconv.0.weight", "pos_embed_2"):
            generators.append((name, state))
        elif _holds(state, "cls_token", "fRGB_1.weight", "head.weight"):
            judges.append((name, state))
    if not generators:
        return None
    name, state = min(generators, key=lambda pair: not any(word in pair[0].lower() for word in ("avg", "ema")))
    shape, classes, generator = read_generator(state, name)
    options: dict[str, Any] = {"generator_shape": as_text(shape)}
    config = {32: "cifar", 48: "stl", 256: "celebahq" if shape.cross else "church"}.get(shape.size)
    if config is not None:
        options["config"] = config
    discriminator = None
    if judges:
        judge, judged, discriminator = read_discriminator(judges[0][1], judges[0][0])
        if (judge.size, judged) != (shape.size, classes):
            raise UsageError(f"{judges[0][0]}: the discriminator is not of the size and classes of {name}")
        options["discriminator_shape"] = as_text(judge)
    return Pretrained(
        options=Options(**options), size=shape.size, classes=classes, generator=generator, discriminator=discriminator
    )


def _states(files: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every state dict in the files, by name, without the prefix that DataParallel puts before names."""
    for name in files:
        content = files[name]
        if not isinstance(content, Mapping):
            continue
        inner = [key for key in content if str(key).endswith("_state_dict") and isinstance(content[key], Mapping)]
        for key in inner or [None]:
            state = content if key is None else content[key]
            plain = {str(word).removeprefix("module."): tensor for word, tensor in state.items()}
            yield name if key is None else f"{name}:{key}", plain


def _holds(state: Mapping[str, Any], *names: str) -> bool:
    from torch import Tensor

    return all(isinstance(state.get(name), Tensor) for name in names)


def write(networks: Networks) -> dict[str, dict[str, Any]]:
    """State dicts under the published names: G_ema.pth and D.pth."""
    from fewgan_transgan import files

    generator: Any = networks.generator
    return {"G_ema.pth": files.write(generator), "D.pth": files.write(networks.discriminator)}


plugin = Plugin(
    api=1,
    summary="TransGAN: generator and discriminator of transformers alone, 32 to 256 px",
    options=Options,
    build=build,
    read=read,
    write=write,
    layout="transgan",
)
