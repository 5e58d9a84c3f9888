"""DiffAugment (Zhao et al. 2020, arXiv 2006.10738) and CR's T with index tensors over all pixels, as published.

Images are [N, 3, S, S] in [-1, 1]; draws are given, so that the operations can be held to golden numbers.
"""

import torch
from torch.nn import functional as F


def brightness(x, draw):
    return x + (draw - 0.5)


def saturation(x, draw):
    mean = x.mean(dim=1, keepdim=True)
    return (x - mean) * (draw * 2) + mean


def contrast(x, draw):
    mean = x.mean(dim=[1, 2, 3], keepdim=True)
    return (x - mean) * (draw + 0.5) + mean


def translation(x, rows, columns):
    count, _, height, width = x.shape
    sample, row, column = torch.meshgrid(torch.arange(count), torch.arange(height), torch.arange(width), indexing="ij")
    row = torch.clamp(row + rows.view(-1, 1, 1) + 1, 0, height + 1)
    column = torch.clamp(column + columns.view(-1, 1, 1) + 1, 0, width + 1)
    padded = F.pad(x, [1, 1, 1, 1])
    return padded.permute(0, 2, 3, 1).contiguous()[sample, row, column].permute(0, 3, 1, 2).contiguous()


def cutout(x, rows, columns):
    count, _, height, width = x.shape
    tall, wide = int(height * 0.5 + 0.5), int(width * 0.5 + 0.5)
    sample, row, column = torch.meshgrid(torch.arange(count), torch.arange(tall), torch.arange(wide), indexing="ij")
    row = torch.clamp(row + rows.view(-1, 1, 1) - tall // 2, 0, height - 1)
    column = torch.clamp(column + columns.view(-1, 1, 1) - wide // 2, 0, width - 1)
    mask = torch.ones(count, height, width)
    mask[sample, row, column] = 0
    return x * mask.unsqueeze(1)


def diffaugment(x):
    """The policy color,translation,cutout with fresh draws."""
    count, _, height, width = x.shape
    x = brightness(x, torch.rand(count, 1, 1, 1))
    x = saturation(x, torch.rand(count, 1, 1, 1))
    x = contrast(x, torch.rand(count, 1, 1, 1))
    x = translation(x, *_shifts(x))
    rows = torch.randint(0, height + (1 - int(height * 0.5 + 0.5) % 2), (count,))
    columns = torch.randint(0, width + (1 - int(width * 0.5 + 0.5) % 2), (count,))
    return cutout(x, rows, columns)


def flip_and_translate(x):
    """CR's T (Zhang et al. 2019, arXiv 1910.12027)."""
    flipped = torch.rand(len(x), 1, 1, 1) < 0.5
    return translation(torch.where(flipped, x.flip(3), x), *_shifts(x))


def _shifts(x):
    tall, wide = (int(side * 0.125 + 0.5) for side in x.shape[2:])
    return torch.randint(-tall, tall + 1, (len(x),)), torch.randint(-wide, wide + 1, (len(x),))
