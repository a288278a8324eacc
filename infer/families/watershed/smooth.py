"""The Gaussian filter of the interior map, row by row, with the values of SciPy."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ...kernels.compiled import kernel, part
from .constants import RADIUS, SIGMA

Map = npt.NDArray[np.float32]
"""(n, X): one channel of the maps."""


def gaussian_weights() -> npt.NDArray[np.float64]:
    """Return the weights (2 * `RADIUS` + 1,) float64 of the filter; their sum is 1.

    >>> weights = gaussian_weights()
    >>> len(weights), round(float(weights[8]), 4)
    (17, 0.1995)
    """
    weights = np.exp(-0.5 / SIGMA**2 * np.arange(-RADIUS, RADIUS + 1) ** 2)
    normalised: npt.NDArray[np.float64] = weights / weights.sum()
    return normalised


@part
def _reflected(index: int, length: int) -> int:
    """Return the pixel that an index outside an axis stands for: the axis is mirrored at its ends (d c b a | a b c)."""
    index %= 2 * length
    return index if index < length else 2 * length - 1 - index


@kernel("f4[:,::1](f4[:,::1], f8[::1], i8, i8, i8, i8)")
def smooth_rows(rows: Map, weights: npt.NDArray[np.float64], top: int, height: int, first: int, last: int) -> Map:
    """Return the filtered rows ``first`` to ``last`` (excluded) of a map (last - first, X) float32.

    rows: rows of the map from row ``top`` on, which include `RADIUS` rows on either side of the result, except at the
    border; height: rows of the whole map. Method: ``scipy.ndimage.gaussian_filter``, with the same roundings.

    >>> smooth_rows(np.ones((3, 2), np.float32), gaussian_weights(), 0, 3, 1, 2).round(5)
    array([[1., 1.]], dtype=float32)
    """
    radius = len(weights) // 2
    width = rows.shape[1]
    filtered = np.empty((last - first, width), np.float32)
    totals = np.empty(width)
    line = np.empty(width + 2 * radius, np.float32)  # mirrored at both ends
    for y in range(first, last):
        middle = rows[y - top]
        for x in range(width):
            totals[x] = middle[x] * weights[radius]
        for step in range(radius, 0, -1):
            above, below = rows[_reflected(y - step, height) - top], rows[_reflected(y + step, height) - top]
            for x in range(width):
                totals[x] += (np.float64(above[x]) + np.float64(below[x])) * weights[radius - step]
        for x in range(-radius, width + radius):
            line[x + radius] = totals[_reflected(x, width)]
        for x in range(width):
            total = line[x + radius] * weights[radius]
            for step in range(radius, 0, -1):
                around = np.float64(line[x + radius - step]) + np.float64(line[x + radius + step])
                total += around * weights[radius - step]
            filtered[y - first, x] = total
    return filtered
