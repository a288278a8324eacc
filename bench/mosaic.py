"""Simulated images of any size: fields of the project's simulator side by side."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from flowmask.labels.labels import Labels
from train.simulate import simulate

FIELD = 500
"""Height and width of a field in px; cells are cut at its border."""
TEMPLATE = 1000
"""Height and width in px of the image that `repeated` repeats."""
MODALITIES = ("dense_tissue", "fluorescence_nuclei")


def mosaic(height: int, width: int, diameter: float, seed: int = 0) -> tuple[npt.NDArray[np.uint8], Labels]:
    """Return an image (Y, X, 3) uint8 and its labels (Y, X) int32, ids 1..n; the modalities alternate.

    diameter: of the cells, in px.
    """
    image, labels = np.zeros((height, width, 3), np.uint8), np.zeros((height, width), np.int32)
    cells = 0
    for index, (top, left) in enumerate(np.ndindex(-(-height // FIELD), -(-width // FIELD))):
        sample = simulate(MODALITIES[(top + left) % 2], (FIELD, FIELD), seed + index, diameter)
        place = np.s_[top * FIELD : (top + 1) * FIELD, left * FIELD : (left + 1) * FIELD]
        rows, columns = labels[place].shape
        colour = sample.image if sample.image.ndim == 3 else sample.image[..., None]
        image[place] = colour[:rows, :columns]
        labels[place] = np.where(sample.labels > 0, sample.labels + cells, 0)[:rows, :columns]
        cells += int(sample.labels.max())
    return image, np.unique(labels, return_inverse=True)[1].reshape(labels.shape).astype(np.int32)


def repeated(side: int, diameter: float) -> npt.NDArray[np.uint8]:
    """Return an image (side, side, 3) uint8 that shows the same `TEMPLATE` px again and again; ``diameter`` in px."""
    field = mosaic(TEMPLATE, TEMPLATE, diameter)[0]
    times = -(-side // TEMPLATE)
    return np.tile(field, (times, times, 1))[:side, :side]
