"""The maps of several flow networks as one, as PyTorch operations."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def average(maps: Sequence[Tensor]) -> Tensor:
    """Return the average of the maps (B, 3, Y, X) of several networks: that of `flowmask.families.flow.average`.

    >>> sees, doubts = torch.tensor([-5, 0, 2.1972]), torch.tensor([0, 5, -2.1972])  # odds of 9 and 1/9
    >>> average([maps.reshape(1, 3, 1, 1) for maps in (sees, doubts)]).flatten()
    tensor([-4.5000,  0.5000,  1.5163])
    """
    stack = torch.stack(list(maps))  # (N, B, 3, Y, X)
    flows, logits = stack[:, :, :2], stack[:, :, 2:]
    weights = torch.sigmoid(logits)
    flow = (weights * flows).sum(0) / weights.sum(0).clamp_min(torch.finfo(torch.float32).tiny)
    largest = logits.amax(0)
    return torch.cat([flow, largest + (logits - largest).exp().mean(0).log()], 1)
