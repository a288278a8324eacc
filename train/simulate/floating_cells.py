"""Cells that float above the focal plane: blurred, weak and not labelled."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from train.simulate.fields import Image, Shape, blur
from train.simulate.shapes import ellipse, fill

CHANCE = 0.2
"""Share of the images that have some."""


def floating(rng: Generator, shape: Shape, diameter: float) -> Image:
    """Map (Y, X) float32 of one to five round cells blurred by 0.2 to 0.4 `diameter` px; mostly none, that is all 0.

    The peak of a cell that does not lie over another is about 0.2 to 1.
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
    """Transmitted light (Y, X), background 1, with floating cells: dark with a pale ring about them, or the reverse.

    Their contrast is about that of the image itself.
    """
    cells = floating(rng, (image.shape[0], image.shape[1]), diameter)
    contrast = rng.choice([-1, 1]) * rng.uniform(1.5, 3.5) * image.std()
    return np.asarray(image + contrast * (cells - blur(cells, 0.7 * diameter)), np.float32)
