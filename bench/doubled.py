"""A network of full width that is no network of zeros: for timing, with the maps of a trained one of half width."""

from __future__ import annotations

import math

import torch

from train.network import FlowNetwork


def doubled(network: FlowNetwork) -> FlowNetwork:
    """Return a network of twice the width that gives the same maps: every feature twice, at half the weight.

    Other than `bench.agreement.widened` it has no zeros to multiply by, which GPUs do faster than other numbers. The
    style has unit length, so that its two halves are shorter by the root of 2 than the one was.
    """
    wide = FlowNetwork(network.channels, tuple(2 * width for width in network.widths))
    state = wide.state_dict()
    for key, value in network.state_dict().items():
        times = [new // old for new, old in zip(state[key].shape, value.shape, strict=True)]
        from_twice = value.ndim == 4 and times[1] == 2
        state[key] = value.repeat(times) / ((math.sqrt(2) if ".style." in key else 2) if from_twice else 1)
    wide.load_state_dict(state)
    return wide.eval()


def largest_difference(one: FlowNetwork, other: FlowNetwork, side: int = 64) -> float:
    """Return the largest difference between the maps of two networks for an image of noise."""
    image = torch.rand(1, one.channels, side, side, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        return float((one(image)[0] - other(image)[0]).abs().max())
