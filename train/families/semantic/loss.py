"""The losses of semantic networks."""

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
    return functional.binary_cross_entropy_with_logits(logit, target) + 1 - _dice(logit.sigmoid(), target)


def border_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Return the cross entropy of the softmax plus 1 minus the mean Dice coefficient of interior and border.

    logits and target: (B, 3, Y, X). Borders have few pixels; the Dice coefficient does not depend on how many.

    >>> import torch
    >>> target = torch.tensor([1.0, 0, 0]).reshape(1, 3, 1, 1)
    >>> loss = border_loss(torch.zeros(1, 3, 1, 1), target)  # log 3 + 1 - ((2/3 + 1) / (1/3 + 2) + 1 / (1/3 + 1)) / 2
    >>> round(loss.item(), 4)
    1.3665
    """
    found = logits.softmax(dim=1)
    dice = (_dice(found[:, 0], target[:, 0]) + _dice(found[:, 1], target[:, 1])) / 2
    return functional.cross_entropy(logits, target) + 1 - dice


def _dice(found: Tensor, target: Tensor) -> Tensor:
    return (2 * (found * target).sum() + SMOOTH) / (found.sum() + target.sum() + SMOOTH)
