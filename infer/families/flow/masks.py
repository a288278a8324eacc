"""From sinks to cells: seeds and basins in the sink histogram, labels, flow check, numbering and holes.

All functions work on some rows of the image; ``top`` is the row of the whole image that the first row of an array
belongs to. Until a cell has passed the checks, its number is that of its seed, counted from 1 in raster order.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ...kernels.compiled import kernel, part
from ...labels.labels import Boxes, Labels
from ...system.parallel import in_parallel
from .constants import FLOW_SCALE, GROWTH, PEAK
from .follow import NOWHERE, Ends, Maps, Positions, sample
from .targets import cell_flows

SEED_PIXELS = 10
"""A seed has more path ends than those of this cell area in network pixels (Cellpose: more than 10 ends)."""
SPREAD_PIXELS = 2
"""A basin grows into pixels with more path ends than those of this cell area (Cellpose: more than 2 ends)."""
BAND = 16
"""Cells that a thread checks at a time."""
SinkHistogram = npt.NDArray[np.int32]
"""(n, X): the number of paths that end in each network pixel."""


@part
def _is_peak(histogram: SinkHistogram, y: int, x: int) -> bool:
    """Return whether a pixel is the highest within the distance `PEAK`; of equal pixels, only the first is a peak."""
    here = histogram[y, x]
    for v in range(max(0, y - PEAK), min(histogram.shape[0], y + PEAK + 1)):
        for u in range(max(0, x - PEAK), min(histogram.shape[1], x + PEAK + 1)):
            earlier = v < y or (v == y and u < x)
            if histogram[v, u] > here or (earlier and histogram[v, u] == here):
                return False
    return True


@kernel("i8[:,::1](i4[:,::1], i8, i8, f8)")
def peaks(histogram: SinkHistogram, first: int, last: int, least: float) -> npt.NDArray[np.int64]:
    """Return the seeds (n, 3) int64 (row, column, path ends) in the rows first..last-1 of the histogram.

    Seeds are peaks with more than ``least`` path ends, in raster order. The histogram must have `PEAK` more rows on
    either side of these rows, except at the border of the image.

    >>> peaks(np.array([[0, 3, 9, 9], [0, 0, 0, 0]], np.int32), 0, 2, 5.0)
    array([[0, 2, 9]])
    """
    pixels = []
    for y in range(first, last):
        for x in range(histogram.shape[1]):
            if histogram[y, x] > least and _is_peak(histogram, y, x):
                pixels.append((y, x, histogram[y, x]))
    seeds = np.empty((len(pixels), 3), np.int64)
    for index, (y, x, height) in enumerate(pixels):
        seeds[index, 0], seeds[index, 1], seeds[index, 2] = y, x, height
    return seeds


@kernel("i4[:,::1](i4[:,::1], i8[:,::1], i8[::1], i8, i8, f8)")
def grow(
    histogram: SinkHistogram,
    seeds: npt.NDArray[np.int64],
    numbers: npt.NDArray[np.int64],
    first: int,
    last: int,
    least: float,
) -> Labels:
    """Return the basins (last - first, X) int32 of the rows first..last-1: the number of a seed, or 0.

    seeds: (n, 3) from `peaks`; numbers: (n,) the number of each seed. Each seed grows `GROWTH` times into its 3 x 3
    neighbourhood, as far as the histogram has more than ``least`` path ends. If two basins meet, the pixel belongs to
    the seed with more path ends; of equal seeds, to the later one. The histogram must have 2 * `GROWTH` more rows on
    either side, except at the border of the image. Method: ``get_masks`` of Cellpose.

    >>> histogram = np.array([[3, 9, 3, 0, 3]], np.int32)
    >>> grow(histogram, np.array([[0, 1, 9]]), np.array([1]), 0, 1, 2.0)
    array([[1, 1, 1, 0, 0]], dtype=int32)
    """
    height, width = histogram.shape
    basins = np.zeros((last - first, width), np.int32)
    side = 2 * GROWTH + 3
    for index in np.argsort(seeds[:, 2], kind="mergesort"):
        top, left = seeds[index, 0] - GROWTH - 1, seeds[index, 1] - GROWTH - 1
        reached = np.zeros((side, side), np.bool_)
        reached[GROWTH + 1, GROWTH + 1] = True
        for radius in range(1, GROWTH + 1):
            before = reached.copy()
            for v in range(GROWTH + 1 - radius, GROWTH + 2 + radius):
                for u in range(GROWTH + 1 - radius, GROWTH + 2 + radius):
                    y, x = top + v, left + u
                    if 0 <= y < height and 0 <= x < width and histogram[y, x] > least and not before[v, u]:
                        reached[v, u] = before[v - 1 : v + 2, u - 1 : u + 2].any()
        for v in range(max(0, first - top), min(side, last - top)):
            for u in range(side):
                if reached[v, u]:
                    basins[top + v - first, left + u] = numbers[index]
    return basins


@kernel("void(i4[:,::1], i8[::1], i4[:,::1], i8, i4[:,::1])")
def label(ends: Ends, bases: npt.NDArray[np.int64], basins: Labels, top: int, labels: Labels) -> None:
    """Fill ``labels`` (rows, X), which must be zeros, with the basin in which the path of each source pixel ends.

    ends: (rows, X) from `flowmask.families.flow.follow.follow`; bases: (rows,) the network row in which the paths of
    each source row start; basins: (n, x) int32 from `grow`, from network row ``top`` on.

    >>> labels = np.zeros((1, 2), np.int32)
    >>> label(np.array([[1, NOWHERE]], np.int32), np.zeros(1, np.int64), np.array([[4, 5]], np.int32), 0, labels)
    >>> labels
    array([[5, 0]], dtype=int32)
    """
    flat = basins.reshape(basins.size)
    for i in range(ends.shape[0]):
        start = (bases[i] - top) * basins.shape[1]
        for j in range(ends.shape[1]):
            end = ends[i, j]
            if end != NOWHERE:
                labels[i, j] = flat[start + end]


@kernel("void(i8[::1], i4[:,::1], i4[:,::1], i8, f4[:,:,::1], i8, i8, f8[::1], f8[::1], f8[::1], f8[::1])")
def _quality(
    cells: npt.NDArray[np.int64],
    boxes: Boxes,
    labels: Labels,
    labels_top: int,
    maps: Maps,
    maps_top: int,
    height: int,
    rows: Positions,
    columns: Positions,
    errors: npt.NDArray[np.float64],
    probabilities: npt.NDArray[np.float64],
) -> None:
    """Fill ``errors`` and ``probabilities``, both (len(cells),); see `quality`."""
    for index in range(len(cells)):
        top, left, bottom, right = boxes[cells[index] - 1]
        mask = labels[top - labels_top : bottom - labels_top, left:right] == cells[index]
        flows = cell_flows(mask)
        total, probability, count = 0.0, 0.0, 0
        for y in range(bottom - top):
            for x in range(right - left):
                if mask[y, x]:
                    at_y, at_x = rows[top + y], columns[left + x]
                    dy = flows[0, y, x] - sample(maps[:, 0], at_y, at_x, maps_top, height) / FLOW_SCALE
                    dx = flows[1, y, x] - sample(maps[:, 1], at_y, at_x, maps_top, height) / FLOW_SCALE
                    total += dy * dy + dx * dx
                    probability += 1 / (1 + np.exp(-sample(maps[:, 2], at_y, at_x, maps_top, height)))
                    count += 1
        errors[index], probabilities[index] = total / count, probability / count


def quality(
    cells: npt.NDArray[np.int64],
    boxes: Boxes,
    labels: Labels,
    labels_top: int,
    maps: Maps,
    maps_top: int,
    height: int,
    rows: Positions,
    columns: Positions,
    threads: int = 1,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the flow error and the cell probability of each cell, both (len(cells),) float64.

    The flow error is the mean of |true flow - network flow / 5| squared over the pixels of the cell; the true flow is
    computed from its mask (`cell_flows`). Method: ``remove_bad_flow_masks`` of Cellpose, for each cell separately. The
    probability is the mean of the logistic function of the logit.

    cells: cell numbers, from 1; boxes: (n, 4) of all cells. labels: (Y, X) int32 from source row ``labels_top`` on;
    maps: (y, 3, x) float32 from network row ``maps_top`` on; height: rows of the whole network image. rows, columns:
    float64, network positions of all rows and columns of the whole image.

    >>> from flowmask.families.flow.targets import labels_to_flows
    >>> labels, boxes = np.ones((2, 4), np.int32), np.array([[0, 0, 2, 4]], np.int32)
    >>> maps = np.zeros((2, 3, 4), np.float32)
    >>> maps[:, :2] = 5 * labels_to_flows(labels).transpose(1, 0, 2)
    >>> errors, probabilities = quality(np.array([1]), boxes, labels, 0, maps, 0, 2, np.arange(2.0), np.arange(4.0))
    >>> errors.round(6), probabilities  # the flows are true, the logits are 0
    (array([0.]), array([0.5]))
    """
    errors, probabilities = np.zeros(len(cells)), np.zeros(len(cells))

    def work(first: int, last: int) -> None:
        filled = errors[first:last], probabilities[first:last]
        _quality(cells[first:last], boxes, labels, labels_top, maps, maps_top, height, rows, columns, *filled)

    in_parallel(len(cells), BAND, threads, work)
    return errors, probabilities


@part
def _may_enclose(region: Labels, number: int) -> bool:
    """Return False if the cell of this number encloses no pixel of the region (Y, X), its box; True if it may.

    In the highest row of an enclosed area, the pixels of the area lie side by side between two pixels of the cell, and
    the pixels above them belong to the cell, too.
    """
    for y in range(1, region.shape[0] - 1):
        covered = False  # whether all pixels since the last one of the cell have one of the cell above them
        for x in range(region.shape[1]):
            if region[y, x] == number:
                if covered and region[y, x - 1] != number:
                    return True
                covered = True
            elif covered:
                covered = region[y - 1, x] == number
    return False


@part
def _outside(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Return (Y, X) bool: the pixels outside the mask that are 4-connected to the border of the array."""
    height, width = mask.shape
    outside = np.zeros((height, width), np.bool_)
    stack = np.empty((height * width, 2), np.int64)
    size = 0
    for y in range(height):
        for x in range(width):
            if (y in (0, height - 1) or x in (0, width - 1)) and not mask[y, x]:
                outside[y, x] = True
                stack[size] = y, x
                size += 1
    while size:
        size -= 1
        y, x = stack[size]
        for v, u in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
            if 0 <= v < height and 0 <= u < width and not mask[v, u] and not outside[v, u]:
                outside[v, u] = True
                stack[size] = v, u
                size += 1
    return outside


@kernel("void(i4[:,::1], i8, i4[:,::1], i4[::1])")
def fill_holes(labels: Labels, top: int, boxes: Boxes, numbers: npt.NDArray[np.int32]) -> None:
    """Fill the holes of cells in place: background pixels that a cell encloses get its number; other cells stay.

    labels: (Y, X) int32 from row ``top`` of the image on. boxes: (n, 4) and numbers: (n,) of the cells, which are
    filled in this order.

    >>> labels = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]], np.int32)
    >>> fill_holes(labels, 0, np.array([[0, 0, 3, 3]], np.int32), np.array([1], np.int32))
    >>> labels[1]
    array([1, 1, 1], dtype=int32)
    """
    for index in range(len(numbers)):
        left, right = boxes[index, 1], boxes[index, 3]
        region = labels[boxes[index, 0] - top : boxes[index, 2] - top, left:right]
        if not _may_enclose(region, numbers[index]):
            continue
        outside = _outside(region == numbers[index])
        for y in range(region.shape[0]):
            for x in range(region.shape[1]):
                if not outside[y, x] and region[y, x] == 0:
                    region[y, x] = numbers[index]
