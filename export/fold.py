"""Merge batch-norms into the 1x1 convolutions that follow them: the same function for less work.

ONNX Runtime merges a batch-norm into the convolution before it, but not into the one after it. The flow network has
such a pair in the shortcut of every block.
"""

from __future__ import annotations

import copy

import torch
from torch import nn


def folded(network: nn.Module) -> nn.Module:
    """Return a copy of a network in evaluation mode without the batch-norms of its blocks' shortcuts (`proj`)."""
    network = copy.deepcopy(network)
    for module in network.modules():
        shortcut = getattr(module, "proj", None)
        if isinstance(shortcut, nn.Sequential):
            norm, convolution = shortcut.children()
            assert isinstance(norm, nn.BatchNorm2d)
            assert isinstance(convolution, nn.Conv2d)
            module.proj = _folded(norm, convolution)
    return network


@torch.no_grad()
def _folded(norm: nn.BatchNorm2d, convolution: nn.Conv2d) -> nn.Conv2d:
    """Return the convolution after the batch-norm as one; it has no padding, so the shift is the same everywhere."""
    mean, variance, bias = norm.running_mean, norm.running_var, convolution.bias
    assert mean is not None
    assert variance is not None
    assert bias is not None
    scale = norm.weight.double() / (variance.double() + norm.eps).sqrt()
    shift = norm.bias.double() - mean.double() * scale
    weight = convolution.weight.double()[:, :, 0, 0]
    merged = nn.Conv2d(convolution.in_channels, convolution.out_channels, 1)
    merged.weight.copy_((weight * scale)[:, :, None, None])
    assert merged.bias is not None
    merged.bias.copy_(bias.double() + weight @ shift)
    return merged
