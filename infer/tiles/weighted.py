"""The weighted sums of maps where tiles overlap."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..kernels.compiled import kernel

Array = npt.NDArray[np.float32]


@kernel("void(f4[:,:,::1], f4[::1], f4[::1], i8, f4[:,:,::1])")
def add_weighted(maps: Array, weight_y: Array, weight_x: Array, left: int, sums: Array) -> None:
    """Add the maps of a tile times their weights to the sums, in place; columns outside the sums are ignored.

    maps: (channels, Y, X) float32; weight_y: (Y,) and weight_x: (X,) float32, whose products are the weights; sums:
    (channels, Y, width) float32, in which the tile starts at column ``left``, which may be negative.

    >>> sums = np.ones((1, 1, 2), np.float32)
    >>> add_weighted(np.array([[[4, 6]]], np.float32), np.full(1, 0.5, np.float32), np.ones(2, np.float32), -1, sums)
    >>> sums
    array([[[4., 1.]]], dtype=float32)
    """
    first, last = max(0, -left), min(maps.shape[2], sums.shape[2] - left)
    for channel in range(maps.shape[0]):
        for y in range(maps.shape[1]):
            weight = weight_y[y]
            values, weights = maps[channel, y, first:last], weight_x[first:last]
            row = sums[channel, y, left + first : left + last]
            for x in range(last - first):
                row[x] += values[x] * (weight * weights[x])
