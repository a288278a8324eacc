"""Sinks to instances: seeds from the histogram of path ends, then the checks that a cell must pass.

Everything works on some rows of the image; the row at which what is given begins is called ``top``. A cell is known
by the number of its seed, counted from 1 in raster order, until it has passed the checks.
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
SPREAD_PIXELS = 2
"""Ends, in network pixels of cell area, that make a seed and that let it grow (Cellpose: h > 10, h > 2)."""
BAND = 16
"""Cells that a thread checks before it takes others."""
SinkHistogram = npt.NDArray[np.int32]


@part
def _is_peak(histogram: SinkHistogram, y: int, x: int) -> bool:
    """Whether no pixel within `PEAK` is higher, nor as high and earlier in raster order."""
    here = histogram[y, x]
    for v in range(max(0, y - PEAK), min(histogram.shape[0], y + PEAK + 1)):
        for u in range(max(0, x - PEAK), min(histogram.shape[1], x + PEAK + 1)):
            earlier = v < y or (v == y and u < x)
            if histogram[v, u] > here or (earlier and histogram[v, u] == here):
                return False
    return True


@kernel("i8[:,::1](i4[:,::1], i8, i8, f8)")
def peaks(histogram: SinkHistogram, first: int, last: int, least: float) -> npt.NDArray[np.int64]:
    """Return (n, 3) int64 (row, column, height) of the seeds in the rows ``first`` to ``last`` of the histogram.

    The histogram holds `PEAK` rows more on either side, except at the borders of the image. Raster order.
    """
    found = []
    for y in range(first, last):
        for x in range(histogram.shape[1]):
            if histogram[y, x] > least and _is_peak(histogram, y, x):
                found.append((y, x, histogram[y, x]))
    seeds = np.empty((len(found), 3), np.int64)
    for index, (y, x, height) in enumerate(found):
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
    """Return (last - first, X) int32 the basin of each pixel: every seed grown inside histogram > ``least``.

    seeds as from `peaks`; the histogram holds 2 * `GROWTH` rows more on either side of ``first`` to ``last``, except at
    the borders of the image. Where two meet the higher seed wins, the later one of two that are equal.
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
    """Put into labels (Y, X), zeros, of source rows the basin in which each path ends; see `follow.follow`."""
    width = basins.shape[1]
    for i in range(ends.shape[0]):
        for j in range(ends.shape[1]):
            end = ends[i, j]
            if end != NOWHERE:
                labels[i, j] = basins[bases[i] + end // width - top, end % width]


@kernel("void(i8[::1], i4[:,::1], i4[:,::1], i8, f4[:,:,::1], i8, i8, f8[::1], f8[::1], f8[::1])")
def _flow_errors(
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
) -> None:
    """Fill in ``errors``; see `flow_errors`."""
    for index in range(len(cells)):
        top, left, bottom, right = boxes[cells[index] - 1]
        mask = labels[top - labels_top : bottom - labels_top, left:right] == cells[index]
        flows = cell_flows(mask)
        total, count = 0.0, 0
        for y in range(bottom - top):
            for x in range(right - left):
                if mask[y, x]:
                    at_y, at_x = rows[top + y], columns[left + x]
                    dy = flows[0, y, x] - sample(maps[:, 0], at_y, at_x, maps_top, height) / FLOW_SCALE
                    dx = flows[1, y, x] - sample(maps[:, 1], at_y, at_x, maps_top, height) / FLOW_SCALE
                    total += dy * dy + dx * dx
                    count += 1
        errors[index] = total / count


def flow_errors(
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
) -> npt.NDArray[np.float64]:
    """Return for each cell the mean over its pixels of |heat-diffusion flow - network flow / 5| squared.

    cells: numbers; boxes (n, 4) of all cells; labels (Y, X) at source and maps (y, 3, x) at network resolution, each
    with the row at which it begins; height: rows of the whole network image; rows and columns: the network
    positions of all source pixels. Cellpose's ``remove_bad_flow_masks``, cell by cell.
    """
    errors = np.zeros(len(cells))

    def work(first: int, last: int) -> None:
        _flow_errors(
            cells[first:last], boxes, labels, labels_top, maps, maps_top, height, rows, columns, errors[first:last]
        )

    in_parallel(len(cells), BAND, threads, work)
    return errors


@kernel("i8(i4[:,::1], i4[::1], b1[::1], i8)")
def renumber(labels: Labels, numbers: npt.NDArray[np.int32], kept: npt.NDArray[np.bool_], count: int) -> int:
    """Number rows of labels, in place, by the first pixels of the kept cells, from ``count`` + 1 on; 0 for the others.

    numbers (n,): what each cell got already, filled in as more get theirs. Returns the new count.
    """
    for y in range(labels.shape[0]):
        for x in range(labels.shape[1]):
            cell = labels[y, x] - 1
            if cell >= 0 and kept[cell]:
                if numbers[cell] == 0:
                    count += 1
                    numbers[cell] = count
                labels[y, x] = numbers[cell]
            else:
                labels[y, x] = 0
    return count


@part
def _outside(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Return the pixels outside the mask that 4-connected steps reach from the frame of the box."""
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
    """Give, in place, every background pixel that one label encloses to that label; other labels stay.

    boxes (n, 4) and numbers (n,) of the cells to fill, in this order.
    """
    for index in range(len(numbers)):
        left, right = boxes[index, 1], boxes[index, 3]
        region = labels[boxes[index, 0] - top : boxes[index, 2] - top, left:right]
        outside = _outside(region == numbers[index])
        for y in range(region.shape[0]):
            for x in range(region.shape[1]):
                if not outside[y, x] and region[y, x] == 0:
                    region[y, x] = numbers[index]
