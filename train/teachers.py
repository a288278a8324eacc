"""Distillation: targets that are partly the maps of other networks, the teachers.

Where the labels of laboratories disagree, or an outline is faint, the mean of several networks tells how sure one can
be. Method: Hinton et al. 2015, arXiv:1503.02531.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from train.data.batches import Batch


def taught(
    make: Callable[[int], Batch], teachers: Sequence[nn.Module], share: float, soft_target: Callable[[Tensor], Tensor]
) -> Callable[[int], Batch]:
    """Return a function that makes the batches of `make` with the targets (1 - share) * target + share * taught.

    teachers: networks in evaluation mode on the CPU; what is taught is the mean of their maps (B, K, Y, X).
    soft_target: makes a target (B, K, Y, X) of these maps.

    >>> batch = torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 2)
    >>> one = nn.Conv2d(1, 1, 1)
    >>> _ = nn.init.ones_(one.bias)
    >>> teacher = lambda crops: (one(crops),)
    >>> taught(lambda step: batch, [teacher], 0.5, lambda maps: maps)(0)[1].flatten().tolist()
    [0.5, 0.5, 0.5, 0.5]
    """

    def make_taught(step: int) -> Batch:
        crops, target = make(step)
        with torch.no_grad():
            maps = torch.stack([teacher(crops)[0] for teacher in teachers]).mean(0)
        return crops, target.lerp(soft_target(maps), share)

    return make_taught
