"""Pretrained weights from one file, in whichever of the usual forms they were saved."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from fewgan import run, signatures
from fewgan.errors import UsageError
from fewgan.sources import pickles
from fewgan.sources.pickles.records import printable

_PREFIXES = ("_orig_mod.", "module.", "_orig_mod.")  # of torch.compile and DataParallel, one within the other or not


def read_weights(path: Path) -> dict[str, Tensor]:
    """The state dict in a .pth or .safetensors file, on the CPU. Nothing in the file is executed.

    The file may hold a state dict, one under the key `state_dict` or `model`, or a whole pickled module. The prefixes
    that torch.compile and DataParallel put before all names are removed. Raises UsageError, one line that says what
    the file is, for anything else.
    """
    content = read_safetensors(path) if path.suffix.lower() == ".safetensors" else pickles.read(path)
    if (whole := pickles.networks(content).get("")) is not None:
        content = whole.state
    for key in ("state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict):
        raise UsageError(f"{path}: holds no state dict of tensors, but {_kind(content)}")
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise UsageError(f"{path}: holds no state dict of tensors; {str(name)[:60]!r} is {_kind(value)}")
    return without_prefixes(content)


def without_prefixes(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The state dict without what torch.compile and DataParallel put before all names."""
    for prefix in _PREFIXES:
        if state and all(isinstance(name, str) and name.startswith(prefix) for name in state):
            state = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
    return state


def _kind(value: object) -> str:
    if isinstance(value, pickles.Record):
        return f"an object of class {printable(value.name)}"
    return "nothing" if value is None else f"an object of type {type(value).__name__}"


def read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(run.regular(path))
    except (SafetensorError, OSError) as error:
        what = signatures.instead(path, signatures.SAFETENSORS)
        raise UsageError(f"{path}: {what or f'not a safetensors file, or a damaged one ({error})'}") from None
