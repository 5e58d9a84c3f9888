"""The training loop. A step is one update of G; images_seen, the photos shown to D, is the clock of everything else."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fewgan import distributed, run
from fewgan.errors import FewganError, UsageError
from fewgan.installed import KINDS
from fewgan.screen import Screen, command, counted, say
from fewgan.training import batches, checked, checkpoint, session
from fewgan.training.config import Config
from fewgan.training.players import apply_schedules, freeze
from fewgan.training.session import Session
from fewgan.training.steps import Clock, discriminator_step, generator_step
from fewgan.training.ticks import Ticks, save_photos, save_samples
from fewgan.training.unfinished import unfinished

MOST_SKIPPED = 10  # steps in a row whose updates may be skipped because they were not finite


class Stopped(FewganError):
    """A signal ended the training after its step, and everything is saved."""

    def __init__(self, message: str, signum: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + signum


@dataclass(frozen=True)
class Trained:
    """What a training leaves. metrics: the last line of metrics.jsonl. best_step: of best.safetensors, if scored."""

    folder: Path
    step: int
    seconds: float
    metrics: dict[str, Any]
    best_step: int | None = None


def train(config: Config, screen: Screen, *, resume_unfinished: bool = False) -> Trained:
    """A new run, from its first step to its last.

    resume_unfinished: where the same command has started a run already, that one is resumed (or found finished).
    Raises UsageError, FewganError, Stopped.
    """
    started = unfinished(config, screen) if resume_unfinished else None
    started = distributed.broadcast_object(started)
    with ExitStack() as held:
        if started is not None:
            held.enter_context(_held(started))  # before anything of it is replaced
        if started is None or not run.checkpoints(started):
            new = session.begin(config, screen)
            folder = session.create_folder(new, started)
            if started is None:
                held.enter_context(_held(folder))
            screen.note(f"Run: {folder}")
            try:
                if distributed.rank() == 0:
                    save_photos(new, folder)
                    save_samples(new, folder)
                return _loop(new, folder, screen)
            except UsageError:  # a plugin cannot serve the request, which its first call tells
                if started is None and distributed.rank() == 0 and new.state.step == 0:
                    shutil.rmtree(folder, ignore_errors=True)
                    screen.note(f"{folder} is removed: no step was made")
                raise
    return resume(str(started), screen)


def resume(
    name: str,
    screen: Screen,
    *,
    steps: int | None = None,
    data: str | None = None,
    device: str | None = None,
    save_every: int | None = None,
    sample_every: int | None = None,
    patience: int | None = None,
) -> Trained:
    """Resumes a run as if it had never stopped. name: a run folder, or `latest`. data: its dataset, where it moved."""
    folder = Path(distributed.broadcast_object(run.latest(wanted="checkpoints") if name == "latest" else name))
    given = {"steps": steps, "data": data, "device": device}
    given |= {"save_every": save_every, "sample_every": sample_every, "patience": patience}
    run.read_config(folder)  # before the lock, which would put a file into a folder that is no run
    with _held(folder):
        old = session.resume(folder, screen, {name: value for name, value in given.items() if value is not None})
        screen.note(f"Run: {folder}, resumed at step {old.state.step} of {old.config.steps}")
        if old.state.step >= old.config.steps:
            screen.note("This run has made all its steps; to train longer, give a larger --steps")
            if distributed.rank() == 0 and not (folder / run.GENERATOR).exists():  # it was removed
                checkpoint.save(folder, old.state, old.record, keep_generator=old.config.keep_generators)
        return _loop(old, folder, screen)


def _held(folder: Path) -> AbstractContextManager[None]:
    return run.locked(folder) if distributed.rank() == 0 else nullcontext()


def _loop(work: Session, folder: Path, screen: Screen) -> Trained:
    config, state, players = work.config, work.state, work.state.players
    learning = [p for module in players.modules.values() for p in module.parameters() if p.requires_grad]
    counts = generator_batches(config, players.networks.defaults.generator_batch)
    planned_images = config.planned * work.images_per_step
    ticks = Ticks(work, folder, screen)
    started, ended_by = time.monotonic(), 0
    with _signals() as stopping, screen.progress("train", config.steps - state.step, "steps") as advance, ticks:
        while state.step < config.steps and not ended_by and not ticks.exhausted:
            # Fetch: this step's randomness, learning rates, and what learns in it
            batches.seed(work)
            apply_schedules(players, state.optimizers, state.images_seen, planned_images)
            freeze(checked.trainable(players, state.step), learning)

            # Discriminator
            for _ in range(config.d_steps or 1):
                photos = [batches.batch(work) for _ in range(config.grad_accumulation)]
                clock = Clock(state.step, state.images_seen, planned_images)
                stats = discriminator_step(players, state.optimizers["discriminator"], photos, clock)
                state.meter.add(stats, "discriminator")

            # Generator
            reals = batches.reals_for_generator(photos, counts) if players.needs_real else ()
            stats = generator_step(players, state.optimizers["generator"], counts, clock, reals)
            state.meter.add(stats, "generator")
            state.meter.end_step()

            # EMA: its ramp follows the images seen before this step, as in the loops that define it
            batch = config.batch_size * config.grad_accumulation
            seen_before = state.images_seen - work.images_per_step
            state.average.update(players, seen_before, work.images_per_step, batch)
            state.step += 1

            # Tick: the loop waits for the device nowhere else
            if ticks.due:
                _check_finite(work, folder)
                ticks.tick()
            advance(1, ticks.status)
            # After the tick, which is long: all processes stop after the same step, and it is saved.
            ended_by = distributed.all_reduce_max(stopping[0] if stopping else 0)
            regular = state.step % config.save_every == 0 or state.step == config.steps
            if regular or ended_by or ticks.exhausted:
                _check_finite(work, folder)
                if distributed.rank() == 0:
                    checkpoint.save(folder, state, work.record, keep_generator=config.keep_generators)
    if ended_by and state.step < config.steps:
        name = signal.Signals(ended_by).name
        again = command("fewgan", "train", "--resume", str(folder))
        raise Stopped(f"stopped by {name} at step {state.step}, saved; go on with '{again}'", ended_by)
    if ticks.exhausted:
        screen.note(
            f"Stopped at step {state.step}: no better score in the last {counted(config.patience or 0, 'score')} "
            f"(best: step {ticks.best_step}); to train longer, resume the run with a larger --patience"
        )
    return Trained(folder, state.step, time.monotonic() - started, ticks.last, ticks.best_step)


def generator_batches(config: Config, ratio: float) -> list[int]:
    """Fakes of this rank in each micro-batch of a G step; ratio: G's batch relative to D's."""
    own = config.batch_size // distributed.world_size()
    return [max(1, round(own * ratio))] * config.grad_accumulation


def _check_finite(work: Session, folder: Path) -> None:
    """Raises FewganError where no step has been finite for long; the skipped ones have changed nothing."""
    state, config = work.state, work.config
    losses = {"loss_d": "discriminator_loss", "loss_g": "generator_loss"}
    for (name, hook), count in zip(losses.items(), state.meter.failing.tolist(), strict=True):
        if count < min(MOST_SKIPPED, config.steps):
            continue
        since = f"NaN or infinite since step {state.step - int(count) + 1}"
        saved = f"; checkpoints in {folder} are intact" if run.checkpoints(folder) else ""
        wide = " or with --precision fp32" if config.precision != "fp32" else ""
        plugin = checked.not_finite(state.players, hook)
        if plugin is not None:
            what = f"the {KINDS[plugin[0]]} {plugin[1]}: its {hook} has been {since}"
            raise FewganError(f"{what}{saved}; start again with less of it or without it{wide}")
        raise FewganError(
            f"{name} or its gradients have been {since}: training diverged{saved}; start again with lower --lr-g and "
            f"--lr-d{wide}"
        )


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Yields a list that the first SIGINT, SIGTERM or SIGHUP appends to; a second one ends the program at once."""
    caught: list[int] = []

    def handle(signum: int, _: object) -> None:
        if caught:
            signal.signal(signum, signal.SIG_DFL)
            signal.raise_signal(signum)
        caught.append(signum)
        say("\nFinishing this step and saving; press Ctrl-C again to quit now.")

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
