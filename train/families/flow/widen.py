"""A flow network of twice the width that gives the same maps as a narrow one.

Every feature exists twice, with half the weight (Chen et al. 2016, Net2Net, arXiv:1511.05641).
"""

from __future__ import annotations

import math

import torch

from train.families.base import FamilyNetwork

SPREAD = 0.5


def doubled(network: FamilyNetwork, spread: float = SPREAD) -> FamilyNetwork:
    """Return a network of twice the width with the same maps. The result is always the same for the same weights.

    The two copies of an input get random weights that differ in opposite directions, by about ``spread`` times the
    standard deviation of the kernel: their sum and so the maps stay the same, but in training the copies diverge. A
    pretrained encoder keeps its width. Where the style is doubled, each half of it is shorter than the style was by the
    square root of 2, because the style has unit length.
    """
    wide = type(network)(network.channels, tuple(2 * width for width in network.widths))
    generator = torch.Generator().manual_seed(0)
    state = wide.state_dict()
    for key, value in network.state_dict().items():
        times = [new // old for new, old in zip(state[key].shape, value.shape, strict=True)]
        state[key] = value.repeat(times)
        if value.ndim == 4 and times[1] == 2:
            more = torch.randn(state[key][:, : value.shape[1]].shape, generator=generator) * value.std() * spread
            state[key] = (state[key] + torch.cat([more, -more], 1)) / (math.sqrt(2) if ".style." in key else 2)
    wide.load_state_dict(state)
    return wide.eval()
