"""What a training asks of plugins, checked: a mistake of their author ends it with one line that names the plugin."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from fewgan.faults import check_call, fault
from fewgan.plugin import Group, UsageError

if TYPE_CHECKING:
    from fewgan.training.players import Players

LOSSES_OF_BOTH = ("discriminator_loss", "generator_loss")
TRANSFER, AUGMENTATION, REGULARIZER = "transfers", "augmentations", "regularizers"
LOSSES = {"discriminator_loss": 1, "generator_loss": 1, "schedule": 2}
# How many arguments each hook is called with.
HOOKS = {
    TRANSFER: {"start": 2, "groups": 0, "trainable": 2, **LOSSES},
    AUGMENTATION: {"observe": 2},
    REGULARIZER: {"start": 2, "images": 4, "observe": 1, **LOSSES},
}
LOSS_OF_ITS_OWN = {"logits": 1, "discriminator": 2}  # with adversarial = False
REQUIRED = {TRANSFER: ("conditional", "mapper")}


def plugin(kind: str, name: str, module: Any) -> Any:
    """The module, which has what its kind needs and hooks that can be called."""
    for attribute in REQUIRED.get(kind, ()):
        if not hasattr(module, attribute):
            raise fault(kind, name, f"it has no attribute {attribute!r}")
    hooks = HOOKS[kind] | (LOSS_OF_ITS_OWN if brings_losses(module) else {})
    for hook, count in hooks.items():
        if hasattr(module, hook) and not _is_setting(kind, hook, getattr(module, hook)):
            check_call(kind, name, hook, getattr(module, hook), count)
    lacking = next((hook for hook in LOSSES_OF_BOTH if not hasattr(module, hook)), None)
    if kind == REGULARIZER and brings_losses(module) and lacking is not None:
        raise fault(kind, name, f"with adversarial = False it brings the losses of D and G, and has no {lacking}")
    if kind == TRANSFER and module.mapper is not None:
        if not isinstance(module.mapper, nn.Module):
            raise fault(kind, name, f"its mapper is of type {type(module.mapper).__name__} and not a module")
        check_call(kind, name, "mapper", module.mapper.forward, 2)
    if kind != AUGMENTATION:
        _check_every(kind, name, getattr(module, "every", 1))
    return module


def _is_setting(kind: str, hook: str, attribute: Any) -> bool:
    """Whether it is no hook: `start` of a regularizer came later than regularizers that have a step of this name."""
    return (kind, hook) == (REGULARIZER, "start") and not callable(attribute)


def _check_every(kind: str, name: str, every: Any) -> None:
    with suppress(TypeError):
        if operator.index(every) >= 1:
            return
    raise fault(kind, name, f"its `every` is {every!r} and not a whole number of 1 or more")


def loss_plugins(regularizers: Mapping[str, Any]) -> list[str]:
    """The names of those that bring the losses of D and G in place of the core's."""
    return [name for name, module in regularizers.items() if brings_losses(module)]


def brings_losses(module: Any) -> bool:
    return not getattr(module, "adversarial", True)


def together(regularizers: dict[str, Any], augmentation: Any, augmentation_name: str) -> None:
    """Raises UsageError where one regularizer replaces what another plugin needs."""
    found = loss_plugins(regularizers)
    if len(found) > 1:
        raise UsageError(f"{found[0]} and {found[1]} both replace the loss of D: choose one of them")
    if not found or hasattr(regularizers[found[0]], "logits"):
        return
    watching = [name for name, one in regularizers.items() if hasattr(one, "observe") and name != found[0]]
    watching += [augmentation_name] if hasattr(augmentation, "observe") else []
    if watching:
        raise UsageError(f"{watching[0]} watches the logits of D, and {found[0]} gives none: choose one of them")


def groups(name: str, made: Iterable[Group]) -> list[Group]:
    """The groups of a transfer, their parameters as a list: an iterator could be read only once."""
    found = [Group(list(group.parameters), group.learning_rate, group.network, group.schedule) for group in made]
    for group in found:
        if group.network not in ("generator", "discriminator"):
            what = f"a group of its parameters is for the network {group.network!r}"
            raise fault(TRANSFER, name, f"{what}, and must be for generator or discriminator")
    return found


def trainable(players: Players, index: int) -> list[nn.Parameter] | None:
    """What learns at step `index`; None: all.

    The transfer decides over the networks and itself; other plugins always learn.
    """
    made = players.transfer.trainable(index, players.steps) if hasattr(players.transfer, "trainable") else None
    if made is None:
        return None
    found = list(made)
    wrong = next((item for item in found if not isinstance(item, nn.Parameter)), None)
    if wrong is not None:
        name = players.names.get("transfer", "")
        raise fault(TRANSFER, name, f"its trainable gave a {type(wrong).__name__} and not a parameter")
    return [*found, *(p for module in players.regularizers.values() for p in module.parameters())]


def factor(kind: str, name: str, made: Any) -> float:
    """What a schedule gave."""
    try:
        value = float(made)
    except (TypeError, ValueError):
        value = math.nan
    if not 0 <= value < math.inf:
        raise fault(kind, name, f"its schedule gave {made!r} and not a factor of 0 or more")
    return value


def not_finite(players: Players, hook: str) -> tuple[str, str] | None:
    """(kind, name) of the plugin whose loss of the last step was NaN or infinite while the core's own was not."""
    own, *terms = players.terms.get(hook, {("", ""): torch.tensor(math.nan)}).items()
    return next((whose for whose, term in terms if own[1].isfinite() and not term.isfinite()), None)


def scalar(kind: str, name: str, hook: str, made: Any) -> Any:
    """What a loss gave: a number, or a tensor of one element, which becomes 0-d."""
    if isinstance(made, int | float):
        return made
    if isinstance(made, Tensor) and made.numel() == 1:
        return made.reshape(())
    what = f"a tensor of shape {list(made.shape)}" if isinstance(made, Tensor) else type(made).__name__
    raise fault(kind, name, f"its {hook} returned {what} and not a scalar")


def four(name: str, made: Any, given: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """What `images` of a regularizer gave, for real images as `given`."""
    if not isinstance(made, tuple | list) or len(made) != 4:
        what = f"{len(made)} values" if isinstance(made, tuple | list) else type(made).__name__
        raise fault(REGULARIZER, name, f"its images returned {what} and not real, fake, labels, fake_labels")
    real, fake, labels, fake_labels = made
    for one, side in ((real, "real"), (fake, "fake")):
        what = type(one).__name__
        if isinstance(one, Tensor):
            wider = torch.promote_types(one.dtype, given.dtype) != given.dtype
            other = wider or one.shape[1:] != given.shape[1:]
            what = f"{one.dtype} {list(one.shape)}".replace("torch.", "") if other else ""
        if what:
            raise fault(REGULARIZER, name, f"its images returned {what} for {side}, and not images as it was given")
    for one, own in ((real, labels), (fake, fake_labels)):
        if isinstance(own, Tensor) and len(own) != len(one):
            raise fault(REGULARIZER, name, f"its images returned {len(own)} labels for {len(one)} images")
    return real, fake, labels, fake_labels


def logits(name: str, made: Any) -> tuple[Tensor | None, Tensor | None]:
    """What `logits` of a regularizer gave: one or more for each real and each fake image, or None."""
    pair = tuple(made) if isinstance(made, tuple | list) else ()
    if len(pair) != 2 or any(one is not None and not (isinstance(one, Tensor) and one.dim()) for one in pair):
        raise fault(REGULARIZER, name, "its logits are not two tensors, with a row for each real and each fake image")
    return pair[0], pair[1]


def images(name: str, made: Any, given: Tensor, *, learning: bool) -> Tensor:
    """What an augmentation made of the images given: of the same kind and, where `learning`, with their gradient."""
    what = ""
    if not isinstance(made, Tensor):
        what = type(made).__name__
    elif (made.shape, made.dtype) != (given.shape, given.dtype):
        what = f"{made.dtype} {list(made.shape)} for {given.dtype} {list(given.shape)}".replace("torch.", "")
    elif learning and not made.requires_grad:
        what = "images without a gradient, from which G cannot learn"
    if what:
        raise fault(AUGMENTATION, name, f"its forward returned {what}")
    result: Tensor = made
    return result
