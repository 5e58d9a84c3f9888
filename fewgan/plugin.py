"""What a plugin author imports: the seams of fewgan, written as protocols. Importing this module imports no torch.

A plugin is one frozen `Plugin` object, named by an entry point in one of seven groups:

    fewgan.architectures   build(options, *, size, classes) -> Networks
    fewgan.transfers       build(options, *, networks)      -> Transfer
    fewgan.augmentations   build(options, *, size)          -> Augmentation
    fewgan.regularizers    build(options, *, networks)      -> Regularizer
    fewgan.features        build(options)                   -> Features
    fewgan.trackers        build(options)                   -> Tracker
    fewgan.commands        build(options)                   -> Command

`build` makes every module by shape alone and reads no weights but those of a `Frozen` part, and of features: it runs
for a new run, a resume and for sampling. It imports torch inside itself, so that listing plugins stays fast. What a
method must remember lives in buffers and parameters, so that a checkpoint holds it; a 0-d buffer is logged as
`<plugin>.<buffer>`.

Shapes: N batch, S side, Z latent, C condition, F features, L logits per image. Images are float [N, 3, S, S], about
[-1, 1]. Hooks marked optional may be left out. Any module of a plugin may have `advance()`: the core calls it once
before each optimizer step, and spectral norm's power iteration belongs there, so that every forward of one step shares
one sigma. A module that has one is responsible for the modules inside it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from fewgan.errors import FewganError, UsageError
from fewgan.networks import Adam, Defaults, Discriminator, Generator, Networks, Pretrained
from fewgan.options import option

if TYPE_CHECKING:
    from torch import Tensor, nn

    from fewgan.distributed import all_gather
    from fewgan.layers import (
        Frozen,
        SpectralConv2d,
        SpectralEmbedding,
        SpectralLinear,
        advance,
        batch_norm,
        constant,
        full_precision,
    )
    from fewgan.screen import Screen
    from fewgan.sources.download import fetch
    from fewgan.sources.weights import read_weights
    from fewgan.storage import check_shapes

__all__ = [
    "API", "Adam", "Augmentation", "Command", "Defaults", "Discriminator", "Features", "FewganError", "Frozen",
    "Generator", "Group", "Mapper", "Networks", "Plugin", "Pretrained", "Regularizer", "Screen", "SpectralConv2d",
    "SpectralEmbedding", "SpectralLinear", "Step", "Tracker", "Transfer", "UsageError", "advance", "all_gather",
    "batch_norm", "check_shapes", "constant", "fetch", "full_precision", "option", "read_weights",
]  # fmt: skip

API = 1


@dataclass(frozen=True, kw_only=True)
class Plugin:
    """What an entry point names.

    api: the api that the plugin was written for, as a number: 1. Not `API`, which is that of the installed fewgan.
    summary: one line for `--help` and `fewgan plugins`. options: a frozen keyword-only dataclass of `option` fields.
    build: makes the module or networks (see the top of this file); raises UsageError for what it cannot serve.
    needs_source: transfers only; a pretrained source must be given. It is here, and not on the built module,
        because the source decides the size of the networks that the module is built around.
    read, write: architectures only, optional; foreign layouts, so that the core knows none.
    layout: architectures only, optional; the name of what `write` writes, for `fewgan export --to`.
    sources: architectures only, optional; pretrained networks that `--source` knows by name, as "package:file" of a
        TOML file: [name] with summary, licence, get (where a person finds it) and files, each with its name and, where
        it can be downloaded, url and sha256; base is what stands before each url.

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
    sources: str | None = None
    layout: str | None = None


class Mapper(Protocol):
    """An nn.Module before the generator (MineGAN's miner); averaged with the EMA, stored beside the generator."""

    def __call__(self, z: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """z [N, Z], labels int64 [N] -> z [N, Z], condition [N, C]."""
        ...


@dataclass(frozen=True)
class Group:
    """Parameters with a learning rate of their own.

    network: the optimizer that they join, "generator" or "discriminator". schedule(index, steps) -> a factor of the
    rate at step `index`, with the arguments of `trainable`, so that a stage can have a rate of its own; None: 1. It is
    multiplied by the schedules that hold for the whole optimizer.
    """

    parameters: Sequence[nn.Parameter]
    learning_rate: float
    network: str = "generator"
    schedule: Callable[[int, int], float] | None = None


@runtime_checkable
class Transfer(Protocol):
    """An nn.Module that says where training starts and what learns when.

    Where the plugin says `needs_source`, the core loads the source, remaps its classes and copies its weights into the
    networks before start(); where the source has no discriminator, D stays as it was built.
    conditional: False gives D labels None, for real and fake.
    mapper: None, or a Mapper.

    optional start(networks, sources) -> None: once, in a new run only, after the source's weights are in place.
        sources: a list of one fewgan.Model, in eval mode on the run's device; its discriminator may be None.
    optional keeps_source = True: start() is called on resume too (frozen teachers, held outside the module tree).
    optional groups() -> list[Group]: parameters with learning rates of their own. The mapper's parameters join
        the generator's optimizer at its rate unless named here.
    optional trainable(index, steps) -> iterable of parameters of the networks and of itself that learn at step `index`,
        or None for all; `steps` is what the run was started for and stays the same on resume. It is asked before every
        step. What it leaves out is frozen: its power iteration stops too, but batch norm still uses and tracks the
        batch.
    optional discriminator_loss(step), generator_loss(step), schedule(images_seen, planned_images), as for a
        regularizer.
    """

    conditional: bool
    mapper: Any


@runtime_checkable
class Augmentation(Protocol):
    """An nn.Module: forward(images) -> images, differentiable, the same for real and fake, fresh draws each call.

    It changes each picture by itself (`images` of a regularizer may mix them), no state in forward, and learns nothing.

    optional observe(logits_real, images_seen) -> None: once per optimizer step of D, with the logits of all
        processes and micro-batches (ADA's controller).
    """

    def __call__(self, images: Tensor) -> Tensor: ...


@dataclass(frozen=True, kw_only=True)
class Step:
    """One forward of one D or G step, as a regularizer sees it.

    index: the step, from 0; images_seen: photos shown to D so far, over all processes, of planned_images. real is raw
    (after flips), real_augmented what D's loss saw; the same tensor without an augmentation. Fakes are detached in the
    D step and carry gradient in the G step, where real, real_augmented, labels and logits_real are None (but see
    `needs_real`). The logits are None where a regularizer replaces the adversarial loss and gives none. generate goes
    through the mapper. augment is None without an augmentation. What is called through a step (generator,
    discriminator and their methods, generate) runs in the run's precision and returns float32; augment runs in that of
    its images.
    discriminator(images, labels) is D, or what a regularizer with `adversarial = False` has in its place.
    """

    index: int
    images_seen: int
    planned_images: int
    real: Tensor | None
    real_augmented: Tensor | None
    fake: Tensor
    fake_augmented: Tensor
    labels: Tensor | None
    fake_labels: Tensor | None
    z: Tensor
    logits_real: Tensor | None
    logits_fake: Tensor | None
    generator: Generator
    discriminator: Discriminator
    generate: Callable[[Tensor, Tensor | None], Tensor]
    augment: Augmentation | None


@runtime_checkable
class Regularizer(Protocol):
    """An nn.Module whose parameters learn with D. Every hook is optional.

    every: int = 1: the losses are asked for on steps whose index it divides, and multiplied by it.
    discriminator_loss(step) -> scalar Tensor, added to D's loss, weight included.
    generator_loss(step) -> scalar Tensor, added to G's loss.
    observe(step) -> None: once per optimizer step of D, after the forward of its last micro-batch and before that
        one's discriminator_loss; step.logits_real and logits_fake hold the logits of all processes and micro-batches.
    images(real, fake, labels, fake_labels) -> the same four: replaces what D sees, before augmentation (APA).
    needs_real: bool = False: True puts photos into the G step, too (relativistic losses).
    adversarial: bool = True: False takes the core's own losses of D and G out, and the core's forward of D with them
        (ContraD, relativistic losses). Such a plugin brings both losses, and
    logits(step) -> (real, fake): in the D step, before discriminator_loss; for the metrics, observe and other plugins.
        Compute once what both need. Without it, a plugin that has `observe` cannot be chosen beside this one.
    discriminator(images, labels) -> logits: where G is trained against another head than D's own; a method or a module.
        Other plugins then get it as `step.discriminator(…)`, with gradient to all that learns in it, so that a
        penalty or a consistency loss is of the discriminator that plays. images as D is given them; labels or None.
    schedule(images_seen, planned_images) -> a factor of all learning rates, of G, D and plugins (a warm-up); it is
        multiplied by the architecture's schedules.
    start(networks, sources), keeps_source: as for a transfer; not called without a source (EWC, CDC).
    """

    def parameters(self) -> Iterable[nn.Parameter]: ...


@runtime_checkable
class Features(Protocol):
    """An nn.Module for scoring: forward(uint8 images [N, 3, H, W]) -> float32 [N, dim].

    score_name: what the Fréchet distance on these features is printed as: "FID" for the standard weights alone.
    identity: str: what its weights are (a file's sha256), so that `fid` can say where D was trained on the same ones.
    Features of photos are cached by the state dict, the repr, the options and the version of the package.

    optional maps(images) -> list of Tensors [N, C, H, W]: feature maps from the image to the last layer, at least one,
        for perceptual distances (`fewgan project`). images: float [N, 3, H, W] in [0, 255], any H and W, and a little
        outside as generators are; differentiable with respect to them.
    """

    dim: int
    score_name: str

    def __call__(self, images: Tensor) -> Tensor: ...


@runtime_checkable
class Tracker(Protocol):
    """Shows a run elsewhere: `--track NAME`. `metrics.jsonl` stays the truth.

    It is built and called by the first process alone. An error in it is printed, and the run continues without it.
    """

    def start(self, record: Mapping[str, Any]) -> None:
        """Once, before the first step. record: what config.json holds, and `folder`, the run's, and `step`.

        step is 0, or where the run is resumed: what was shown of later steps is to be taken back.
        """
        ...

    def line(self, metrics: Mapping[str, Any]) -> None:
        """A line of metrics.jsonl: `step`, `images_seen`, numbers by name, None for one that is not finite."""
        ...

    def pictures(self, step: int, pictures: Tensor) -> None:
        """Samples from latents that stay the same over the run, uint8 [N, 3, H, W] on the CPU."""
        ...

    def end(self, summary: Mapping[str, Any]) -> None:
        """Once, when the training ends, stops or fails. summary: the last line of metrics."""
        ...


@runtime_checkable
class Command(Protocol):
    """A command of its own: `fewgan NAME`. Its options are its flags, `--<field>`, and its arguments.

    The core adds `--quiet` and `--json`, and prints what run() returns: text, a mapping, or a dataclass with a method
    text(). The first line of its help is the plugin's summary.
    """

    def run(self, options: Any, screen: Screen) -> Any: ...


# What authors build with, and the module it is imported from when it is first asked for; most of them need torch.
_LATE = {
    **dict.fromkeys(
        (
            "Frozen",
            "SpectralConv2d",
            "SpectralEmbedding",
            "SpectralLinear",
            "advance",
            "batch_norm",
            "constant",
            "full_precision",
        ),
        "fewgan.layers",
    ),
    "Screen": "fewgan.screen",
    "all_gather": "fewgan.distributed",
    "check_shapes": "fewgan.storage",
    "fetch": "fewgan.sources.download",
    "read_weights": "fewgan.sources.weights",
}


def __getattr__(name: str) -> Any:
    if name in _LATE:
        return getattr(importlib.import_module(_LATE[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
