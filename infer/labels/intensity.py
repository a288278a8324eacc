"""Mean, standard deviation, minimum and maximum of a channel in each cell, row by row."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..kernels.compiled import kernel
from .labels import Labels

Statistics = npt.NDArray[np.float64]
"""(cells, 5): number of finite pixels, their mean, the sum of squared deviations from it, minimum and maximum."""


def no_pixels(cells: int) -> Statistics:
    """Return the statistics before any pixel.

    >>> no_pixels(1).tolist()
    [[0.0, 0.0, 0.0, inf, -inf]]
    """
    return np.tile([0.0, 0.0, 0.0, np.inf, -np.inf], (cells, 1))


@kernel("void(i4[:,::1], f8[:,::1], f8[:,::1])")
def add_pixels(labels: Labels, pixels: npt.NDArray[np.float64], statistics: Statistics) -> None:
    """Update the statistics with some rows of the image, in place; NaN and infinite pixels are left out.

    labels: (n, X) int32; pixels: (n, X) float64, the same rows of one channel. Mean and deviations follow Welford 1962
    (doi:10.1080/00401706.1962.10490022), whose result does not suffer from large means.

    >>> statistics = no_pixels(1)
    >>> add_pixels(np.array([[1, 1, 0]], np.int32), np.array([[2.0, 4.0, 9.0]]), statistics)
    >>> statistics
    array([[2., 3., 2., 2., 4.]])
    """
    for y in range(labels.shape[0]):
        for x in range(labels.shape[1]):
            cell, value = labels[y, x] - 1, pixels[y, x]
            if cell >= 0 and np.isfinite(value):
                row = statistics[cell]
                row[0] += 1
                change = value - row[1]
                row[1] += change / row[0]
                row[2] += change * (value - row[1])
                row[3] = min(row[3], value)
                row[4] = max(row[4], value)


def summary(statistics: Statistics) -> npt.NDArray[np.float64]:
    """Return (cells, 4): mean, standard deviation, minimum and maximum; NaN for a cell without finite pixels.

    >>> summary(np.array([[2.0, 3.0, 2.0, 2.0, 4.0]]))
    array([[3., 1., 2., 4.]])
    """
    count, mean, squares, low, high = statistics.T
    empty = count == 0
    deviation = np.sqrt(squares / np.where(empty, 1, count))
    values = np.column_stack([mean, deviation, low, high])
    values[empty] = np.nan
    return values
