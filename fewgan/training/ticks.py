"""Between steps: lines of metrics, grids of samples, signs of trouble."""

from __future__ import annotations

import math
import sys
import time
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from fewgan import distributed, run
from fewgan.photos import dataset
from fewgan.sampling.imagefile import grid, save_sheet, shaped, to_float, to_uint8
from fewgan.screen import Screen
from fewgan.sources.model import Model
from fewgan.training import diagnostics
from fewgan.training.best import Best
from fewgan.training.overfitting import HeldOut, augment_aside, leak
from fewgan.training.session import Session
from fewgan.training.tracking import Trackers

EVERY = 10  # steps between two lines of metrics
GRID_SIZE = 32  # pictures in a grid


class Ticks:
    """The metrics of a run, as a context: its trackers end with it, whatever ends it.

    status: the text beside the progress bar; last: the newest line of metrics.
    """

    def __init__(self, work: Session, folder: Path, screen: Screen) -> None:
        self._work, self._folder, self._screen = work, folder, screen
        self._lines = run.read_metrics(folder)
        self._clock = (time.monotonic(), work.state.step)
        self._trackers = Trackers(work.config.trackers if distributed.rank() == 0 else (), screen)
        self._best = Best(work, folder, self._lines, screen)
        self._held_out = HeldOut(work) if distributed.rank() == 0 else None

    def __enter__(self) -> Self:
        self._trackers.start({**self._work.record, "folder": str(self._folder), "step": self._work.state.step})
        return self

    def __exit__(self, *error: object) -> None:
        state = self._work.state
        try:
            # An end between two ticks. Its line is not part of the state: a later resume with more steps drops it.
            if error[0] is None and state.step == self._work.config.steps and state.meter.sums:
                self.tick(last=True)
        finally:
            self._trackers.end(self.last)

    @property
    def due(self) -> bool:
        step = self._work.state.step
        return step % EVERY == 0 or self._sampling or self._best.due

    @property
    def exhausted(self) -> bool:
        """Whether the scores have not improved for so long that the training ends."""
        return self._best.exhausted

    @property
    def best_step(self) -> int | None:
        return self._best.step

    @property
    def _sampling(self) -> bool:
        return self._work.state.step % self._work.config.sample_every == 0

    @property
    def last(self) -> dict[str, Any]:
        return self._lines[-1] if self._lines else {}

    @property
    def status(self) -> str:
        if not self._lines:
            return ""
        line = self._lines[-1]
        parts = [f"{name} {line[key]:.3f}" for name, key in (("D", "loss_d"), ("G", "loss_g")) if _known(line, key)]
        parts += [f"gap {line['logit_gap']:.2f}"] if _known(line, "logit_gap") else []
        parts += [self._best.text] if self._best.text else []
        return " ".join(parts) or "skipped: not finite"

    def tick(self, *, last: bool = False) -> None:
        """A line of metrics, and samples if it is time. Waits for the device."""
        work = self._work
        means = work.state.meter.take_means()
        seen: dict[str, Any] = self._best.measure(averaged(work, self._folder)) if self._best.due else {}
        if self._held_out is None:  # not rank 0
            return
        if (held_out := self._held_out.logit()) is not None:
            seen["logit_held_out"] = held_out
        if self._sampling or last:
            pictures = save_samples(work, self._folder)
            seen |= _compared(work, pictures)
            self._trackers.pictures(work.state.step, shaped(pictures, work.record))
        now, step = time.monotonic(), work.state.step
        seconds = (now - self._clock[0]) / max(step - self._clock[1], 1)
        self._clock = (now, step)
        line = _line(work, means, seconds, seen)
        if last:
            line["last"] = True
        players = work.state.players
        found = diagnostics.signs([*self._lines, line], players.loss if players.loss_plugin is None else None)
        for advice in found.values():
            self._screen.warn(f"step {step}: {advice}")
        if found:
            line["signs"] = list(found)
        self._lines.append(line)
        run.append_metrics(self._folder, line)
        self._trackers.line(line)


def _known(line: dict[str, Any], key: str) -> bool:
    return line.get(key) is not None


def _line(work: Session, means: dict[str, float | None], seconds: float, seen: dict[str, Any]) -> dict[str, Any]:
    state = work.state
    real, fake = means.get("logit_real"), means.get("logit_fake")
    rates = {
        name: [group["lr"] for group in optimizer.param_groups if group["params"]]
        for name, optimizer in state.optimizers.items()
    }
    line = {
        "step": state.step,
        "images_seen": state.images_seen,
        **means,
        "logit_gap": None if real is None or fake is None else real - fake,
        **seen,
        "seconds_per_step": round(seconds, 4),
        "learning_rates": rates,
        "peak_memory_bytes": _peak_memory(work.device),
        **{name: value.item() for name, value in state.players.logged.items()},
    }
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in line.items()
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


def averaged(work: Session, folder: Path) -> Model:
    """The averaged generator as it is now; not a copy."""
    state = work.state
    return Model(
        folder,
        state.average.networks(state.players),
        work.config.architecture,
        mapper=state.average.mapper,
        config=work.record,
    )


def save_samples(work: Session, folder: Path) -> Tensor:
    """A grid of the averaged generator from latents that stay the same over the run; a row a class.

    Returns its pictures, uint8 [N, 3, S, S].
    """
    state, model = work.state, averaged(work, folder)
    columns = 8
    labels = torch.arange(GRID_SIZE) // columns % max(state.players.generator.classes, 1)
    pictures = model.sample(GRID_SIZE, seed=work.config.seed, labels=labels)
    path = folder / "samples" / f"{state.step:06d}.png"
    save_sheet(path, grid(shaped(pictures, work.record), columns), step=state.step)
    return pictures


def save_photos(work: Session, folder: Path) -> None:
    """real.png: photos to look at beside the samples."""
    save_sheet(folder / "real.png", grid(shaped(_photos(work), work.record)))


def _compared(work: Session, pictures: Tensor) -> dict[str, float | None]:
    """Of samples: how much they differ from each other, 1 being as photos do; how far they look like augmented ones."""
    photos = _photos(work)
    spread = _spread(photos)  # 0 of a single photo
    found: dict[str, float | None] = {"sample_spread": _spread(pictures) / spread if spread > 0 else None}
    if work.state.players.augmentation is not None:
        augmented = augment_aside(work.state.players, to_float(photos.to(work.device)))
        found["leak"] = leak(photos, to_uint8(augmented).cpu(), pictures)
    return found


def _spread(pictures: Tensor) -> float:
    """Per-pixel standard deviation over pictures uint8 [N, 3, S, S], averaged over pixels; grey levels."""
    return pictures.float().std(dim=0, correction=0).mean().item()


def _photos(work: Session) -> Tensor:
    chosen = dataset.indices(len(work.photos), 0, min(GRID_SIZE, len(work.photos)), work.config.seed)
    return work.photos[chosen.to(work.photos.device)].cpu()
