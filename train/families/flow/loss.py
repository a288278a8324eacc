"""The loss of flow networks."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def flow_loss(maps: Tensor, target: Tensor) -> Tensor:
    """Return half the mean squared error of the flows times 5, plus the cross entropy of the cell map.

    maps (B, 3, Y, X) = (dy * 5, dx * 5, logit), target (B, 3, Y, X) = (cell, dy, dx); means over all pixels. This is
    the loss of Cellpose (Stringer et al. 2021, doi:10.1038/s41592-020-01018-x).

    >>> import torch
    >>> background = torch.zeros(1, 3, 2, 2)
    >>> maps = torch.zeros(1, 3, 2, 2)
    >>> maps[:, 0] = 2.0  # a wrong dy everywhere: half of the mean of 2 ** 2 and 0 is 1; the logit 0 costs log 2
    >>> round(flow_loss(maps, background).item(), 4)
    1.6931
    """
    flows = functional.mse_loss(maps[:, :2], 5 * target[:, 1:])
    return 0.5 * flows + functional.binary_cross_entropy_with_logits(maps[:, 2], target[:, 0])
