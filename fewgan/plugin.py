"""What a plugin author imports: the five seams of fewgan, written as protocols. Importing this module imports no torch.

A plugin is one frozen `Plugin` object, named by an entry point in one of five groups:

    fewgan.architectures   build(options, *, size, classes) -> Networks
    fewgan.transfers       build(options, *, networks)      -> Transfer
    fewgan.augmentations   build(options, *, size)          -> Augmentation
    fewgan.regularizers    build(options, *, networks)      -> Regularizer
    fewgan.features        build(options)                   -> Features

`build` makes every module by shape alone and reads no weights: it runs for a new run, a resume and for sampling. It
imports torch inside itself, so that listing plugins stays fast. What a method must remember lives in buffers and
parameters, so that a checkpoint holds it; a 0-d buffer is logged as `<plugin>.<buffer>`.

Shapes: N batch, S side, Z latent, C condition, F features, L logits per image. Images are float in [-1, 1],
[N, 3, S, S], unless said otherwise. Hooks marked optional may be left out.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from fewgan.errors import FewganError, UsageError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from fewgan.layers import SpectralConv2d, SpectralEmbedding, SpectralLinear, batch_norm

__all__ = [
    "API", "Augmentation", "Defaults", "Discriminator", "Features", "FewganError", "Generator", "Group", "Mapper",
    "Networks", "Plugin", "Pretrained", "Regularizer", "SpectralConv2d", "SpectralEmbedding", "SpectralLinear",
    "Step", "Transfer", "UsageError", "batch_norm", "option",
]  # fmt: skip

API = 1


def option(default: Any, help: str, *, min: float | None = None, max: float | None = None, hidden: bool = False) -> Any:
    """One field of a plugin's options; it becomes the flag `--<plugin>-<field>`.

    min and max are inclusive. A field typed `X | None` with default None means "chosen by the plugin". A hidden field
    has no flag: it holds a fact that `read` derives from a pretrained file and that `config.json` must remember.
    Types: bool, int, float, str, and each of them `| None`.
    """
    return field(default=default, metadata={"help": help, "min": min, "max": max, "hidden": hidden})


@dataclass(frozen=True, kw_only=True)
class Plugin:
    """What an entry point names.

    summary: one line for `--help` and `fewgan plugins`. options: a frozen keyword-only dataclass of `option` fields.
    build: makes the module or networks (see the top of this file); raises UsageError for what it cannot serve.
    needs_source: transfers only; a pretrained source must be given. It stands here, and not on the built module,
        because the source decides the size of the networks that the module is built around.
    read, write: architectures only, optional; foreign layouts, so that the core knows none.

    read(files) -> Pretrained, or None where the files are of another layout. files maps the names found in the folder
    (`G_ema.pth`) to state dicts, each loaded when first asked for. A missing, extra or misshapen tensor raises
    UsageError naming it. write(networks) -> {file name: state dict}, back.
    """

    api: int
    summary: str
    options: type
    build: Callable[..., Any]
    needs_source: bool = False
    read: Callable[[Mapping[str, Any]], Pretrained | None] | None = None
    write: Callable[[Networks], dict[str, dict[str, Tensor]]] | None = None


@runtime_checkable
class Generator(Protocol):
    """An nn.Module from latent to image.

    condition_dim may be 0. classes is 0 for a network without class labels. blocks() lists modules from latent to
    image so that every parameter is in exactly one; the stem counts to the first. A parameter built with
    requires_grad=False never learns. forward changes no state but batch-norm buffers. Normalise with `batch_norm`,
    which is F.batch_norm over the batch of all processes.

    optional advance() -> None: called once before each optimizer step; spectral norm's power iteration lives here,
        so that every forward of one step shares one sigma.
    optional standing_statistics(batches) -> None: re-estimates batch-norm statistics as the mean over an iterable of
        (z [N, Z], condition [N, C]); for `sample --standing-stats`.
    optional sample(z, condition, truncation) -> images: for a network with a truncation of its own (psi in w).
        Without it the core truncates z.
    """

    latent_dim: int
    condition_dim: int
    size: int
    classes: int

    def embed(self, labels: Tensor) -> Tensor:
        """labels int64 [N] -> condition [N, C]; one-hot rows where each layer has an embedding of its own."""
        ...

    def __call__(self, z: Tensor, condition: Tensor) -> Tensor:
        """z [N, Z], condition [N, C] -> images [N, 3, S, S]."""
        ...

    def blocks(self) -> Sequence[nn.Module]: ...


@runtime_checkable
class Discriminator(Protocol):
    """An nn.Module from image to logits; forward = head of features.

    Logits are [N] or [N, L]; losses are means over all of them. Double backward through forward must work (write
    attention out: the fused kernel has none on CPU). blocks() as for the generator, image to logit: fromrgb counts to
    the first, the head to the last. optional advance(), as for the generator.
    """

    size: int

    def features(self, images: Tensor) -> Tensor:
        """images [N, 3, S, S] -> [N, F]."""
        ...

    def head(self, features: Tensor, labels: Tensor | None) -> Tensor:
        """features [N, F], labels int64 [N] or None (unconditional) -> logits."""
        ...

    def __call__(self, images: Tensor, labels: Tensor | None) -> Tensor: ...

    def blocks(self) -> Sequence[nn.Module]: ...


@dataclass(frozen=True, kw_only=True)
class Defaults:
    """How an architecture wants to be trained; each value gives way to its command-line option.

    loss: hinge, nonsaturating or wasserstein. betas, epsilon: Adam's. discriminator_steps: D updates per G update.
    ema_images: longest half-life of the weight average, in images at batch 32. regularizers: names that are on unless
    `--no-<name>` is given.
    """

    loss: str = "hinge"
    generator_learning_rate: float = 2e-4
    discriminator_learning_rate: float = 2e-4
    betas: tuple[float, float] = (0.0, 0.999)
    epsilon: float = 1e-6
    discriminator_steps: int = 1
    ema_images: int = 10_000
    regularizers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Networks:
    """What an architecture builds. Both modules are in training mode and on the CPU."""

    generator: Generator
    discriminator: Discriminator
    defaults: Defaults


@dataclass(frozen=True, kw_only=True)
class Pretrained:
    """What `read` finds in foreign files: enough to build the networks, and their weights.

    generator, discriminator: state dicts in the names of the built networks, or None.
    classes: 0 for unconditional. transfer, mapper: the transfer plugin whose mapper the files hold, and its state dict.
    notes: lines that the user should see.
    """

    options: Any
    size: int
    classes: int
    generator: Mapping[str, Tensor]
    discriminator: Mapping[str, Tensor] | None
    transfer: str | None = None
    mapper: Mapping[str, Tensor] | None = None
    notes: tuple[str, ...] = ()


class Mapper(Protocol):
    """An nn.Module before the generator (MineGAN's miner); averaged with the EMA, stored beside the generator."""

    def __call__(self, z: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """z [N, Z], labels int64 [N] -> z [N, Z], condition [N, C]."""
        ...


@dataclass(frozen=True)
class Group:
    """Parameters with a learning rate of their own; `network` names the optimizer they join."""

    parameters: Sequence[nn.Parameter]
    learning_rate: float
    network: str = "generator"  # or "discriminator"


@runtime_checkable
class Transfer(Protocol):
    """An nn.Module that says where training starts and what learns when.

    Where the plugin says `needs_source`, the core loads the source, remaps its classes and copies its weights into the
    networks before start(); where the source has no discriminator, D stays as it was built.
    conditional: False gives D labels None, for real and fake.
    mapper: None, or a Mapper.

    optional start(networks, sources) -> None: once, in a new run only, after the source's weights are in place.
    optional keeps_source = True: start() is called on resume too (frozen teachers, held outside the module tree).
    optional groups() -> list[Group]: parameters with learning rates of their own. The mapper's parameters join
        the generator's optimizer at its rate unless named here.
    optional trainable(index, steps) -> iterable of parameters of the networks and of itself that learn at step `index`,
        or None for all; `steps` is what the run was started for and stays the same on resume. It is asked before every
        step. What it leaves out is frozen: its power iteration stops too, but batch norm still uses and tracks the
        batch.
    optional discriminator_loss(step), generator_loss(step), as for a regularizer.
    """

    conditional: bool
    mapper: Any


@runtime_checkable
class Augmentation(Protocol):
    """An nn.Module: forward(images) -> images, differentiable, the same for real and fake, fresh draws each call.

    optional observe(logits_real) -> None: once per optimizer step of D, with the logits of all processes and
        micro-batches (ADA's controller).
    """

    def __call__(self, images: Tensor) -> Tensor: ...


@dataclass(frozen=True, kw_only=True)
class Step:
    """One forward of one D or G step, as a regularizer sees it.

    index: the step, from 0; images_seen: photos shown to D so far, over all processes. real is raw (after flips),
    real_augmented what D's loss saw; the same tensor without an augmentation. Fakes are detached in the D step and
    carry gradient in the G step, where real, real_augmented, labels and logits_real are None. generate goes through
    the mapper. augment is None without an augmentation.
    """

    index: int
    images_seen: int
    real: Tensor | None
    real_augmented: Tensor | None
    fake: Tensor
    fake_augmented: Tensor
    labels: Tensor | None
    fake_labels: Tensor | None
    z: Tensor
    logits_real: Tensor | None
    logits_fake: Tensor
    generator: Generator
    discriminator: Discriminator
    generate: Callable[[Tensor, Tensor | None], Tensor]
    augment: Callable[[Tensor], Tensor] | None


@runtime_checkable
class Regularizer(Protocol):
    """An nn.Module whose parameters learn with D. Every hook is optional.

    every: int = 1: the losses are asked for on steps whose index it divides, and multiplied by it.
    discriminator_loss(step) -> scalar Tensor, added to D's loss, weight included.
    generator_loss(step) -> scalar Tensor, added to G's loss.
    observe(step) -> None: once per optimizer step of D, after the forward of its last micro-batch and before that
        one's discriminator_loss; step.logits_real and logits_fake hold the logits of all processes and micro-batches.
    adversarial: bool = True: False takes the core's own D loss out (ContraD).
    images(real, fake) -> (real, fake): replaces what D sees, before augmentation (APA).
    """

    def parameters(self) -> Iterable[nn.Parameter]: ...


@runtime_checkable
class Features(Protocol):
    """An nn.Module for scoring: forward(uint8 images [N, 3, H, W]) -> float32 [N, dim].

    score_name: what the Fréchet distance on these features is printed as: "FID" for the standard weights alone.
    All that forward depends on shows in the state dict or repr: features of photos are cached by them.
    """

    dim: int
    score_name: str

    def __call__(self, images: Tensor) -> Tensor: ...


def __getattr__(name: str) -> Any:
    # What plugin authors build with; loaded late because it needs torch.
    if name in ("SpectralConv2d", "SpectralEmbedding", "SpectralLinear", "batch_norm"):
        return getattr(importlib.import_module("fewgan.layers"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
