"""StyleGAN2 of PyTorch-StudioGAN: the official names but for the last layer of D, in files of their own.

Files `model={G, G_ema, D}-{best, current}-weights-step=N.pth`, each a dict whose `state_dict` is meant. D's last layer
is `linear1`. Discriminators without classes and those of the official projection (`SPD`) are the official function;
others judge with further heads, and are left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

_HEAD = "linear1."
_PLACE = "b4.out."
_STEP = re.compile(r"step=(\d+)")


def rank(name: str) -> tuple[bool, int]:
    """Best before current, then the latest step; files of other names are alike."""
    return "-best-" in name, _step(name)


def likeness(name: str, other: str) -> tuple[bool, bool, int]:
    """The higher, the more a file belongs to the other: both best or both current, of the same step, late."""
    return rank(name)[0] == rank(other)[0], _step(name) == _step(other), _step(name)


def state_dict(content: Mapping[str, Any]) -> dict[str, Any] | None:
    """A network of a checkpoint in the official names; None for another file."""
    state = content.get("state_dict")
    if not isinstance(state, Mapping):
        return None
    if not is_discriminator(state) or not _can_be_used(state):
        return dict(state)
    return {_PLACE + name.removeprefix(_HEAD) if name.startswith(_HEAD) else name: state[name] for name in state}


def is_discriminator(state: Any) -> bool:
    """Whether these are the tensors of such a D, of whichever heads."""
    return isinstance(state, Mapping) and {"b4.conv.weight", "b4.fc.weight", f"{_HEAD}weight"} <= state.keys()


def _can_be_used(state: Mapping[str, Any]) -> bool:
    head = state[f"{_HEAD}weight"]
    others = [name for name in state if not name.startswith((_HEAD, "b", "mapping."))]
    conditional = any(name.startswith("mapping.") for name in state)
    return not others and isinstance(head, Tensor) and (conditional or len(head) == 1)


def _step(name: str) -> int:
    match = _STEP.search(name)
    return int(match[1]) if match else 0
