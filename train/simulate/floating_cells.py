"""Cells that float above the focal plane: blurred, weak and not labelled."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from train.simulate.fields import Image, Shape, blur
from train.simulate.shapes import ellipse, fill

CHANCE = 0.2
"""Share of the images that have floating cells."""


def floating(rng: Generator, shape: Shape, diameter: float) -> Image:
    """Return a map (Y, X) float32 of one to five round cells, blurred by 0.2 to 0.4 `diameter` px; mostly all 0.

    The peak of a cell is about 0.2 to 1, unless it lies over another.
    """
    cells = np.zeros(shape, np.float32)
    if rng.random() >= CHANCE:
        return cells
    for _ in range(rng.integers(1, 6)):
        centre = rng.uniform((0, 0), (shape[1], shape[0])).astype(np.float32)
        cell = np.zeros(shape, np.float32)
        outline = ellipse(rng, diameter * rng.uniform(0.8, 1.4), rng.uniform(1, 1.4), 0.05) + centre
        fill(cell, outline, rng.uniform(0.4, 1))
        cells += cell
    return blur(cells, rng.uniform(0.2, 0.4) * diameter)


def overlay(rng: Generator, image: Image, diameter: float) -> Image:
    """Add floating cells to transmitted light (Y, X) of background 1: dark with a pale ring, or the reverse.

    Their contrast is about that of the image.
    """
    cells = floating(rng, (image.shape[0], image.shape[1]), diameter)
    contrast = rng.choice([-1, 1]) * rng.uniform(1.5, 3.5) * image.std()
    return np.asarray(image + contrast * (cells - blur(cells, 0.7 * diameter)), np.float32)
