"""Crowds of rounded cells, some of two sizes in one picture."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.random import Generator

from train.simulate import placement, shapes
from train.simulate.fields import Labels, Shape
from train.simulate.shapes import Outline

CHANCE = 0.15
"""Share of the images that hold two sizes, in the modalities that may."""
FACTORS = (1.8, 3.3)
"""Least and greatest ratio of the two diameters."""


def two_sizes(rng: Generator, draw: Callable[[], list[Outline]]) -> Callable[[], list[Outline]]:
    """Return `draw` as it is or, with CHANCE, one that makes some of its outlines much larger or much smaller.

    These are 10 to 40 % of the draws, so the median size stays about that of `draw`.
    """
    if rng.random() >= CHANCE:
        return draw
    factor = math.exp(rng.uniform(*np.log(FACTORS)) * rng.choice([-1, 1]))
    share = rng.uniform(0.1, 0.4)

    def draw_two() -> list[Outline]:
        scale = np.float32(factor if rng.random() < share else 1)
        return [outline * scale for outline in draw()]

    return draw_two


def rounded(
    rng: Generator,
    shape: Shape,
    diameter: float,
    spread: float,
    aspect: float,
    roughness: float,
    overlaps: tuple[float, float],
) -> Labels:
    """Return a crowd (Y, X) of ellipses that may touch, some of two sizes.

    spread: standard deviation of the logarithm of the diameters; aspect: the greatest ratio of the axes; roughness: of
    the outlines; overlaps: from which the part is drawn by which two neighbours may overlap before they are split.
    """

    def draw() -> list[Outline]:
        return [shapes.ellipse(rng, diameter * rng.lognormal(0, spread), rng.uniform(1, aspect), roughness)]

    bank = placement.stamp_bank(two_sizes(rng, draw), shape, diameter)
    return placement.place(rng, shape, bank, placement.draw_crowd(rng, shape, diameter, 0.6), rng.uniform(*overlaps))
