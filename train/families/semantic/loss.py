"""The loss of semantic networks."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

SMOOTH = 1.0
"""Added to both sides of the Dice fraction, so that crops without cells have a loss of 0 if nothing is found."""


def foreground_loss(logit: Tensor, target: Tensor) -> Tensor:
    """Return the binary cross entropy plus 1 minus the Dice coefficient; logit and target (B, 1, Y, X).

    The Dice coefficient is that of all crops of the batch together.

    >>> import torch
    >>> target = torch.tensor([[[[1.0, 0.0]]]])
    >>> round(foreground_loss(torch.zeros(1, 1, 1, 2), target).item(), 4)  # log 2 + 1 - (2 * 0.5 + 1) / (1 + 1 + 1)
    1.0265
    """
    found = logit.sigmoid()
    dice = (2 * (found * target).sum() + SMOOTH) / (found.sum() + target.sum() + SMOOTH)
    return functional.binary_cross_entropy_with_logits(logit, target) + 1 - dice
