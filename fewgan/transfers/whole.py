"""Transfers that let all weights learn from the first step, and differ in where they start."""

from __future__ import annotations

from torch import nn


class Whole(nn.Module):
    """All of G and D learn at once."""

    conditional = True
    mapper = None
