"""The training loop. A step is one update of G; images_seen, the photos shown to D, is the clock of everything else."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fewgan import distributed, run
from fewgan.errors import FewganError
from fewgan.photos import dataset
from fewgan.sampling import sample
from fewgan.screen import Screen, say
from fewgan.sources.model import Model
from fewgan.training import batches as feed
from fewgan.training import checkpoint, session
from fewgan.training import diagnostics as watch
from fewgan.training.config import Config
from fewgan.training.players import freeze
from fewgan.training.session import Session
from fewgan.training.steps import discriminator_step, generator_step

TICK = 10  # steps between two lines of metrics
PATIENCE = 10  # steps in a row that may be skipped because they were not finite
SHOWN = 32  # pictures in a grid


class Stopped(FewganError):
    """A signal ended the training after its step, and everything is saved."""

    def __init__(self, message: str, signum: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + signum


@dataclass(frozen=True)
class Trained:
    """What a training leaves. metrics: the last line of metrics.jsonl."""

    folder: Path
    step: int
    seconds: float
    metrics: dict[str, Any]


def train(config: Config, screen: Screen) -> Trained:
    """A new run, from its first step to its last. Raises UsageError, FewganError, Stopped."""
    new = session.begin(config, screen)
    folder = session.create_folder(new)
    screen.note(f"Run: {folder}")
    with _held(folder):
        if distributed.rank() == 0:
            sample.grid(_shown_photos(new)).save(folder / "real.png")
            _save_samples(new, folder)
        return _loop(new, folder, screen)


def resume(
    name: str,
    screen: Screen,
    *,
    steps: int | None = None,
    device: str | None = None,
    save_every: int | None = None,
    sample_every: int | None = None,
) -> Trained:
    """Goes on with a run as if it had never stopped. name: a run folder, or `latest`."""
    folder = Path(distributed.told(run.latest(wanted="checkpoints") if name == "latest" else name))
    changes = {"save_every": save_every, "sample_every": sample_every}
    run.read_config(folder)
    with _held(folder):
        old = session.resume(folder, screen, steps=steps, device_name=device, changes=changes)
        screen.note(f"Run: {folder}, resumed at step {old.state.step} of {old.config.steps}")
        return _loop(old, folder, screen)


def _held(folder: Path) -> AbstractContextManager[None]:
    return run.locked(folder) if distributed.rank() == 0 else nullcontext()


def _loop(work: Session, folder: Path, screen: Screen) -> Trained:
    config, state = work.config, work.state
    game = state.players
    history = run.read_metrics(folder)
    learning = [p for module in game.modules.values() for p in module.parameters() if p.requires_grad]
    started = time.monotonic()
    clock = (started, state.step)
    with _signals() as stopping, screen.progress("train", config.steps - state.step, "steps") as advance:
        while state.step < config.steps and not stopping:
            feed.seed(work)
            freeze(game, _trainable(work), learning)

            # Discriminator
            stats: dict[str, Tensor] = {}
            for _ in range(config.d_steps or 1):
                batches = [feed.batch(work) for _ in range(config.grad_accumulation)]
                stats = discriminator_step(
                    game, state.optimizers["discriminator"], batches, state.step, state.images_seen
                )

            # Generator and its average
            counts = [config.batch_size // distributed.world()] * config.grad_accumulation
            stats |= generator_step(game, state.optimizers["generator"], counts, state.step, state.images_seen)
            optimizer_batch = config.batch_size * config.grad_accumulation
            new_images = optimizer_batch * (config.d_steps or 1)
            state.average.update(game, state.images_seen, new_images, optimizer_batch)
            state.step += 1

            # Tick: the only place that waits for the device
            state.collect(stats)
            sampling = state.step % config.sample_every == 0
            ticking = state.step % TICK == 0 or sampling
            if signum := distributed.agreed(stopping[0] if stopping else 0):
                stopping[:] = [signum]  # all processes stop after the same step
            saving = state.step % config.save_every == 0 or state.step == config.steps or bool(stopping)
            if ticking or saving:
                _check(work, folder)
            if ticking:
                clock = _tick(work, folder, history, clock, screen, sampling=sampling)
            advance(1, _words(history))
            if saving and distributed.rank() == 0:
                checkpoint.save(folder, state, work.record, keep_generator=config.keep_generators)
    if state.step == config.steps and state.collected:
        # An end between two ticks. Its line is not part of the state, so that a later resume with more steps drops it.
        _tick(work, folder, history, clock, screen, sampling=True, last=True)
    if stopping and state.step < config.steps:
        name = signal.Signals(stopping[0]).name
        raise Stopped(
            f"stopped by {name} at step {state.step}, saved; go on with 'fewgan train --resume {folder}'", stopping[0]
        )
    return Trained(folder, state.step, time.monotonic() - started, history[-1] if history else {})


def _trainable(work: Session) -> list[torch.nn.Parameter] | None:
    """What learns now: the transfer decides over the networks and itself; other plugins always learn."""
    game = work.state.players
    if not hasattr(game.transfer, "trainable"):
        return None
    chosen = game.transfer.trainable(work.state.step, work.config.planned_steps)
    if chosen is None:
        return None
    return [*chosen, *(p for module in game.regularizers.values() for p in module.parameters())]


def _tick(
    work: Session,
    folder: Path,
    history: list[dict[str, Any]],
    clock: tuple[float, int],
    screen: Screen,
    *,
    sampling: bool,
    last: bool = False,
) -> tuple[float, int]:
    """A line of metrics, and samples if it is time. clock: time and step of the last tick; returns this one's."""
    if distributed.rank() > 0:
        work.state.take_means()
        return clock
    spread = _save_samples(work, folder) if sampling else None
    now, step = time.monotonic(), work.state.step
    line = _metrics(work, (now - clock[0]) / max(step - clock[1], 1), spread)
    if last:
        line["last"] = True
    found = watch.signs([*history, line], work.state.players.loss)
    for advice in found.values():
        screen.warn(f"step {step}: {advice}")
    if found:
        line["signs"] = list(found)
    history.append(line)
    run.append_metrics(folder, line)
    return now, step


def _metrics(work: Session, seconds_per_step: float, spread: float | None) -> dict[str, Any]:
    state = work.state
    means = state.take_means()
    real, fake = means["logit_real"], means["logit_fake"]
    rates = {
        name: [group["lr"] for group in optimizer.param_groups if group["params"]]
        for name, optimizer in state.optimizers.items()
    }
    return {
        "step": state.step,
        "images_seen": state.images_seen,
        **means,
        "logit_gap": None if real is None or fake is None else real - fake,
        **({} if spread is None else {"sample_spread": spread}),
        "seconds_per_step": round(seconds_per_step, 4),
        "learning_rates": rates,
        "peak_memory_bytes": _peak_memory(work.device),
        **{name: value.item() for name, value in state.players.logged.items()},
    }


def _peak_memory(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # bytes there, kibibytes elsewhere


def _words(history: list[dict[str, Any]]) -> str:
    """What stands beside the progress bar."""
    if not history:
        return ""
    line = history[-1]
    if line["loss_d"] is None:
        return "skipped: not finite"
    return f"D {line['loss_d']:.3f} G {line['loss_g']:.3f} gap {line['logit_gap']:.2f}"


def _check(work: Session, folder: Path) -> None:
    """Raises FewganError where no step has been finite for long; the skipped ones have changed nothing."""
    state, config = work.state, work.config
    for name, count in zip(("loss_d", "loss_g"), state.failing.tolist(), strict=True):
        if count >= min(PATIENCE, config.steps):
            raise FewganError(
                f"{name} or its gradients have not been finite since step {state.step - int(count) + 1}: training has "
                f"gone wrong; what was saved in {folder} is good; start again with lower --lr-g and --lr-d"
                + (" or with --precision fp32" if config.precision != "fp32" else "")
            )


def _save_samples(work: Session, folder: Path) -> float:
    """Pictures of the averaged generator from latents that stay the same over the run; a row a class.

    Returns how much they differ from each other, 1 being as much as the photos do.
    """
    state, record = work.state, work.record
    model = Model(
        folder,
        state.average.networks(state.players),
        work.config.architecture,
        mapper=state.average.mapper,
        has_discriminator=False,
        config=record,
    )
    columns = 8
    labels = torch.arange(SHOWN) // columns % max(state.players.generator.classes, 1)
    pictures = model.sample(SHOWN, seed=work.config.seed, labels=labels)
    with run.replacing(folder / "samples" / f"{state.step:06d}.png") as temporary:
        sample.grid(pictures, columns).save(temporary, format="PNG")
    return _spread(pictures) / max(_spread(_shown_photos(work)), 1e-6)


def _spread(pictures: Tensor) -> float:
    """Standard deviation over pictures uint8 [N, 3, S, S] of a value at one place, meant over places; grey levels."""
    return pictures.float().std(dim=0, correction=0).mean().item()


def _shown_photos(work: Session) -> Tensor:
    return work.photos[dataset.indices(len(work.photos), 0, min(SHOWN, len(work.photos)), work.config.seed)].cpu()


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Yields a list that the first SIGINT, SIGTERM or SIGHUP appends to; a second one ends the program at once."""
    caught: list[int] = []

    def handle(signum: int, _: object) -> None:
        if caught:
            signal.signal(signum, signal.SIG_DFL)
            signal.raise_signal(signum)
        caught.append(signum)
        say("\nStopping after this step, then saving; once more stops at once.")

    heeded = [signal.SIGINT, signal.SIGTERM]
    hangup = getattr(signal, "SIGHUP", None)  # the terminal is closed; nohup has it ignored, and so it stays
    if hangup is not None and signal.getsignal(hangup) != signal.SIG_IGN:
        heeded.append(hangup)
    old = {signum: signal.signal(signum, handle) for signum in heeded}
    try:
        yield caught
    finally:
        for signum, handler in old.items():
            if signal.getsignal(signum) is handle:
                signal.signal(signum, handler)
