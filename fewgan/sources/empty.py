"""Networks whose tensors are all about to be loaded."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from fewgan.networks import Networks


def build_empty(build: Callable[[], Networks]) -> Networks:
    """What build() gives, without its random initialisation, which can take long: all tensors are about to be loaded.

    The same goes for a discriminator that is built later.
    """
    with SkipInit():
        networks = build()
    if isinstance(networks.discriminator, nn.Module):
        return networks
    return dataclasses.replace(networks, discriminator=partial(_built_empty, networks.discriminator))


def _built_empty(build: Callable[[], Any]) -> Any:
    with SkipInit():
        return build()


class SkipInit(TorchFunctionMode):
    """Leaves weights uninitialised. Tensors that are not random are made as ever."""

    skipped = frozenset(
        {
            *(getattr(Tensor, name) for name in ("normal_", "uniform_")),
            *(getattr(nn.init, name) for name in ("uniform_", "normal_", "trunc_normal_", "orthogonal_")),
            *(getattr(nn.init, f"{kind}_{law}_") for kind in ("kaiming", "xavier") for law in ("uniform", "normal")),
        }
    )

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in self.skipped:
            return args[0] if args else kwargs["tensor"]
        if func is torch.linalg.qr:  # of nn.init.orthogonal_, which does not pass through here as a whole
            rows, columns = args[0].shape
            least = min(rows, columns)
            return args[0].new_zeros(rows, least), args[0].new_zeros(least, columns)
        return func(*args, **(kwargs or {}))
