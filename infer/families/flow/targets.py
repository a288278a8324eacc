"""From labels to flows: the vector field that leads each pixel of a cell to the centre of the cell.

Method: heat diffusion from the centre of each cell (Stringer et al. 2021, doi:10.1038/s41592-020-01018-x) with the
constants of Cellpose 3.1. The heat source is the pixel of the cell nearest to the mean position of its pixels. Heat
spreads inside the cell by 2 * (height + width + 4) steps of a 3 x 3 mean, where height and width are those of the
cell's box. The flow is the gradient of the heat, by central differences, scaled to length 1.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ...kernels.compiled import inlined, kernel, part
from ...labels.labels import Labels
from ...labels.measure import label_boxes
from ...system.cpu import cores
from ...system.parallel import in_parallel

BAND = 16
"""Cells that a thread processes at a time."""
Flows = npt.NDArray[np.float32]
"""(2, Y, X): flow (dy, dx) at each pixel."""
Heat = npt.NDArray[np.float64]
ONE, TWO, THREE, FOUR, FIVE = (np.uint64(offset) for offset in range(1, 6))
"""Unsigned, as the indices that they are added to."""


@part
def _centre(mask: npt.NDArray[np.bool_]) -> tuple[int, int]:
    """Return (row, column) of the mask's pixel nearest to the mean position of its pixels; of several, the first."""
    count, sum_y, sum_x = 0, 0, 0
    for y in range(mask.shape[0]):
        for x in range(mask.shape[1]):
            if mask[y, x]:
                count += 1
                sum_y += y
                sum_x += x
    mean_y, mean_x = sum_y / count, sum_x / count
    best, best_y, best_x = np.inf, 0, 0
    for y in range(mask.shape[0]):
        for x in range(mask.shape[1]):
            if mask[y, x]:
                distance = (y - mean_y) ** 2 + (x - mean_x) ** 2
                if distance < best:
                    best, best_y, best_x = distance, y, x
    return best_y, best_x


@inlined
def _row_sums(heat: Heat, left: np.uint64) -> tuple[float, float, float, float]:
    """Return the sums of each of four pixels of a row and its two neighbours there; ``left`` is before the first."""
    a, b, c = heat[left], heat[left + ONE], heat[left + TWO]
    d, e, f = heat[left + THREE], heat[left + FOUR], heat[left + FIVE]
    return a + b + c, b + c + d, c + d + e, d + e + f


@part
def _spread(heat: Heat, weights: Heat, start: int, rows: int, width: int, spread: Heat) -> None:
    """Fill ``spread`` with one step of the heat, in four columns of ``rows`` rows from the pixel ``start`` on.

    All three are flat, with ``width`` pixels in a row. The four columns are written out, so that the compiler turns
    each line into one vector instruction, and the sums of a row are still in registers when the next rows need them.
    """
    at, row = np.uint64(start), np.uint64(width)  # unsigned: no check whether an index counts from the end
    above, here = _row_sums(heat, at - row - ONE), _row_sums(heat, at - ONE)
    for _ in range(rows):
        below = _row_sums(heat, at + row - ONE)
        a, b = (above[0] + here[0] + below[0]) * weights[at], (above[1] + here[1] + below[1]) * weights[at + ONE]
        c, d = (
            (above[2] + here[2] + below[2]) * weights[at + TWO],
            (above[3] + here[3] + below[3]) * weights[at + THREE],
        )
        spread[at], spread[at + ONE], spread[at + TWO], spread[at + THREE] = a, b, c, d
        above, here, at = here, below, at + row


@part
def _heat(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Return the heat (Y + 2, n) float64 of one cell (Y, X): its rows between two empty ones, n > X, 0 beyond column X.

    A step is computed in strips of four columns. In each, it leaves out the rows above and below the cell, and the
    pixels that no heat has reached yet: heat moves one pixel in a step. All these have no heat after it either.
    """
    height, width = mask.shape
    strips = -(-width // 4)
    row = 4 * strips + 4  # four empty pixels before the first column of the cell, which is the first of a strip
    weights = np.zeros((height + 2) * row + 4)
    tops, bottoms = np.full(strips, height), np.zeros(strips, np.int64)  # rows of the cell in each strip
    for y in range(height):
        for x in range(width):
            if mask[y, x]:
                weights[(y + 1) * row + 4 + x] = 1.0 / 9.0
                tops[x // 4], bottoms[x // 4] = min(tops[x // 4], y), y + 1
    centre_y, centre_x = _centre(mask)
    heat, spread = np.zeros(len(weights)), np.zeros(len(weights))
    for step in range(1, 2 * (height + width + 4) + 1):
        heat[(centre_y + 1) * row + 4 + centre_x] += 1.0
        for strip in range(max(0, (centre_x - step) // 4), min(strips, (centre_x + step) // 4 + 1)):
            top, bottom = max(tops[strip], centre_y - step), min(bottoms[strip], centre_y + step + 1)
            _spread(heat, weights, (top + 1) * row + 4 + 4 * strip, max(0, bottom - top), row, spread)
        heat, spread = spread, heat
    return heat[4:].reshape((height + 2, row))


@part
def cell_flows(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Return the flows (2, Y, X) float64 (dy, dx) of one cell; length 1 inside the cell, 0 outside.

    mask: (Y, X) bool, the cell in its bounding box.

    >>> cell_flows(np.ones((1, 3), np.bool_))[1].round()
    array([[ 1.,  0., -1.]])
    """
    height, width = mask.shape
    heat = _heat(mask)
    flows = np.zeros((2, height, width))
    for y in range(height):
        for x in range(width):
            if mask[y, x]:
                dy = heat[y + 2, x] - heat[y, x]
                dx = heat[y + 1, x + 1] - heat[y + 1, x - 1]  # column -1 is the empty one
                length = np.sqrt(dy * dy + dx * dx) + 1e-60
                flows[0, y, x] = dy / length
                flows[1, y, x] = dx / length
    return flows


@kernel("void(i4[:,::1], i4[:,::1], i8, i8, f4[:,:,::1])")
def _fill_flows(labels: Labels, boxes: npt.NDArray[np.int32], first: int, last: int, flows: Flows) -> None:
    """Fill ``flows`` with those of the cells number ``first``..``last`` - 1, counted from 0; see `labels_to_flows`."""
    for index in range(first, last):
        top, left, bottom, right = boxes[index]
        if bottom > top:
            mask = labels[top:bottom, left:right] == index + 1
            cell = cell_flows(mask)
            for y in range(bottom - top):
                for x in range(right - left):
                    if mask[y, x]:
                        flows[0, top + y, left + x] = cell[0, y, x]
                        flows[1, top + y, left + x] = cell[1, y, x]


def labels_to_flows(labels: Labels) -> Flows:
    """Return the flows (2, Y, X) float32 (dy, dx) of a label image (Y, X); length 1 inside cells, 0 in the background.

    >>> labels_to_flows(np.array([[0, 1, 1, 1, 0]]))[1].round()
    array([[ 0.,  1.,  0., -1.,  0.]], dtype=float32)
    """
    labels = np.ascontiguousarray(labels, np.int32)
    flows = np.zeros((2, *labels.shape), np.float32)
    if labels.size:
        boxes = label_boxes(labels, int(labels.max(initial=0)))
        in_parallel(len(boxes), BAND, cores(), lambda first, last: _fill_flows(labels, boxes, first, last, flows))
    return flows
