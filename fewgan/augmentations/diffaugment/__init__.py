"""DiffAugment (Zhao et al. 2020, arXiv 2006.10738): the same differentiable augmentation on reals and fakes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fewgan.plugin import Plugin, UsageError, option

if TYPE_CHECKING:
    from fewgan.augmentations.diffaugment.operations import DiffAugment

PARTS = ("color", "translation", "cutout")


@dataclass(frozen=True, kw_only=True)
class Options:
    policy: str = option("color,translation,cutout", "Parts, applied in this order: color, translation, cutout")


def build(options: Options, *, size: int) -> DiffAugment:
    """size: side of the images in pixels. Raises UsageError for a policy with an unknown part, or with none."""
    from fewgan.augmentations.diffaugment.operations import DiffAugment

    parts = [part.strip() for part in options.policy.split(",")]
    for part in parts:
        if part not in PARTS:
            raise UsageError(
                f"--diffaugment-policy {options.policy!r}: {part!r} is not a part; "
                f"give one or more of {', '.join(PARTS)}, separated by commas, or leave out --aug diffaugment"
            )
    return DiffAugment(parts)


plugin = Plugin(
    api=1, summary="DiffAugment: color, translation and cutout on what D sees", options=Options, build=build
)
