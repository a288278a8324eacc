"""The losses of watershed networks."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional

PIXELWISE = 0.01
"""Factor on the loss of the classes, as in both papers."""


def watershed_loss(maps: Tensor, target: Tensor) -> Tensor:
    """Return the mean squared error of the inner distance plus 0.01 times the cross entropy of the softmax.

    maps: (B, 4, Y, X), inner distance and three logits; target: (B, 4, Y, X), inner distance and three classes.

    >>> import torch
    >>> target = torch.tensor([0.5, 1, 0, 0]).reshape(1, 4, 1, 1)
    >>> round(watershed_loss(torch.zeros(1, 4, 1, 1), target).item(), 4)  # 0.5 squared + 0.01 log 3
    0.261
    """
    return functional.mse_loss(maps[:, :1], target[:, :1]) + PIXELWISE * functional.cross_entropy(
        maps[:, 1:], target[:, 1:]
    )


def auxiliary_loss(maps: Tensor, target: Tensor, outer_distance: bool, foreground: bool) -> Tensor:
    """Return the loss of a network with the heads outer distance, or foreground and background, or both.

    maps and target: (B, K, Y, X), first what `watershed_loss` expects, then one channel and two channels. To its loss
    are added the mean squared error of the outer distance, and 0.01 times the cross entropy of the softmax.

    >>> import torch
    >>> target = torch.tensor([0.5, 1, 0, 0, 0.5, 1, 0]).reshape(1, 7, 1, 1)
    >>> round(auxiliary_loss(torch.zeros(1, 7, 1, 1), target, True, True).item(), 4)  # 0.261 + 0.25 + 0.01 log 2
    0.5179
    """
    loss = watershed_loss(maps[:, :4], target[:, :4])
    if outer_distance:
        loss = loss + functional.mse_loss(maps[:, 4], target[:, 4])
    if foreground:
        loss = loss + PIXELWISE * functional.cross_entropy(maps[:, -2:], target[:, -2:])
    return loss


def both_losses(maps: Tensor, target: Tensor, cells: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Return the loss of a network with heads for whole cells and for nuclei: the sum of both, as in Mesmer.

    maps and target: (B, K, Y, X), first what the loss ``cells`` expects, then four channels for `watershed_loss`.

    >>> import torch
    >>> target = torch.tensor([0.5, 1, 0, 0, 0, 0, 0, 1]).reshape(1, 8, 1, 1)
    >>> round(both_losses(torch.zeros(1, 8, 1, 1), target, watershed_loss).item(), 4)  # 0.261 + 0.01 log 3
    0.272
    """
    return cells(maps[:, :-4], target[:, :-4]) + watershed_loss(maps[:, -4:], target[:, -4:])
