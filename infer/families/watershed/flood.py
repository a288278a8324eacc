"""The marker-controlled watershed, one connected component of the foreground after the other.

No path of the watershed leaves a component, so each one is flooded on its own. Of equal values, the pixel that was
reached first is flooded first; of markers of equal value, the first one in raster order. Method:
``skimage.segmentation.watershed``, in which the internal order of a heap decides between equal markers.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ...kernels.compiled import kernel, part
from ...labels.labels import Labels
from .smooth import Map

Queue = tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]
"""(n,) levels and (n, 2) age and pixel of a heap, of which the first entries are in use."""


@part
def _before(levels: Map, pixels: npt.NDArray[np.int64], a: int, b: int) -> bool:
    """Return whether entry a of the heap is flooded before entry b: the higher level, then the lower age and pixel."""
    if levels[a] != levels[b]:
        return bool(levels[a] > levels[b])
    if pixels[a, 0] != pixels[b, 0]:
        return bool(pixels[a, 0] < pixels[b, 0])
    return bool(pixels[a, 1] < pixels[b, 1])


@part
def _swap(levels: Map, pixels: npt.NDArray[np.int64], a: int, b: int) -> None:
    levels[a], levels[b] = levels[b], levels[a]
    for k in range(2):
        pixels[a, k], pixels[b, k] = pixels[b, k], pixels[a, k]


@part
def _push(levels: Map, pixels: npt.NDArray[np.int64], size: int, level: np.float32, age: int, pixel: int) -> Queue:
    """Add an entry to the heap of ``size`` entries, and return its arrays, which are longer if it was full."""
    if size == len(levels):
        longer, more = np.empty(2 * size, np.float32), np.empty((2 * size, 2), np.int64)
        longer[:size], more[:size] = levels, pixels
        levels, pixels = longer, more
    levels[size], pixels[size, 0], pixels[size, 1] = level, age, pixel
    at = size
    while at > 0 and _before(levels, pixels, at, (at - 1) // 2):
        _swap(levels, pixels, at, (at - 1) // 2)
        at = (at - 1) // 2
    return levels, pixels


@part
def _pop(levels: Map, pixels: npt.NDArray[np.int64], size: int) -> int:
    """Remove the first of ``size`` entries of the heap and return its pixel."""
    pixel: int = pixels[0, 1]
    size -= 1
    levels[0], pixels[0, 0], pixels[0, 1] = levels[size], pixels[size, 0], pixels[size, 1]
    at = 0
    while True:
        best = at
        for child in (2 * at + 1, 2 * at + 2):
            if child < size and _before(levels, pixels, child, best):
                best = child
        if best == at:
            return pixel
        _swap(levels, pixels, at, best)
        at = best


@part
def _spread(
    values: Map, labels: Labels, levels: Map, pixels: npt.NDArray[np.int64], size: int, sides: npt.NDArray[np.int64]
) -> Queue:
    """Flood the pixels with the label -1 from the markers in the heap, and return the heap's arrays."""
    height, width = labels.shape
    flat = labels.reshape(-1)
    age = 0
    while size:
        pixel = _pop(levels, pixels, size)
        size -= 1
        for k in range(len(sides)):
            v, u = pixel // width + sides[k, 0], pixel % width + sides[k, 1]
            if 0 <= v < height and 0 <= u < width and flat[v * width + u] == -1:
                at = v * width + u
                age += 1
                flat[at] = flat[pixel]
                levels, pixels = _push(levels, pixels, size, values[at], age, at)
                size += 1
    return levels, pixels


@part
def _visit(
    flat: npt.NDArray[np.int32],
    at: int,
    level: np.float32,
    levels: Map,
    pixels: npt.NDArray[np.int64],
    size: int,
) -> tuple[Map, npt.NDArray[np.int64], int]:
    """Give a pixel of the foreground the number of its marker, and push it, or the label -1; return the heap."""
    if flat[at] == 0:
        flat[at] = -1
        return levels, pixels, size
    flat[at] = -1 - flat[at]
    levels, pixels = _push(levels, pixels, size, level, 0, at)
    return levels, pixels, size + 1


@kernel("void(f4[:,::1], i4[:,::1], f8, i8[:,::1])")
def flood(interior: Map, labels: Labels, threshold: float, sides: npt.NDArray[np.int64]) -> None:
    """Flood all components of the foreground ``interior`` > ``threshold`` from their markers, in place.

    labels: (Y, X) int32, 0 except at the markers of the foreground, where it is -1 minus the number of the marker.
    Afterwards each pixel has the number of its cell, or -1 in a component without a marker. sides: `SIDES`.

    >>> labels = np.array([[-2, 0, 0, 0, 0, -3], [0, 0, 0, 0, 0, 0]], np.int32)
    >>> interior = np.array([[0.9, 0.8, 0.5, 0.7, 0.8, 0.9], [0, 0, 0, 0, 0, 0.6]], np.float32)
    >>> flood(interior, labels, 0.4, SIDES)
    >>> labels
    array([[1, 1, 1, 2, 2, 2],
           [0, 0, 0, 0, 0, 2]], dtype=int32)
    """
    height, width = interior.shape
    values, flat = interior.reshape(-1), labels.reshape(-1)
    lowest = np.float32(threshold)
    levels, pixels = np.empty(1024, np.float32), np.empty((1024, 2), np.int64)
    waiting = np.empty(1024, np.int64)  # a ring of pixels whose neighbours have not been visited
    for start in range(height * width):
        if flat[start] == -1 or flat[start] > 0 or not values[start] > lowest:
            continue
        first, count = 0, 1
        waiting[0] = start
        levels, pixels, size = _visit(flat, start, values[start], levels, pixels, 0)
        while count:
            pixel = waiting[first]
            first = (first + 1) % len(waiting)
            count -= 1
            for k in range(len(sides)):
                v, u = pixel // width + sides[k, 0], pixel % width + sides[k, 1]
                if not (0 <= v < height and 0 <= u < width):
                    continue
                at = v * width + u
                if flat[at] == -1 or flat[at] > 0 or not values[at] > lowest:
                    continue
                levels, pixels, size = _visit(flat, at, values[at], levels, pixels, size)
                if count == len(waiting):
                    longer = np.empty(2 * count, np.int64)
                    longer[: count - first] = waiting[first:]
                    longer[count - first : count] = waiting[:first]
                    waiting, first = longer, 0
                waiting[(first + count) % len(waiting)] = at
                count += 1
        levels, pixels = _spread(values, labels, levels, pixels, size, sides)


SIDES = np.array([(-1, 0), (0, -1), (0, 1), (1, 0)])
"""(4, 2): the neighbours of a pixel that share a side with it, in the order in which they are flooded."""
