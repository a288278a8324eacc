"""Batch-norms that nothing but a 1x1 convolution follows become part of it: the same function for less work.

ONNX Runtime folds a batch-norm into the convolution before it, but not into the one behind it, of which the network
has one in the shortcut of every block.
"""

from __future__ import annotations

import copy

import torch
from torch import nn


def folded(network: nn.Module) -> nn.Module:
    """Return a copy of a network in evaluation mode without the batch-norms of its blocks' shortcuts (`proj`)."""
    network = copy.deepcopy(network)
    for module in network.modules():
        if isinstance(getattr(module, "proj", None), nn.Sequential):
            norm, conv = module.proj
            module.proj = _folded(norm, conv)
    return network


@torch.no_grad()
def _folded(norm: nn.BatchNorm2d, conv: nn.Conv2d) -> nn.Conv2d:
    """Return the convolution of ``conv`` after ``norm``; it has no padding, so the shift is the same everywhere."""
    scale = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
    shift = norm.bias.double() - norm.running_mean.double() * scale
    weight = conv.weight.double()[:, :, 0, 0]
    merged = nn.Conv2d(conv.in_channels, conv.out_channels, 1)
    merged.weight.copy_((weight * scale)[:, :, None, None])
    merged.bias.copy_(conv.bias.double() + weight @ shift)
    return merged
