"""Scores with features that cost nothing."""

from pathlib import Path

import torch
from PIL import Image
from torch import nn

from fewgan.scoring.fid import score
from fewgan.screen import Screen

QUIET = Screen(quiet=True)


class Tiny(nn.Module):
    """Colours of a 4 x 4 grid, mixed; counts the pictures it has seen."""

    dim, score_name = 12, "Tiny distance"

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self.register_buffer("mix", torch.randn(48, 12, generator=torch.Generator().manual_seed(seed)))
        self.seen, self.largest = 0, 0

    def forward(self, images):
        assert images.dtype == torch.uint8
        self.seen += len(images)
        self.largest = max(self.largest, len(images))
        return nn.functional.interpolate(images.float() / 255, size=(4, 4), mode="area").flatten(1) @ self.mix


def scored(target=None, *, count=32, features=None, screen=QUIET, **settings):
    features = features or Tiny()
    return score(target, count=count, features=features, device="cpu", screen=screen, **settings)


def size_of(path: Path) -> tuple[int, int]:
    """Width and height of a picture file."""
    with Image.open(path) as image:
        return image.size
