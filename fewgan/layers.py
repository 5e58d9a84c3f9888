"""Building blocks for networks: spectral normalisation, batch norm over all processes, frozen pretrained parts.

Spectral normalisation is that of Miyato et al. 2018 (arXiv 1802.05957). State-dict names and numbers are those of
BigGAN-PyTorch: `weight`, `bias`, `u0` [1, out] (the estimate of the first left singular vector; need not be of unit
length) and `sv0` [1] (a log of sigma, read by nobody). The power iteration runs in `advance()`, not in `forward`, so
that all forwards of one optimizer step share one sigma and forward changes no state. A layer that is in eval mode,
frozen, or was never advanced divides by the sigma of one iteration from the stored u, and stores nothing. u and v are
constants; gradient flows through the weight in sigma.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fewgan import device, distributed

EPSILON = 1e-6

_CONSTANTS: dict[tuple[Any, torch.dtype, torch.device], Tensor] = {}


def constant(values: Any, like: Tensor) -> Tensor:
    """A tensor of numbers in nested tuples, of the type and on the device of another; do not write into it.

    It is made once and kept. `torch.tensor` in a forward makes the host wait for the GPU each time.
    """
    key = (values, like.dtype, like.device)
    if key in _CONSTANTS:
        return _CONSTANTS[key]
    made = torch.tensor(values, dtype=like.dtype, device=like.device)
    if type(made) is Tensor:  # and not a stand-in of torch.export
        _CONSTANTS[key] = made
    return made


class Spectral(nn.Module):
    """What the three layers share. A subclass has `weight`, whose rows (dimension 0) are the outputs."""

    weight: nn.Parameter
    bias: nn.Parameter | None
    u0: Tensor
    sv0: Tensor
    _v: Tensor | None

    def _take(self, plain: nn.Linear | nn.Conv2d) -> None:
        """The parameters of a plain layer: orthogonal weight, and bias as torch initialises it."""
        self.register_parameter("weight", cast(nn.Parameter, plain.weight))
        self.register_parameter("bias", cast("nn.Parameter | None", plain.bias))
        nn.init.orthogonal_(self.weight)
        self._add_state()

    def _add_state(self) -> None:
        self.register_buffer("u0", torch.empty(1, self.weight.shape[0]).normal_())  # skipped where weights are loaded
        self.register_buffer("sv0", torch.ones(1))
        self.register_buffer("_v", None, persistent=False)  # of the last advance(); computed from u0 after a resume

    def _matrix(self) -> Tensor:
        """The weight as [out, -1]. Columns in the order of channels_last, a view there; sigma does not depend on it."""
        return self.weight.permute(0, 2, 3, 1).flatten(1) if self.weight.dim() == 4 else self.weight

    def _iterate(self, matrix: Tensor) -> tuple[Tensor, Tensor]:
        v = F.normalize(self.u0 @ matrix, eps=EPSILON)
        return F.normalize(v @ matrix.t(), eps=EPSILON), v

    @torch.no_grad()
    def advance(self) -> None:
        """One power iteration. A frozen layer stays as it is."""
        if not self.weight.requires_grad:
            return
        matrix = self._matrix()
        u, self._v = self._iterate(matrix)
        self.u0.copy_(u)
        self.sv0.copy_((self._v @ matrix.t() @ u.t()).flatten())

    def sigma(self) -> Tensor:
        """The largest singular value of the weight as [out, -1], estimated; a scalar in float32 or wider."""
        with full_precision(self.weight.device):
            matrix = self._matrix()
            if self.training and self.weight.requires_grad and self._v is not None:
                u, v = self.u0, self._v
            else:
                with torch.no_grad():
                    u, v = self._iterate(matrix)
            # clone: the next advance() writes u0 in place, and a graph may still hold this one
            return (v.detach() * (u.detach().clone() @ matrix)).sum()

    def normalized(self) -> Tensor:
        """The weight divided by sigma."""
        return self.weight / self.sigma()

    def kernel(self) -> Tensor:
        """What forward multiplies with, float32 or wider: `normalized()`, or what a subclass makes of it."""
        with full_precision(self.weight.device):
            return self._make_kernel()

    def _make_kernel(self) -> Tensor:
        return self.normalized()

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        self._v = None
        super()._load_from_state_dict(*args, **kwargs)


class SpectralLinear(Spectral):
    """y = x W^T / sigma + b; x [..., in_features]."""

    def __init__(self, in_features: int, out_features: int, bias: bool = True) -> None:
        super().__init__()
        self._take(nn.Linear(in_features, out_features, bias))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.kernel(), self.bias)


class SpectralConv2d(Spectral):
    """A convolution with stride 1 and padding that keeps the size; x [N, in, H, W]."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, bias: bool = True) -> None:
        super().__init__()
        self._take(nn.Conv2d(in_channels, out_channels, kernel_size, bias=bias))
        self.padding = kernel_size // 2

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.kernel(), self.bias, padding=self.padding)


class SpectralEmbedding(Spectral):
    """Rows of gain · W / sigma; labels int64 [N] -> [N, out_features].

    gain: a constant, 1 in published networks. Other rows than a network was trained with have another sigma;
    `set_rows` sets the gain so that forward gives exactly the rows asked for. Files without a gain mean 1.
    """

    gain: Tensor
    optional_state = frozenset({"gain"})

    def __init__(self, classes: int, features: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(classes, features))
        nn.init.orthogonal_(self.weight)
        self._add_state()
        self.register_buffer("gain", torch.ones(()))

    def _make_kernel(self) -> Tensor:
        return self.normalized() * self.gain

    def rows(self) -> Tensor:
        """What forward gives for each class, [classes, out_features]."""
        return self.kernel()

    @torch.no_grad()
    def set_rows(self, rows: Tensor) -> None:
        """Has forward give these rows [classes, out_features]: weight, u0 and gain are set."""
        self.weight.copy_(rows)
        left, values, _ = torch.linalg.svd(rows, full_matrices=False)
        self.u0.copy_(left[:, :1].t())
        self.gain.copy_(values[0])
        self._v = None

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any) -> None:
        state_dict.setdefault(f"{prefix}gain", torch.ones((), dtype=self.gain.dtype))
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    def forward(self, labels: Tensor) -> Tensor:
        return F.embedding(labels, self.kernel())


def advance(module: nn.Module) -> None:
    """Calls advance() of every module that has one; such a module is responsible for the modules inside it."""
    own = getattr(module, "advance", None)
    if own is not None:
        own()
        return
    for child in dict.fromkeys(module.children()):
        advance(child)


def full_precision(device: torch.device) -> AbstractContextManager[Any]:
    """A context without autocast, for operations that need float32: `with full_precision(x.device):`.

    It does nothing where autocast is off, so that a device without autocast, such as "meta", has no context to enter.
    Tensors that were computed outside may still be bfloat16; convert them with `.float()`.
    """
    if not (torch.amp.is_autocast_available(device.type) and torch.is_autocast_enabled(device.type)):
        return nullcontext()
    return torch.autocast(device.type, enabled=False)


def batch_norm(  # noqa: PLR0917 (the parameters of F.batch_norm)
    x: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
) -> Tensor:
    """F.batch_norm of x [N, C, …] over the batch of all processes; each holds equally many images.

    Gradients go through the statistics, as they do in one process, and so do gradients of gradients. Statistics are
    float32 or wider.
    """
    if device.memory_format(x.device) == torch.contiguous_format:
        x = x.contiguous()  # whatever layout a network works in
    world_size = distributed.world_size()
    if world_size == 1 or not training:
        return F.batch_norm(x, running_mean, running_var, weight, bias, training, momentum, eps)
    wide = x if x.dtype == torch.float64 else x.float()
    over = [0, *range(2, x.dim())]
    variance, mean = torch.var_mean(wide, dim=over, correction=0)
    means, variances = distributed.all_gather(torch.stack((mean, variance))[None]).unbind(1)
    mean = means.mean(0)
    variance = (variances + (means - mean).square()).mean(0)
    with torch.no_grad():
        count = world_size * x.numel() / x.shape[1]
        running_mean.lerp_(mean.to(running_mean.dtype), momentum)
        running_var.lerp_((variance * (count / (count - 1))).to(running_var.dtype), momentum)
    shape = [1, -1] + [1] * (x.dim() - 2)
    scale = torch.rsqrt(variance + eps)
    if weight is not None:
        scale = scale * weight
    result = (wide - mean.view(shape)) * scale.view(shape)
    if bias is not None:
        result = result + bias.view(shape)
    return result.to(x.dtype)


class Frozen(nn.Module):
    """A pretrained part that never learns: always in eval mode, moved along with the module that holds it.

    Its weights are not in state dicts, checkpoints, averages, gradients or broadcasts; only its identity is, 32 bytes
    in the buffer `identity`, and loading a state dict with another identity raises RuntimeError.

    make: builds the module with its weights; called at once. identity: what the weights are, such as a file's sha256.
    """

    identity: Tensor
    _part: tuple[Any, ...]

    def __init__(self, make: Callable[[], nn.Module], identity: str) -> None:
        super().__init__()
        # Networks are built on the meta device or without their initialisation where weights are about to be loaded;
        # these weights come from nowhere else.
        with torch._C.DisableTorchFunction():
            part = make().eval().requires_grad_(False)
            self.register_buffer("identity", self.digest(identity))
        self.identity_text = identity
        object.__setattr__(self, "_part", (part,))  # in a tuple, so that torch does not count it as a child

    @staticmethod
    def digest(identity: str) -> Tensor:
        """What a state dict holds of an identity: its SHA-256, uint8 [32]."""
        return torch.tensor(list(hashlib.sha256(identity.encode()).digest()), dtype=torch.uint8, device="cpu")

    @property
    def part(self) -> Any:
        """The module itself."""
        return self._part[0]

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.part(*args, **kwargs)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Frozen:
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self.part._apply(fn)
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Frozen:
        """A copy shares the weights, which never change."""
        twin = self.__class__.__new__(self.__class__)
        nn.Module.__init__(twin)
        memo[id(self)] = twin
        twin.register_buffer("identity", copy.deepcopy(self.identity, memo))
        twin.identity_text = self.identity_text
        object.__setattr__(twin, "_part", self._part)
        return twin.train(self.training)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any) -> None:
        found = state_dict.get(f"{prefix}identity")
        if isinstance(found, Tensor) and not torch.equal(found.cpu(), self.identity.cpu()):
            raise RuntimeError(f"{prefix.rstrip('.')}: was trained with other pretrained weights than those installed")
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
