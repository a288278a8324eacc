"""Sinks to instances: seeds from the pile of path ends, then the checks that a cell must pass."""

from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt

from infer.flows import Labels, cell_flows, label_boxes
from infer.follow import Ends, Maps, sample

SEED_PIXELS = 10
SPREAD_PIXELS = 2
"""Ends, in network pixels of cell area, that make a seed and that let it grow (Cellpose: h > 10, h > 2)."""
PEAK = 2
GROWTH = 5
"""A seed is the highest pixel within `PEAK` pixels and grows `GROWTH` times by its 3 x 3 neighbourhood."""


@numba.njit(cache=True)
def _pile(ends: Ends, size: int) -> npt.NDArray[np.int32]:
    counts = np.zeros(size, np.int32)
    for end in ends.ravel():
        if end >= 0:
            counts[end] += 1
    return counts


@numba.njit(cache=True)
def _is_peak(pile: npt.NDArray[np.int32], y: int, x: int) -> bool:
    """Whether no pixel within `PEAK` is higher, nor as high and earlier in raster order."""
    here = pile[y, x]
    for v in range(max(0, y - PEAK), min(pile.shape[0], y + PEAK + 1)):
        for u in range(max(0, x - PEAK), min(pile.shape[1], x + PEAK + 1)):
            earlier = v < y or (v == y and u < x)
            if pile[v, u] > here or (earlier and pile[v, u] == here):
                return False
    return True


@numba.njit(cache=True)
def _peaks(pile: npt.NDArray[np.int32], least: float) -> npt.NDArray[np.int64]:
    """Return the flat pixels of the seeds in raster order."""
    found = []
    for y in range(pile.shape[0]):
        for x in range(pile.shape[1]):
            if pile[y, x] > least and _is_peak(pile, y, x):
                found.append(y * pile.shape[1] + x)
    return np.array(found, dtype=np.int64)


@numba.njit(cache=True)
def _grow(pile: npt.NDArray[np.int32], seeds: npt.NDArray[np.int64], least: float) -> Labels:
    """Grow each seed inside pile > ``least``; where two meet, the one later in ``seeds`` wins."""
    height, width = pile.shape
    basins = np.zeros((height, width), np.int32)
    side = 2 * GROWTH + 3
    for index in range(len(seeds)):
        top, left = seeds[index] // width - GROWTH - 1, seeds[index] % width - GROWTH - 1
        reached = np.zeros((side, side), np.bool_)
        reached[GROWTH + 1, GROWTH + 1] = True
        for radius in range(1, GROWTH + 1):
            before = reached.copy()
            for v in range(GROWTH + 1 - radius, GROWTH + 2 + radius):
                for u in range(GROWTH + 1 - radius, GROWTH + 2 + radius):
                    y, x = top + v, left + u
                    if 0 <= y < height and 0 <= x < width and pile[y, x] > least and not before[v, u]:
                        reached[v, u] = before[v - 1 : v + 2, u - 1 : u + 2].any()
        for v in range(side):
            for u in range(side):
                if reached[v, u]:
                    basins[top + v, left + u] = index + 1
    return basins


def label_ends(ends: Ends, shape: tuple[int, int], area: float) -> Labels:
    """Return labels (Y, X) int32 of the source pixels whose paths end in the same sink.

    ends: see `follow.follow`; shape: the network's (Y, X); area: network pixels that one source pixel covers, by
    which each end counts, so that the thresholds keep their meaning at any scale.
    """
    pile = _pile(ends, shape[0] * shape[1]).reshape(shape)
    seeds = _peaks(pile, SEED_PIXELS / area)
    seeds = seeds[np.argsort(pile.ravel()[seeds], kind="stable")]
    basins = _grow(pile, seeds, SPREAD_PIXELS / area)
    return np.where(ends >= 0, basins.ravel()[ends], 0).astype(np.int32)


@numba.njit(cache=True, parallel=True)
def flow_errors(
    labels: Labels,
    boxes: npt.NDArray[np.int32],
    maps: Maps,
    rows: npt.NDArray[np.float64],
    columns: npt.NDArray[np.float64],
) -> npt.NDArray[np.float64]:
    """Return for each label the mean over its pixels of |heat-diffusion flow - network flow / 5| squared.

    labels (Y, X) at source resolution, boxes from `flows.label_boxes`, maps (3, y, x) at network resolution, rows
    and columns: the network positions of the source pixels. Cellpose's ``remove_bad_flow_masks``, cell by cell.
    """
    errors = np.zeros(len(boxes))
    for index in numba.prange(len(boxes)):
        top, left, bottom, right = boxes[index]
        if bottom > top:
            mask = labels[top:bottom, left:right] == index + 1
            flows = cell_flows(mask)
            total, count = 0.0, 0
            for y in range(bottom - top):
                for x in range(right - left):
                    if mask[y, x]:
                        at_y, at_x = rows[top + y], columns[left + x]
                        dy = flows[0, y, x] - sample(maps[0], at_y, at_x) / 5
                        dx = flows[1, y, x] - sample(maps[1], at_y, at_x) / 5
                        total += dy * dy + dx * dx
                        count += 1
            errors[index] = total / count
    return errors


@numba.njit(cache=True)
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


@numba.njit(cache=True)
def fill_holes(labels: Labels, boxes: npt.NDArray[np.int32]) -> None:
    """Give, in place, every background pixel that one label encloses to that label; other labels stay."""
    for index in range(len(boxes)):
        top, left, bottom, right = boxes[index]
        if bottom > top:
            outside = _outside(labels[top:bottom, left:right] == index + 1)
            for y in range(bottom - top):
                for x in range(right - left):
                    if not outside[y, x] and labels[top + y, left + x] == 0:
                        labels[top + y, left + x] = index + 1


@numba.njit(cache=True)
def renumber(labels: Labels, keep: npt.NDArray[np.bool_]) -> int:
    """Drop, in place, the labels with ``keep[id - 1]`` false; number the rest 1..n by their first pixel."""
    numbers = np.zeros(len(keep) + 1, np.int32)
    count = 0
    for y in range(labels.shape[0]):
        for x in range(labels.shape[1]):
            label = labels[y, x]
            if label > 0 and keep[label - 1]:
                if numbers[label] == 0:
                    count += 1
                    numbers[label] = count
                labels[y, x] = numbers[label]
            else:
                labels[y, x] = 0
    return count


def keep_good(
    labels: Labels,
    maps: Maps,
    rows: npt.NDArray[np.float64],
    columns: npt.NDArray[np.float64],
    flow_threshold: float,
    min_size: int,
) -> int:
    """Drop bad and small labels, fill holes and renumber, all in place; return the number of cells.

    ``flow_threshold`` 0 leaves the flow-error check out; ``min_size`` is in source pixels, before holes are filled.
    """
    count = int(labels.max(initial=0))
    keep = np.bincount(labels.ravel(), minlength=count + 1)[1:] >= min_size
    count = renumber(labels, keep)
    if flow_threshold > 0:
        errors = flow_errors(labels, label_boxes(labels, count), maps, rows, columns)
        count = renumber(labels, errors <= flow_threshold)
    fill_holes(labels, label_boxes(labels, count))
    return count
