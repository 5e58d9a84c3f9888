"""Random views of images as in SimCLR (Chen et al. 2020, arXiv 2002.05709), with the laws that ContraD published."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from fewgan_contrad import colour, geometry

TRIES = 10  # boxes drawn for each image of the batch
LOG_ASPECT = math.log(4 / 3)
JITTER, GREY, BLUR, CUTOUT = 0.8, 0.2, 0.5, 0.5  # how probable each is
SIGMAS = (0.1, 2.0)
HUE = 255 / 360  # turns of a unit of the published code


class Views:
    """images [N, 3, S, S] in [0, 1], or a little outside -> a view of each, with the gradient of its images.

    kind: simclr: crop, flip, jitter, grey; simclr_hq: and blur; simclr_hq_cutout: and cutout. least_area: of a crop.
    jitter: largest change of contrast, saturation and value, and four times that of hue. cutout: side of the square.
    Draws come from torch's global generators.
    """

    def __init__(self, kind: str, *, least_area: float, jitter: float, cutout: int) -> None:
        self.kind, self.least_area, self.jitter, self.cutout = kind, least_area, jitter, cutout

    def __call__(self, images: Tensor) -> Tensor:
        count, side, device = len(images), images.shape[-1], images.device
        images = geometry.crop(images, *self.boxes(count, side, device))
        images = geometry.flip(images, _chosen(0.5, count, device).flatten())
        images = _some(self._jitter, JITTER, images)
        images = _some(colour.grey, GREY, images)
        if self.kind == "simclr":
            return images
        images = _some(_blur, BLUR, images)
        return images if self.kind == "simclr_hq" else _some(self._cutout, CUTOUT, images)

    def boxes(self, count: int, side: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Widths, heights and places of crops, int64 [count], as `geometry.crop` takes them.

        Boxes that fit are drawn without replacement. Where there are too few, the last images are left whole.
        """
        area = torch.empty(TRIES * count, device=device).uniform_(self.least_area, 1)
        log_aspect = torch.empty_like(area).uniform_(-LOG_ASPECT, LOG_ASPECT)
        wide, high, fits = geometry.box_sides(area, log_aspect, side)
        # In random order, those that do not fit last: nothing waits for the device.
        order = torch.where(fits, torch.rand_like(area), 2).argsort()[:count]
        sides = [torch.where(fits, pixels, side)[order] for pixels in (wide, high)]
        places = [_whole(side - pixels) for pixels in sides]
        return sides[0], sides[1], places[0], places[1]

    def _jitter(self, images: Tensor) -> Tensor:
        # One coin for the batch, drawn on the CPU: nothing waits for the device.
        stages = [self._contrast, self._hsv]
        for stage in stages if torch.rand(()).item() > 0.5 else stages[::-1]:
            images = stage(images)
        return images

    def _contrast(self, images: Tensor) -> Tensor:
        return colour.contrast(images, self._factor(images).unsqueeze(3))

    def _hsv(self, images: Tensor) -> Tensor:
        hue = images.new_empty(len(images), 1, 1).uniform_(-self.jitter / 4, self.jitter / 4) * HUE
        return colour.shift_hsv(images, hue, self._factor(images), self._factor(images))

    def _factor(self, images: Tensor) -> Tensor:
        return images.new_empty(len(images), 1, 1).uniform_(1 - self.jitter, 1 + self.jitter)

    def _cutout(self, images: Tensor) -> Tensor:
        rows, columns = torch.randint(images.shape[-1], (2, len(images)), device=images.device)
        return geometry.cutout(images, rows, columns, self.cutout)


def _blur(images: Tensor) -> Tensor:
    return geometry.blur(images, images.new_empty(()).uniform_(*SIGMAS))


def _whole(most: Tensor) -> Tensor:
    """Uniform integers −most … most, like most."""
    drawn = (torch.rand(most.shape, device=most.device) * (2 * most + 1)).long()
    return torch.minimum(drawn, 2 * most) - most


def _chosen(probability: float, count: int, device: torch.device) -> Tensor:
    return torch.rand(count, 1, 1, 1, device=device) < probability


def _some(operation: Callable[[Tensor], Tensor], probability: float, images: Tensor) -> Tensor:
    """The operation, on each image with this probability."""
    return torch.where(_chosen(probability, len(images), images.device), operation(images), images)
