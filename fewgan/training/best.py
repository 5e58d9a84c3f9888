"""The best generator of a run: the average is scored every so many steps, and the best one is kept."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from fewgan import distributed, run
from fewgan.errors import UsageError
from fewgan.photos import dataset
from fewgan.sampling import generate
from fewgan.scoring import distances
from fewgan.scoring.extract import extract, of_tensor
from fewgan.screen import Screen, counted, duration
from fewgan.sources.model import Model
from fewgan.training import checked, checkpoint
from fewgan.training.session import Session

PICTURES = 512  # generated for one score; KID is unbiased, so that few will do to find a minimum


class Best:
    """KID against the held-out photos, or the training photos where none are held out. Nothing without --score-every.

    What it knows is in the metrics: `kid` and `kid_seconds` of the lines with a score. A resumed run reads them there.
    """

    def __init__(self, work: Session, folder: Path, lines: Sequence[Mapping[str, Any]], screen: Screen) -> None:
        self._work, self._folder, self._screen = work, folder, screen
        self._scores = [(line["step"], _comparable(line["kid"])) for line in lines if "kid" in line]
        self._told = bool(self._scores)
        if work.scorer is None:  # no --score-every
            return
        self._scorer = work.scorer
        if work.config.score_every is not None and work.config.score_every > work.config.steps:
            screen.warn(
                f"--score-every {work.config.score_every}: more than the {counted(work.config.steps, 'step')} of this "
                "run, which gets no score"
            )
        self._against, photos = _photos(work)
        if photos.count < 2:
            raise UsageError(
                "--score-every: KID needs 2 photos or more, and the dataset has 1 to train on; leave it out"
            )
        self._real: Tensor = self._scorer.reference(photos, device=work.device, screen=Screen(quiet=True))
        if self._against == "training":
            screen.warn(
                "--score-every: fewer than 2 photos are held out, so scores are against the training photos and favour "
                "copies of them; prepare the dataset with --holdout"
            )
        elif photos.count < distances.FEW_PHOTOS:
            screen.warn(f"--score-every: {photos.count} held-out photos are few to tell the best generator")
        if self._scorer.is_among(work.record.get("learned_from", ())):
            screen.warn(
                f"--score-every: D learns from the weights of the {self._scorer.name} features, which makes scores too "
                "good; choose others with --features"
            )

    @property
    def due(self) -> bool:
        every = self._work.config.score_every
        return every is not None and self._work.state.step % every == 0 and not self._source_still

    @property
    def _source_still(self) -> bool:
        """Whether G has not learned yet, and will (MineGAN's first stage).

        The pictures are the source's then. They may score better than what G makes once it has begun to change, and
        would be kept as the best, or end the run by --patience, on the way to better ones.
        """
        players = self._work.state.players
        own = {id(parameter) for parameter in players.generator.parameters()}

        def learns(step: int) -> bool:
            chosen = checked.trainable(players, step)
            return chosen is None or any(id(parameter) in own for parameter in chosen)

        return not learns(self._work.state.step - 1) and learns(players.steps - 1)

    @property
    def step(self) -> int | None:
        """The step with the lowest score; the first of equal ones; None where none is finite."""
        step, best = min(self._scores, key=lambda score: score[1], default=(0, math.inf))
        return step if best < math.inf else None

    @property
    def exhausted(self) -> bool:
        """Whether the last `patience` scores were all worse than the best before them."""
        patience = self._work.config.patience
        best = self.step
        return patience is not None and best is not None and sum(step > best for step, _ in self._scores) >= patience

    @property
    def text(self) -> str:
        """For the status line: the newest score and the best."""
        if self.step is None:
            return ""
        best = min(score for _, score in self._scores)
        return f"KID {self._scores[-1][1]:.3f} best {best:.3f}"

    def measure(self, model: Model) -> dict[str, float | None]:
        """The score of the averaged generator, for the metrics; keeps the generator if it is the best. Collective."""
        work, started = self._work, time.monotonic()

        def groups(first: int, stop: int) -> Any:
            return generate.pictures(model, stop, first=first, seed=work.config.seed) if first < stop else ()

        made = extract(self._scorer, groups, PICTURES, device=work.device, label="score", screen=Screen(quiet=True))
        kid = distances.kid(self._real, made, subsets=1).full
        score = _comparable(kid)
        self._scores.append((work.state.step, score))
        if score == math.inf:
            self._screen.warn(f"step {work.state.step}: the score is NaN or infinite and is ignored")
        if self.step == work.state.step and distributed.rank() == 0:
            checkpoint.save_generator(self._folder / run.BEST, work.state, work.record, kid=kid)
        seconds = time.monotonic() - started
        if not self._told:
            self._screen.note(
                f"Score at step {work.state.step}: KID {kid:.4f} ({self._scorer.name} features, {PICTURES} pictures, "
                f"{counted(len(self._real), f'{self._against} photo')}); each takes {duration(seconds)}"
            )
            self._told = True
        return {"kid": None if score == math.inf else kid, "kid_seconds": round(seconds, 2)}


def _comparable(kid: float | None) -> float:
    """Infinite for a score that is no number, which is None in the metrics."""
    return math.inf if kid is None or not math.isfinite(kid) else kid


def _photos(work: Session) -> tuple[str, Any]:
    """What to score against, and its name: held-out photos if there are at least 2, else those of the training."""
    held_out = int(work.data.held_out.sum()) >= 2
    images, _ = dataset.photos(work.data, held_out=held_out, size=work.config.size)
    name = "held-out" if held_out else "train"
    return "held-out" if held_out else "training", of_tensor(images, name, fingerprint=work.data.fingerprint)
