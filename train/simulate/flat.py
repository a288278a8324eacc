"""Cells without texture: flat areas with sharp edges, as in strongly thresholded, binned or artificial pictures."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from train.simulate import fields, populations
from train.simulate.fields import Labels, Shape
from train.simulate.fluorescence import Scene


def _flat_cells(rng: Generator, shape: Shape, diameter: float) -> Labels:
    spread, aspect, roughness = rng.uniform(0, 0.3), rng.uniform(1, 1.8), rng.choice([0.0, 0.02, 0.06])
    return populations.rounded(rng, shape, diameter, spread, aspect, roughness, (0, 0.05))


def flat(rng: Generator, shape: Shape, diameter: float) -> Scene:
    """Cells of one brightness each, or all of one, on an even ground; sharp or slightly soft edges, little noise."""
    labels = _flat_cells(rng, shape, diameter)
    ground, contrast = rng.uniform(0, 60), rng.uniform(40, 190)
    cells = (labels > 0) * fields.per_cell(rng, labels, rng.choice([0.0, rng.uniform(0, 0.4)]))
    image = ground + contrast * fields.blur(cells.astype(np.float32), rng.choice([0.0, rng.uniform(0.3, 1.0)]))
    image = image + rng.choice([0.0, rng.uniform(0, 0.04)]) * contrast * rng.standard_normal(labels.shape)
    greys = rng.choice([256, 256, int(rng.integers(4, 32))])
    image = np.round(np.clip(image, 0, 255) / 255 * (greys - 1)) * 255 / (greys - 1)
    if rng.random() < 0.3:
        image = 255 - image
    return np.rint(image).astype(np.uint8), labels
