"""Spectrally normalised layers (Miyato et al. 2018, arXiv 1802.05957), one power iteration a step.

State-dict names and numbers are those of BigGAN-PyTorch: `weight`, `bias`, `u0` [1, out] (the estimate of the first
left singular vector; need not be of unit length) and `sv0` [1] (a log of sigma, read by nobody).

The iteration runs in `advance()`, not in `forward`, so that all forwards of one optimizer step share one sigma and
forward changes no state. A layer that is in eval mode, frozen, or was never advanced divides by the sigma of one
iteration from the stored u, and stores nothing. u and v are constants; gradient flows through the weight in sigma.

What a frozen layer multiplies with never changes, so it is made once and kept for as long as weight and u stand still.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fewgan import distributed

EPSILON = 1e-6


class Spectral(nn.Module):
    """What the three layers share. A subclass has `weight`, whose rows (dimension 0) are the outputs."""

    weight: nn.Parameter
    bias: nn.Parameter | None
    u0: Tensor
    sv0: Tensor
    _v: Tensor | None
    _kept: tuple[list[object], Tensor] | None = None

    def _take(self, plain: nn.Linear | nn.Conv2d) -> None:
        """The parameters of a plain layer: orthogonal weight, and bias as torch starts it."""
        self.register_parameter("weight", cast(nn.Parameter, plain.weight))
        self.register_parameter("bias", cast("nn.Parameter | None", plain.bias))
        nn.init.orthogonal_(self.weight)
        self._add_state()

    def _add_state(self) -> None:
        self.register_buffer("u0", torch.randn(1, self.weight.shape[0]))
        self.register_buffer("sv0", torch.ones(1))
        self.register_buffer("_v", None, persistent=False)  # of the last advance(); remade from u0 after a resume

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
        with torch.autocast(self.weight.device.type, enabled=False):
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
        """What forward multiplies with, float32 or wider: `normalized()`, or what a subclass makes of it.

        Of a frozen layer it is made once, and again when weight or u have changed.
        """
        with torch.autocast(self.weight.device.type, enabled=False):
            if self.weight.requires_grad or self.weight.is_inference():
                return self._make_kernel()
            # Writing to a tensor raises its version; a move to other memory changes its address.
            now: list[object] = [
                (tensor._version, tensor.data_ptr(), tensor.dtype) for tensor in (self.weight, self.u0)
            ]
            if self._kept is None or self._kept[0] != now:
                with torch.no_grad():
                    self._kept = (now, self._make_kernel())
            return self._kept[1]

    def _make_kernel(self) -> Tensor:
        return self.normalized()

    def _load_from_state_dict(self, *args: object, **kwargs: object) -> None:
        self._v, self._kept = None, None
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
    """Rows of W / sigma; labels int64 [N] -> [N, out_features]."""

    def __init__(self, classes: int, features: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(classes, features))
        nn.init.orthogonal_(self.weight)
        self._add_state()

    def forward(self, labels: Tensor) -> Tensor:
        return F.embedding(labels, self.kernel())


def advance(module: nn.Module) -> None:
    """One power iteration in every spectrally normalised layer below `module`."""
    for layer in module.modules():
        if isinstance(layer, Spectral):
            layer.advance()


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
    """F.batch_norm of x [N, C, …] whose batch is that of all processes; each holds equally many images.

    Gradients go through the statistics, as they do in one process; statistics are float32 or wider.
    """
    if distributed.world() == 1 or not training:
        return F.batch_norm(x, running_mean, running_var, weight, bias, training, momentum, eps)
    wide = x if x.dtype == torch.float64 else x.float()
    over = [0, *range(2, x.dim())]
    variance, mean = torch.var_mean(wide, dim=over, correction=0)
    own = torch.stack((mean, variance))
    others = [torch.zeros_like(own)] * distributed.world()
    everyone: Tensor = distributed.Sum.apply(
        torch.stack([*others[: distributed.rank()], own, *others[distributed.rank() + 1 :]])
    )
    means, variances = everyone.unbind(1)
    mean = means.mean(0)
    variance = (variances + (means - mean).square()).mean(0)
    with torch.no_grad():
        count = distributed.world() * x.numel() / x.shape[1]
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
