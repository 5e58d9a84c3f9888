"""R1 (Mescheder et al. 2018, arXiv 1801.04406) and path length (Karras et al. 2020, arXiv 1912.04958, section 3.2).

Neither includes the factor by which lazy regularisation multiplies a term that is taken every so many steps (16 and 4).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from fewgan_stylegan2.winograd import inputs_alone

PATH_LENGTH_DECAY = 0.01
PATH_LENGTH_WEIGHT = 2.0


def r1_penalties(logits: Tensor, images: Tensor) -> Tensor:
    """The squared norm of the gradient of each image's logit to the image [N, 3, S, S] -> [N], differentiable.

    logits come from images, which require a gradient, through the augmentation where there is one. Of several logits an
    image [N, L] it is that of their mean, which is what the adversarial losses are of.
    """
    of_images = logits.reshape(len(logits), -1).mean(dim=1)
    with inputs_alone():
        (gradient,) = torch.autograd.grad(of_images.sum(), images, create_graph=True)
    return gradient.square().sum(dim=(1, 2, 3))


def r1(logits: Tensor, images: Tensor, gamma: float) -> Tensor:
    """gamma/2 times the mean of the penalties over images, 0-d."""
    return r1_penalties(logits, images).mean() * (gamma / 2)


def path_lengths(images: Tensor, ws: Tensor, noise: Tensor | None = None) -> Tensor:
    """How far each image [N, 3, H, W] moves with its ws [N, layers, w_dim], from which it comes -> [N], differentiable.

    The root of the squared gradient of sum(images · noise) / √(H W) to ws, summed over w and averaged over layers.
    noise: N(0, 1) of the images' shape, drawn where not given.
    """
    if noise is None:
        noise = torch.randn_like(images)
    height, width = images.shape[2:]
    with inputs_alone():
        (gradient,) = torch.autograd.grad((images * noise).sum() / math.sqrt(height * width), ws, create_graph=True)
    return gradient.square().sum(dim=2).mean(dim=1).sqrt()


def path_length(lengths: Tensor, mean: Tensor, weight: float = PATH_LENGTH_WEIGHT) -> tuple[Tensor, Tensor]:
    """(loss, new mean), both 0-d, of lengths [N] and their running mean.

    The mean moves by 0.01 of the way to the batch's. The loss, weight · mean((length - new mean)²), is differentiated
    through it too, as in the reference: the gradients of a detached mean are 1 % off. Store the new mean detached.
    """
    moved = mean.detach() + PATH_LENGTH_DECAY * (lengths.mean() - mean.detach())
    return (lengths - moved).square().mean() * weight, moved
