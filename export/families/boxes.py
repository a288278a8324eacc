"""Boxes networks: the file holds the network with its detections, the operators RoiAlign and NMS included."""

from __future__ import annotations

from torch import nn

from export.families.flow import SizeRegression


def make_module(network: nn.Module, size: SizeRegression | None) -> nn.Module:
    """Return the function that the file holds: (B, C, Y, X) -> detections (B, 13, Y, X)."""
    return network.eval()
