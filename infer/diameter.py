"""The cells' diameter from the style of a few windows of the image."""

from __future__ import annotations

import math

import numpy as np

from infer.contract import GRAIN
from infer.image import Image
from infer.normalise import Array, Levels, Plan
from infer.rescale import NormalisedView
from infer.session import Network

WINDOW = 448
"""Largest side of a window in network pixels."""
WINDOWS = 4
PASSES = 2
SMALLEST, LARGEST = 5.0, 500.0
"""Diameters in image pixels between which the estimate is kept."""


def estimate_diameter(image: Image, network: Network, plan: Plan, level: Levels) -> float:
    """Return the diameter in image pixels of the cells that the image shows.

    The network's size regression (style vector to log diameter, Stringer et al. 2021) reads up to `WINDOWS`
    windows at the image's own scale; the image is brought to the mean diameter by what they say and read again,
    since the regression is best near that diameter. Without a regression: the contract's training diameter; where
    no window has a style, as on an empty image: the mean diameter.
    """
    contract = network.contract
    if not contract.sized:
        return contract.train_diameter
    diameter = contract.mean_diameter
    for _ in range(PASSES):
        scale = contract.mean_diameter / diameter
        seen = np.array([network.diameters(window[None])[0] for window in _windows(image, plan, level, scale)])
        seen = seen[np.isfinite(seen)]
        if not seen.size:
            return contract.mean_diameter
        diameter = float(np.clip(math.exp(np.median(np.log(seen))) / scale, SMALLEST, LARGEST))
    return diameter


def _windows(image: Image, plan: Plan, level: Levels, scale: float) -> list[Array]:
    """Return the `WINDOWS` windows with the most contrast of a lattice that covers the view."""
    view = NormalisedView(image, plan, level, scale)
    (tops, height), (lefts, width) = (_axis(length) for length in view.shape)
    windows = [view.read(top, left, top + height, left + width) for top in tops for left in lefts]
    return sorted(windows, key=lambda window: -float(window.std()))[:WINDOWS]


def _axis(length: int) -> tuple[list[int], int]:
    """Return the starts and the size of the windows along one axis: spread over it, at most `WINDOWS`."""
    if length <= WINDOW:
        size = GRAIN * math.ceil(length / GRAIN)
        return [(length - size) // 2], size
    count = min(WINDOWS, math.ceil(length / WINDOW))
    return [round(i * (length - WINDOW) / (count - 1)) for i in range(count)], WINDOW
