"""Signs of a failing training, read from its metrics. Each is reported once per run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

Line = Mapping[str, Any]

LONG = 200  # steps that a sign must last
NO_GAP = 0.05  # mean logit of photos minus that of samples below which D hardly separates them
NO_LOSS = 0.05  # D's loss below which it separates nearly all of them
SKIPPED = 0.1  # updates that were not finite, for each step
LIKE_FAKES = 0.9  # of the way from photos to samples, in D's logits: held-out photos there are judged like fakes
LEAKS = 0.5  # of the way from photos to augmented photos
ALIKE = 0.1  # spread of samples relative to that of the photos


def signs(lines: Sequence[Line], loss: str | None) -> dict[str, str]:
    """Name -> advice for every sign that the newest of these metrics shows and no earlier one has reported.

    lines: of metrics.jsonl, oldest first. loss: hinge, nonsaturating or wasserstein; None for one of a plugin's.
    """
    reported = {name for line in lines for name in line.get("signs", ())}
    found = {name: rule(lines, loss) for name, rule in RULES.items() if name not in reported}
    return {name: advice for name, advice in found.items() if advice is not None}


def _recent(lines: Sequence[Line], key: str) -> list[float]:
    """The values of the last LONG steps, none where they do not reach back that far."""
    if not lines or lines[-1]["step"] - lines[0]["step"] < LONG:
        return []
    first = lines[-1]["step"] - LONG
    values = (line.get(key) for line in lines if line["step"] > first)
    return [value for value in values if value is not None]


def _lost(lines: Sequence[Line], loss: str | None) -> str | None:
    gaps, losses = _recent(lines, "logit_gap"), _recent(lines, "loss_d")
    if not gaps or loss in (None, "wasserstein") or sum(map(abs, gaps)) / len(gaps) > NO_GAP:
        return None
    undecided = 2.0 if loss == "hinge" else 1.386  # the loss of a D that gives every picture the same logit 0
    if sum(losses) / len(losses) < 0.95 * undecided:
        return None
    return (
        f"D has hardly separated photos from samples for the last {LONG} steps (logit gap {sum(gaps) / len(gaps):.3f}, "
        f"loss {sum(losses) / len(losses):.2f}). If samples stop improving: lower --lr-g, raise --d-steps, or weaken "
        "the augmentation or the regularizers"
    )


def _too_strong(lines: Sequence[Line], loss: str | None) -> str | None:
    losses = _recent(lines, "loss_d")
    if not losses or loss in (None, "wasserstein") or max(losses) > NO_LOSS:
        return None
    return (
        f"D has separated photos from samples almost perfectly for the last {LONG} steps (loss {max(losses):.3f} at "
        "most), which leaves G little to learn from: add an augmentation or a regularizer, or lower --lr-d"
    )


def _overfits(lines: Sequence[Line], loss: str | None) -> str | None:
    """Held-out photos judged like samples: r_v of Karras et al. 2020 (arXiv 2006.06676, section 3)."""
    real, fake, held_out = (_recent(lines, f"logit_{name}") for name in ("real", "fake", "held_out"))
    if not held_out or len(real) != len(held_out):
        return None
    gap = sum(real) / len(real) - sum(fake) / len(fake)
    way = (sum(real) - sum(held_out)) / len(real)
    if gap <= NO_GAP or way < LIKE_FAKES * gap:
        return None
    return (
        f"D has judged held-out photos like samples for the last {LONG} steps ({way / gap:.2f} of the way from photos "
        "to samples): it knows the photos by heart. Add or strengthen an augmentation (--aug) or a regularizer; "
        "--score-every keeps the best generator"
    )


def _leaks(lines: Sequence[Line], loss: str | None) -> str | None:
    leaks = [(line["step"], line["leak"]) for line in lines if line.get("leak") is not None]
    if len(leaks) < 2 or leaks[-1][0] - leaks[0][0] < LONG or min(leak for _, leak in leaks[-2:]) < LEAKS:
        return None
    if leaks[-1][1] < leaks[-2][1]:  # what a source's pictures have more of than photos goes away by itself
        return None
    return (
        f"the samples show what the augmentation does to photos ({leaks[-1][1]:.2f} of the way from photos to "
        "augmented photos): weaken it with its options, or leave out --aug"
    )


def _skipped(lines: Sequence[Line], loss: str | None) -> str | None:
    skipped = sum(_recent(lines, "skipped_d")) + sum(_recent(lines, "skipped_g"))
    if skipped <= SKIPPED * LONG:
        return None
    return (
        f"{skipped:.0f} updates of the last {LONG} steps were skipped because the loss or a gradient was NaN or "
        "infinite: lower --lr-g and --lr-d, or use --precision fp32"
    )


def _alike(lines: Sequence[Line], loss: str | None) -> str | None:
    samplings = [(line["step"], line["sample_spread"]) for line in lines if line.get("sample_spread") is not None]
    since: int | None = None
    for step, spread in samplings:
        if spread > ALIKE:
            since = None
        elif since is None:
            since = step
    if since is None or samplings[-1][0] - since < LONG:
        return None
    return (
        f"the samples have been nearly identical since step {since} (spread {samplings[-1][1]:.2f} of that of the "
        "photos): use an earlier checkpoint, lower --lr-g, or use more photos"
    )


RULES: dict[str, Callable[[Sequence[Line], str | None], str | None]] = {
    "discriminator-lost": _lost,
    "discriminator-too-strong": _too_strong,
    "samples-alike": _alike,
    "discriminator-overfits": _overfits,
    "augmentation-leaks": _leaks,
    "updates-skipped": _skipped,
}
