"""Adaptive discriminator augmentation (ADA, Karras et al. 2020, arXiv 2006.06676) as an augmentation of fewgan."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fewgan.plugin import Plugin, UsageError, option

if TYPE_CHECKING:
    from fewgan_ada.pipeline import Ada

GROUPS = {
    "blit": ("xflip", "rotate90", "xint"),
    "geom": ("scale", "rotate", "aniso", "xfrac"),
    "color": ("brightness", "contrast", "lumaflip", "hue", "saturation"),
    "filter": ("filter",),
    "noise": ("noise",),
    "cutout": ("cutout",),
}
OPERATIONS = tuple(operation for group in GROUPS.values() for operation in group)
# As the paper abbreviates them: each adds a group to the one before.
SETS = {"b": 1, "bg": 2, "bgc": 3, "bgcf": 4, "bgcfn": 5, "bgcfnc": 6}


@dataclass(frozen=True, kw_only=True)
class Options:
    target: float = option(0.6, "Mean sign of D's logits for photos that p is steered to", min=-1, max=1)
    speed: float = option(500.0, "Thousands of photos in which p may go from 0 to 1", min=0.001)
    ops: str = option("bgc", "b, bg, bgc, bgcf, bgcfn or bgcfnc; or groups and operations with commas between")
    initial: float = option(0.0, "p at the start", min=0, max=1)


def operations(text: str) -> frozenset[str]:
    """Names of operations in `--ada-ops`. Raises UsageError naming what is unknown."""
    if text in SETS:
        return frozenset(name for group in list(GROUPS.values())[: SETS[text]] for name in group)
    found: set[str] = set()
    for word in text.split(","):
        name = word.strip()
        if name not in GROUPS and name not in OPERATIONS:
            known = f"{', '.join(SETS)}; {', '.join(GROUPS)}; {', '.join(sorted(set(OPERATIONS) - set(GROUPS)))}"
            raise UsageError(f"--ada-ops {text!r}: {name!r} is none of {known}")
        found.update(GROUPS.get(name, (name,)))
    return frozenset(found)


def build(options: Options, *, size: int) -> Ada:
    """size: side of the images, which the operations read from the images themselves."""
    from fewgan_ada.pipeline import Ada

    return Ada(operations(options.ops), target=options.target, speed=options.speed, initial=options.initial)


plugin = Plugin(api=1, summary="ADA: augments as often as D's overfitting asks for", options=Options, build=build)
