"""One step of D and one of G: functions of the players and a batch. Randomness comes from the global generator."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fewgan import distributed
from fewgan.layers import advance
from fewgan.plugin import Step
from fewgan.training import checked, finite
from fewgan.training.players import InPrecision, Players

Batch = tuple[Tensor, Tensor]
"""Photos float [N, 3, S, S] in [-1, 1], labels int64 [N]."""


@dataclass(frozen=True)
class Clock:
    """Where in the training a step is: its index from 0, photos shown to D so far, photos planned in all."""

    index: int = 0
    images_seen: int = 0
    planned_images: int = 1


def discriminator_loss(loss: str, real: Tensor, fake: Tensor) -> Tensor:
    """hinge (Lim & Ye 2017), nonsaturating (Goodfellow et al. 2014), wasserstein (Arjovsky et al. 2017); logits in."""
    if loss == "hinge":
        return F.relu(1 - real).mean() + F.relu(1 + fake).mean()
    if loss == "nonsaturating":
        return F.softplus(-real).mean() + F.softplus(fake).mean()
    return fake.mean() - real.mean()


def generator_loss(loss: str, fake: Tensor) -> Tensor:
    """The generator's side of `discriminator_loss`."""
    return F.softplus(-fake).mean() if loss == "nonsaturating" else -fake.mean()


def discriminator_step(
    players: Players, optimizer: torch.optim.Optimizer, batches: Sequence[Batch], clock: Clock
) -> dict[str, Tensor]:
    """One update of D (and of regularizers with parameters) on micro-batches; returns 0-d tensors for the metrics.

    skipped_d: 1 where the loss or a gradient was not finite, and the step has changed nothing.
    """
    snapshot, parameters = _begin(players, optimizer)
    seen: list[tuple[Tensor, Tensor]] = []
    total = torch.zeros((), device=players.device)
    replaced = players.loss_plugin
    for number, (real, labels) in enumerate(batches, start=1):
        step = _discriminator_forward(players, real, labels, clock)
        if step.logits_real is not None and step.logits_fake is not None:
            seen.append((step.logits_real.detach(), step.logits_fake.detach()))
        if number == len(batches):
            _observe(players, step, seen)
        loss = torch.zeros((), device=players.device)
        if replaced is None:
            assert step.logits_real is not None
            assert step.logits_fake is not None
            loss = discriminator_loss(players.loss, step.logits_real, step.logits_fake)
        loss = _with_terms(players, "discriminator_loss", step, loss)
        _backward(loss / len(batches), parameters)
        total += loss.detach() / len(batches)
    stats = {"loss_d": total}
    if seen:
        real_logits, fake_logits = (torch.cat(part).mean() for part in zip(*seen, strict=True))
        stats |= {"logit_real": real_logits, "logit_fake": fake_logits}
    return _update(players, "discriminator", optimizer, parameters=parameters, stats=stats, snapshot=snapshot)


def _discriminator_forward(players: Players, real: Tensor, labels: Tensor, clock: Clock) -> Step:
    z, fake_labels = players.draw(len(real))
    with torch.no_grad():
        fake = players.generate(z, fake_labels)
    for name, regularizer in players.regularizers.items():
        if hasattr(regularizer, "images"):
            given = (real, fake, labels, fake_labels)
            real, fake, labels, fake_labels = checked.four(name, regularizer.images(*given), real)
    # Real and fake in one batch, so that the augmentation cannot treat them apart.
    count = len(real)
    augmented = players.augment(torch.cat((real, fake)))
    real_augmented, fake_augmented = augmented[:count], augmented[count:]
    shown = (labels, fake_labels) if players.conditional else (None, None)
    step = Step(
        real=real,
        real_augmented=real_augmented,
        fake=fake,
        fake_augmented=fake_augmented,
        labels=shown[0],
        fake_labels=shown[1],
        z=z,
        logits_real=None,
        logits_fake=None,
        **_common(players, clock),
    )
    replaced = players.loss_plugin
    if replaced is not None:
        if not hasattr(replaced, "logits"):
            return step
        real_logits, fake_logits = checked.logits(str(players.loss_plugin_name), replaced.logits(step))
    elif getattr(players.discriminator, "separate", False):
        fake_logits = players.discriminate(fake_augmented, shown[1])
        real_logits = players.discriminate(real_augmented, shown[0])
    else:
        both = torch.cat((labels, fake_labels)) if players.conditional else None
        logits = players.discriminate(torch.cat((real_augmented, fake_augmented)), both)
        real_logits, fake_logits = logits[:count], logits[count:]
    return dataclasses.replace(step, logits_real=real_logits, logits_fake=fake_logits)


def generator_step(
    players: Players,
    optimizer: torch.optim.Optimizer,
    counts: Sequence[int],
    clock: Clock,
    reals: Sequence[Batch] = (),
) -> dict[str, Tensor]:
    """One update of G and of the mapper on micro-batches of `counts` fakes; returns 0-d tensors for the metrics.

    reals: photos for plugins that need them in this step, a batch for each micro-batch. skipped_g: as skipped_d above.
    """
    snapshot, parameters = _begin(players, optimizer)
    total = torch.zeros((), device=players.device)
    replaced = players.loss_plugin
    for number, count in enumerate(counts):
        z, labels = players.draw(count)
        fake = players.generate(z, labels)
        augmented = players.augment(fake)
        shown = labels if players.conditional else None
        real, real_labels = reals[number] if reals else (None, None)
        step = Step(
            real=real,
            real_augmented=None if real is None else players.augment(real),
            fake=fake,
            fake_augmented=augmented,
            labels=real_labels if players.conditional else None,
            fake_labels=shown,
            z=z,
            logits_real=None,
            logits_fake=players.discriminate(augmented, shown) if replaced is None else None,
            **_common(players, clock),
        )
        loss = torch.zeros((), device=players.device)
        if step.logits_fake is not None:
            loss = generator_loss(players.loss, step.logits_fake)
        loss = _with_terms(players, "generator_loss", step, loss)
        _backward(loss / len(counts), parameters)
        total += loss.detach() / len(counts)
    return _update(players, "generator", optimizer, parameters=parameters, stats={"loss_g": total}, snapshot=snapshot)


def _common(players: Players, clock: Clock) -> dict[str, Any]:
    """What every step holds: where it is, and the networks, in the run's precision."""
    return {
        **vars(clock),
        "generator": InPrecision(players, players.generator),
        "discriminator": InPrecision(players, players.discriminator, players.judge),
        "generate": players.generate,
        "augment": players.augmentation,
    }


def _begin(players: Players, optimizer: torch.optim.Optimizer) -> tuple[finite.Snapshot, list[nn.Parameter]]:
    """Advances every module once, so that the step's forwards share one sigma; gives what learns, without gradients."""
    for module in players.modules.values():
        advance(module)
    snapshot = finite.snapshot_buffers(players.modules.values())
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for parameter in parameters:
        parameter.grad = None
    return snapshot, [parameter for parameter in parameters if parameter.requires_grad]


def _backward(loss: Tensor, parameters: Sequence[nn.Parameter]) -> None:
    # No parameters: a transfer may freeze one side for a while. No gradient: a plugin may have no loss in this step.
    if parameters and loss.requires_grad:
        torch.autograd.backward(loss, inputs=parameters)


def _with_terms(players: Players, hook: str, step: Step, loss: Tensor) -> Tensor:
    """The loss with the plugins' terms; each is kept, so that one that is not finite can be told from the others."""
    players.terms[hook] = {("", ""): loss.detach()}
    for kind, name, plugin in players.plugins:
        every = getattr(plugin, "every", 1)
        if hasattr(plugin, hook) and step.index % every == 0:
            term = checked.scalar(kind, name, hook, getattr(plugin, hook)(step))
            players.terms[hook][kind, name] = torch.as_tensor(term).detach()
            loss = loss + every * term
    return loss


def _observe(players: Players, step: Step, seen: Sequence[tuple[Tensor, Tensor]]) -> None:
    regularizers = [plugin for plugin in players.regularizers.values() if hasattr(plugin, "observe")]
    augmentation = players.augmentation if hasattr(players.augmentation, "observe") else None
    if not seen or not (regularizers or augmentation):
        return
    real, fake = (distributed.all_gather(torch.cat(part)) for part in zip(*seen, strict=True))
    if augmentation is not None:
        augmentation.observe(real, step.images_seen)
    for regularizer in regularizers:
        regularizer.observe(dataclasses.replace(step, logits_real=real, logits_fake=fake))


def _update(
    players: Players,
    side: str,
    optimizer: torch.optim.Optimizer,
    *,
    parameters: Sequence[nn.Parameter],
    stats: Mapping[str, Tensor],
    snapshot: finite.Snapshot,
) -> dict[str, Tensor]:
    """The optimizer's step on gradients averaged, like the stats, over all ranks. Adds skipped_d or skipped_g."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    distributed.all_reduce_mean([*gradients, *stats.values()])
    if players.orthogonal and side == "generator":
        add_orthogonal_gradient(players, parameters)
    skipped = finite.not_finite([*stats.values(), *gradients])
    clip = getattr(players.networks.defaults, side).gradient_clip
    if clip is not None:
        nn.utils.clip_grad_norm_(parameters, clip)
    finite.step(optimizer, skipped)
    finite.restore_buffers(snapshot, skipped)
    _all_reduce_moving(players.generator)
    return {**stats, f"skipped_{side[0]}": skipped}


def _all_reduce_moving(generator: Any) -> None:
    """Averages the buffers that training forwards move, and that batch_norm does not, over all ranks."""
    names = getattr(generator, "moving", ())
    if names and distributed.world_size() > 1:
        distributed.all_reduce_mean([b for name, b in generator.named_buffers() if name.split(".")[-1] in names])


@torch.no_grad()
def add_orthogonal_gradient(players: Players, parameters: Sequence[nn.Parameter]) -> None:
    """grad += s * 2 * (W W^T off its diagonal) W for G's parameters of 2 and more dimensions but class embeddings.

    BigGAN (arXiv 1809.11096), section 3.1, equation 3, in gradient form.
    """
    tables = {
        id(parameter)
        for module in chain.from_iterable(module.modules() for module in players.modules.values())
        if isinstance(module, nn.Embedding) or hasattr(module, "set_rows")
        for parameter in module.parameters(recurse=False)
    }
    own = {id(parameter) for parameter in players.generator.parameters()}
    for parameter in parameters:
        if parameter.dim() < 2 or id(parameter) in tables or id(parameter) not in own or parameter.grad is None:
            continue
        matrix = parameter.reshape(len(parameter), -1)
        product = matrix @ matrix.t()
        product.fill_diagonal_(0)
        parameter.grad += 2 * players.orthogonal * (product @ matrix).view_as(parameter)
