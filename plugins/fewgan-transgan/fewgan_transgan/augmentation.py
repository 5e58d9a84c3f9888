"""The augmentation `transgan-augment`: DiffAugment as TransGAN changes and extends it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fewgan.plugin import Plugin, UsageError, option

if TYPE_CHECKING:
    from fewgan_transgan.operations import Augment

PARTS = ("translation", "cutout", "erase_ratio", "stl_erase_ratio", "color", "hue", "filter")
POLICIES = {
    "cifar": "translation,cutout,color",
    "stl": "translation,stl_erase_ratio,color",
    "church": "translation,erase_ratio,color",
    "celebahq": "filter,translation,erase_ratio,color,hue",
}


@dataclass(frozen=True, kw_only=True)
class Options:
    policy: str = option(
        "auto",
        f"Parts in their order: {', '.join(PARTS)}; or the parts of {', '.join(POLICIES)}. auto: by size.",
    )


def parts(policy: str, size: int) -> tuple[str, ...]:
    """Names of a policy. Raises UsageError naming what is unknown."""
    if policy == "auto":
        policy = {32: "cifar", 48: "stl"}.get(size, "church")
    names = tuple(part.strip() for part in POLICIES.get(policy, policy).split(","))
    for name in names:
        if name not in PARTS:
            raise UsageError(
                f"--transgan-augment-policy {policy!r}: {name!r} is none of {', '.join(PARTS)}; "
                f"{', '.join(POLICIES)}; auto"
            )
    return names


def build(options: Options, *, size: int) -> Augment:
    """size: side of the images in pixels, which chooses the policy; operations read the side from the images."""
    from fewgan_transgan.operations import Augment

    return Augment(parts(options.policy, size))


plugin = Plugin(
    api=1,
    summary="TransGAN's augmentation: translation, erased squares, colors, hue and an image filter",
    options=Options,
    build=build,
)
