"""One step of D and one of G: functions of the players and a batch. Randomness comes from the global generator."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fewgan import distributed
from fewgan.plugin import Step
from fewgan.training import finite
from fewgan.training.players import Players

Batch = tuple[Tensor, Tensor]
"""Photos float [N, 3, S, S] in [-1, 1], labels int64 [N]."""


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
    players: Players, optimizer: torch.optim.Optimizer, batches: Sequence[Batch], index: int, images_seen: int
) -> dict[str, Tensor]:
    """One update of D (and of regularizers with parameters) on micro-batches; returns 0-d tensors for the metrics.

    skipped_d: 1 where the loss or a gradient was not finite, and the step has changed nothing.
    """
    _advance(players)
    kept = finite.keep(players.modules.values())
    parameters = _learning(optimizer)
    seen: list[tuple[Tensor, Tensor]] = []
    total = torch.zeros((), device=players.device)
    for number, (real, labels) in enumerate(batches, start=1):
        step = _discriminator_forward(players, real, labels, index, images_seen)
        assert step.logits_real is not None
        seen.append((step.logits_real.detach(), step.logits_fake.detach()))
        if number == len(batches):
            _observe(players, step, seen)
        loss = torch.zeros((), device=players.device)
        if all(getattr(regularizer, "adversarial", True) for regularizer in players.regularizers.values()):
            loss = discriminator_loss(players.loss, step.logits_real, step.logits_fake)
        for term in _terms(players, "discriminator_loss", step):
            loss = loss + term
        _backward(loss / len(batches), parameters)
        total += loss.detach() / len(batches)
    real_logits, fake_logits = (torch.cat(part).mean() for part in zip(*seen, strict=True))
    stats = {"loss_d": total, "logit_real": real_logits, "logit_fake": fake_logits}
    stats["skipped_d"] = _update(players, optimizer, parameters, stats)
    finite.restore(kept, stats["skipped_d"])
    return stats


def _discriminator_forward(players: Players, real: Tensor, labels: Tensor, index: int, images_seen: int) -> Step:
    z, fake_labels = players.draw(len(real))
    with torch.no_grad():
        fake = players.generate(z, fake_labels)
    shown_real, shown_fake = real, fake
    for regularizer in players.regularizers.values():
        if hasattr(regularizer, "images"):
            shown_real, shown_fake = regularizer.images(shown_real, shown_fake)
    # Real and fake in one batch: one pass of D, and the augmentation cannot treat them apart.
    augmented = players.augment(torch.cat((shown_real, shown_fake)))
    both = torch.cat((labels, fake_labels)) if players.conditional else None
    logits = players.judge(augmented, both)
    count = len(shown_real)
    return Step(
        index=index,
        images_seen=images_seen,
        real=shown_real,
        real_augmented=augmented[:count],
        fake=shown_fake,
        fake_augmented=augmented[count:],
        labels=labels if players.conditional else None,
        fake_labels=fake_labels if players.conditional else None,
        z=z,
        logits_real=logits[:count],
        logits_fake=logits[count:],
        **_doors(players),
    )


def generator_step(
    players: Players, optimizer: torch.optim.Optimizer, counts: Sequence[int], index: int, images_seen: int
) -> dict[str, Tensor]:
    """One update of G and of the mapper on micro-batches of `counts` fakes; returns 0-d tensors for the metrics.

    skipped_g: as skipped_d above.
    """
    _advance(players)
    kept = finite.keep(players.modules.values())
    parameters = _learning(optimizer)
    total = torch.zeros((), device=players.device)
    for count in counts:
        z, labels = players.draw(count)
        fake = players.generate(z, labels)
        augmented = players.augment(fake)
        told = labels if players.conditional else None
        logits = players.judge(augmented, told)
        step = Step(
            index=index,
            images_seen=images_seen,
            real=None,
            real_augmented=None,
            fake=fake,
            fake_augmented=augmented,
            labels=None,
            fake_labels=told,
            z=z,
            logits_real=None,
            logits_fake=logits,
            **_doors(players),
        )
        loss = generator_loss(players.loss, logits)
        for term in _terms(players, "generator_loss", step):
            loss = loss + term
        _backward(loss / len(counts), parameters)
        total += loss.detach() / len(counts)
    stats = {"loss_g": total}
    stats["skipped_g"] = _update(players, optimizer, parameters, stats)
    finite.restore(kept, stats["skipped_g"])
    return stats


def _doors(players: Players) -> dict[str, Any]:
    """What a regularizer may call: the networks, in the run's precision."""
    return {
        "generator": players.generator,
        "discriminator": _Judge(players),
        "generate": players.generate,
        "augment": None if players.augmentation is None else players.augment,
    }


class _Judge:
    """D as plugins see it: called, it runs in the run's precision; everything else is D's own."""

    def __init__(self, players: Players) -> None:
        self._players = players

    def __call__(self, images: Tensor, labels: Tensor | None) -> Tensor:
        return self._players.judge(images, labels)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._players.discriminator, name)


def _advance(players: Players) -> None:
    """One power iteration before each optimizer step, in all networks, so that the step's forwards share one sigma."""
    for network in (players.generator, players.discriminator, players.transfer.mapper):
        if hasattr(network, "advance"):
            network.advance()


def _learning(optimizer: torch.optim.Optimizer) -> list[nn.Parameter]:
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for parameter in parameters:
        parameter.grad = None
    return [parameter for parameter in parameters if parameter.requires_grad]


def _backward(loss: Tensor, parameters: Sequence[nn.Parameter]) -> None:
    if parameters:  # none: a transfer may let one side stand still for a while
        torch.autograd.backward(loss, inputs=parameters)


def _terms(players: Players, hook: str, step: Step) -> Iterator[Tensor]:
    for plugin in (players.transfer, *players.regularizers.values()):
        every = getattr(plugin, "every", 1)
        if hasattr(plugin, hook) and step.index % every == 0:
            yield every * getattr(plugin, hook)(step)


def _observe(players: Players, step: Step, seen: Sequence[tuple[Tensor, Tensor]]) -> None:
    plugins = [players.augmentation, *players.regularizers.values()]
    if not any(hasattr(plugin, "observe") for plugin in plugins):
        return
    real, fake = (distributed.gathered(torch.cat(part)) for part in zip(*seen, strict=True))
    if hasattr(players.augmentation, "observe"):
        players.augmentation.observe(real)  # type: ignore[union-attr]
    for regularizer in players.regularizers.values():
        if hasattr(regularizer, "observe"):
            regularizer.observe(dataclasses.replace(step, logits_real=real, logits_fake=fake))


def _update(
    players: Players,
    optimizer: torch.optim.Optimizer,
    parameters: Sequence[nn.Parameter],
    stats: Mapping[str, Tensor],
) -> Tensor:
    """The optimizer's step on gradients averaged, like the stats, over all processes. Returns 1 if it was skipped."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    distributed.average([*gradients, *stats.values()])
    if players.orthogonal:
        add_orthogonal_gradient(players, parameters)
    skipped = finite.broken([*stats.values(), *gradients])
    finite.step(optimizer, skipped)
    return skipped


@torch.no_grad()
def add_orthogonal_gradient(players: Players, parameters: Sequence[nn.Parameter]) -> None:
    """grad += s * 2 * (W W^T off its diagonal) W for parameters of 2 and more dimensions but class embeddings.

    BigGAN (arXiv 1809.11096), section 3.1, equation 3, in gradient form.
    """
    tables = {
        id(module.weight)
        for module in chain.from_iterable(module.modules() for module in players.modules.values())
        if isinstance(module, nn.Embedding)
    }
    for parameter in parameters:
        if parameter.dim() < 2 or id(parameter) in tables or parameter.grad is None:
            continue
        matrix = parameter.reshape(len(parameter), -1)
        product = matrix @ matrix.t()
        product.fill_diagonal_(0)
        parameter.grad += 2 * players.orthogonal * (product @ matrix).view_as(parameter)
