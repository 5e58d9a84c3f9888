"""PyTorch-StudioGAN's BigGAN checkpoints, turned into the names of BigGAN-PyTorch.

G is the same function. D is that of its layers as they are written, whose shortcuts see the input of a block. There the
ReLU before them works in place, so that they saw its output: a transferred D starts from another function than it was.
Files `model={G, G_ema, D}-{best, current}-weights-step=N.pth`, each a dict whose `state_dict` is meant.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from fewgan.architectures.biggan.layers import BATCH_NORM_EPSILON

EPSILON = 1e-4  # of its batch norm
_FILE = re.compile(r"model=(G_ema|G|D)-(best|current)-weights-step=(\d+)\.pth")
_NAMES = {
    "linear0": "linear",
    "linear1": "linear",
    "embedding": "embed",
    "bn4": "output_layer.0",
    "conv2d5": "output_layer.2",
    "conv2d0": "conv_sc",
    "conv2d1": "conv1",
    "conv2d2": "conv2",
    "conv1x1_theta": "theta",
    "conv1x1_phi": "phi",
    "conv1x1_g": "g",
    "conv1x1_attn": "o",
    "running_mean": "stored_mean",
    "running_var": "stored_var",
    "weight_orig": "weight",
}


def choose(names: Iterable[str]) -> tuple[str, str | None, None] | None:
    """The files of G and D, and no miner: the average first, the best before the last, the latest step."""
    found = [match for match in map(_FILE.fullmatch, names) if match]
    generators = [match for match in found if match[1] != "D"]
    if not generators:
        return None
    chosen = max(generators, key=lambda match: (match[1] == "G_ema", match[2] == "best", int(match[3])))
    beside = [match for match in found if match[1] == "D"]
    other = max(beside, key=lambda m: (m[2] == chosen[2], m[3] == chosen[3], int(m[3])), default=None)
    return chosen[0], other[0] if other else None, None


def is_generator(state: Mapping[str, Tensor]) -> bool:
    """Whether a state dict has these names."""
    return any(name.startswith("linear0.") for name in state)


def translate(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A generator's or discriminator's state in the names of BigGAN-PyTorch.

    Attention, an entry of its own in `blocks` there, becomes the second entry of the block before it. The larger
    epsilon of its batch norm moves into the stored variances, which leaves the function in eval mode as it was.
    """
    attention = {int(name.split(".")[1]) for name in state if re.fullmatch(r"blocks\.\d+\.0\.sigma", name)}
    translated: dict[str, Tensor] = {}
    for name, tensor in state.items():
        parts = name.split(".")
        if parts[-1] in ("num_batches_tracked", "weight_v"):
            continue
        if parts[0] == "blocks":
            index = int(parts[1])
            before = sum(place <= index for place in attention)
            parts[1:3] = [str(index - before), "1" if index in attention else "0"]
        place = ".".join(_NAMES.get(part, part) for part in parts if part != "bn")
        if parts[-1] == "weight_u":
            module = place.removesuffix(".weight_u")
            right, matrix = state[name.removesuffix("_u") + "_v"], state[name.removesuffix("_u") + "_orig"]
            matrix = matrix.flatten(1)
            translated[f"{module}.u0"] = _start(matrix.double(), right.double()).to(tensor.dtype)[None]
            translated[f"{module}.sv0"] = (tensor @ matrix @ right).reshape(1)
        elif parts[-1] == "sigma":
            translated[place.removesuffix("sigma") + "gamma"] = tensor.reshape(())
        elif parts[-1] == "running_var":
            translated[place] = tensor + (EPSILON - BATCH_NORM_EPSILON)
        elif place.startswith("output_layer.0.weight"):
            translated["output_layer.0.gain"] = tensor
        else:
            translated[place] = tensor.to(torch.float32)
    return translated


def _start(matrix: Tensor, right: Tensor) -> Tensor:
    """The u [out] from which one iteration over a matrix [out, in] gives the stored v [in], and so its sigma.

    Eval mode there divides by u W v as they are stored, here by the sigma of one iteration: these differ by up to 2e-4
    where the iteration has not converged. A u with W^T u = v exists, since v is made of the rows of W.
    """
    rows, columns = matrix.shape
    if rows <= columns:
        found: Tensor = torch.linalg.pinv(matrix @ matrix.T, hermitian=True) @ (matrix @ right)
    else:
        found = matrix @ (torch.linalg.pinv(matrix.T @ matrix, hermitian=True) @ right)
    return found
