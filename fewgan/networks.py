"""What an architecture builds: two networks and how they are trained. Authors import these from `fewgan.plugin`.

Shapes as there: N batch, S side, Z latent, C condition, F features, L logits per image.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from torch import Tensor, nn


@runtime_checkable
class Generator(Protocol):
    """An nn.Module from latent to image.

    condition_dim may be 0. classes is 0 for a network without class labels. blocks() lists modules from latent to
    image so that every parameter is in exactly one; the stem counts to the first. A parameter built with
    requires_grad=False never learns. In training mode forward may change batch-norm buffers and those named in
    `moving`, nothing else. Normalise with `batch_norm`, which is F.batch_norm over the batch of all processes. Noise is
    drawn with torch's global generator, which the core seeds in training, in `sample` and in `fid`. A module whose
    values for a class depend on the number of classes has rows() and set_rows(rows), as `SpectralEmbedding` has, so
    that a run on other classes starts from the same values.

    optional moving: tuple of str = (): buffers, such as ("w_avg",), that the core averages over processes.
    optional latents(count, random) -> z [count, Z]: another law than N(0, 1); random is a torch.Generator or None. Such
        latents cannot be truncated, unless the network has `sample`.
    optional standing_statistics(batches) -> None: re-estimates batch-norm statistics as the mean over an iterable of
        (z [N, Z], condition [N, C]); for `sample --standing-stats`.
    optional sample(z, condition, truncation) -> images: for a network with a truncation of its own (psi in w).
        Without it the core truncates z.
    optional mapped: bool = False, in the network: the core sets it to True where a mapper comes before the network,
        which then must not draw latents of its own.
    optional mapping(z, condition) -> w [N, W], from_w(w [N, W] or [N, layers, W]) -> images, w_shape: (layers, W): for
        a network with a w space; `sample --latents` draws from w, and `fewgan project` looks for it there.
    """

    latent_dim: int
    condition_dim: int
    size: int
    classes: int

    def embed(self, labels: Tensor) -> Tensor:
        """labels int64 [N] -> condition [N, C]; one-hot rows where each layer has an embedding of its own."""
        ...

    def __call__(self, z: Tensor, condition: Tensor) -> Tensor:
        """z [N, Z], condition [N, C] -> images [N, 3, S, S]; clamped to [-1, 1] only when they are quantised."""
        ...

    def blocks(self) -> Sequence[nn.Module]: ...


@runtime_checkable
class Discriminator(Protocol):
    """An nn.Module from image to logits; forward = head of features.

    Logits are [N] or [N, L]; losses are means over all of them. Double backward through forward must work (write
    attention out: the fused kernel has none on CPU). blocks() as for the generator, image to logit: fromrgb counts to
    the first, the head to the last.

    optional separate: bool = False: fakes and photos are judged in two passes, in this order, and not in one batch
        (minibatch stddev, batch norm in D).
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
class Adam:
    """The optimizer of one network (Kingma & Ba 2015; decoupled weight decay: Loshchilov & Hutter 2019).

    gradient_clip: largest norm of the gradient of all parameters; None: no limit. schedule(images_seen, planned_images)
    -> the factor of the learning rate at that time; None: 1.
    """

    learning_rate: float = 2e-4
    betas: tuple[float, float] = (0.0, 0.999)
    epsilon: float = 1e-6
    weight_decay: float = 0.0
    gradient_clip: float | None = None
    schedule: Callable[[int, int], float] | None = None


@dataclass(frozen=True, kw_only=True)
class Defaults:
    """How an architecture is trained. loss, learning rates and D steps give way to `--loss`, `--lr-g`, `--lr-d` and
    `--d-steps`.

    loss: hinge, nonsaturating or wasserstein. discriminator_steps: D updates per G update. generator_batch: G's batch
    relative to D's. ema_images: half-life of the weight average, in images at batch 32, in proportion at others.
    ema_ramp: the half-life is at most this share of the images seen; None: no ramp. ema_buffers: "average" or "copy".
    regularizers: names that are on unless `--no-<name>` is given.
    """

    loss: str = "hinge"
    generator: Adam = Adam()
    discriminator: Adam = Adam()
    discriminator_steps: int = 1
    generator_batch: float = 1.0
    ema_images: int = 10_000
    ema_ramp: float | None = 0.05
    ema_buffers: str = "average"
    regularizers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Networks:
    """What an architecture builds: modules in training mode, on the CPU.

    discriminator may be a function that builds it. It is called only where D is needed: sampling builds no D and loads
    nothing that D needs, unless the run has a mapper, whose plugin is handed Networks as all plugins are, with modules.
    """

    generator: Generator
    discriminator: Any
    defaults: Defaults

    def with_discriminator(self) -> Networks:
        """The same with D built. Raises whatever building it does."""
        built = hasattr(self.discriminator, "state_dict")
        return self if built else replace(self, discriminator=self.discriminator())


@dataclass(frozen=True, kw_only=True)
class Pretrained:
    """What `read` finds in foreign files: enough to build the networks, and their weights.

    generator, discriminator: state dicts in the names of the built networks; discriminator None: the files have none.
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
