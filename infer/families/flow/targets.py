"""From labels to flows: the vector field that leads each pixel of a cell to the centre of the cell.

Method: heat diffusion from the centre of each cell (Stringer et al. 2021, doi:10.1038/s41592-020-01018-x) with the
constants of Cellpose 3.1. The heat source is the pixel of the cell nearest to the mean position of its pixels. Heat
spreads inside the cell by 2 * (height + width + 4) steps of a 3 x 3 mean, where height and width are those of the
cell's box. The flow is the gradient of the heat, by central differences, scaled to length 1.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ...kernels.compiled import kernel, part
from ...labels.labels import Labels
from ...labels.measure import label_boxes
from ...system.cpu import cores
from ...system.parallel import in_parallel

BAND = 16
"""Cells that a thread processes at a time."""
Flows = npt.NDArray[np.float32]
"""(2, Y, X): flow (dy, dx) at each pixel."""


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


@part
def _heat(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Return the heat (Y + 2, X + 1) float64 of one cell (Y, X): its rows between two empty ones, and an empty column.

    The empty column lies between the last pixel of a row and the first pixel of the next row, and is the neighbour of
    both. So each step is two plain loops over all rows at once, which the compiler turns into vector instructions: the
    sum of each pixel and its neighbours in the row, and the mean of three such sums.
    """
    height, width = mask.shape
    row = width + 1
    size = height * row
    ninth = np.zeros((height, row))
    ninth[:, :-1] = mask / 9.0
    weights = ninth.reshape(size)
    heat, sums = np.zeros(1 + size + 2 * row), np.zeros(size + 2 * row)  # one pixel more, to the left of the first row
    left, here, right = heat[row : row + size], heat[row + 1 :], heat[row + 2 :]
    above_sum, here_sum, below_sum = sums[:size], sums[row : row + size], sums[2 * row :]
    centre_y, centre_x = _centre(mask)
    for _ in range(2 * (height + width + 4)):
        here[centre_y * row + centre_x] += 1.0
        for i in range(size):
            here_sum[i] = left[i] + here[i] + right[i]
        for i in range(size):
            here[i] = (above_sum[i] + here_sum[i] + below_sum[i]) * weights[i]
    return heat[1:].reshape((height + 2, row))


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
