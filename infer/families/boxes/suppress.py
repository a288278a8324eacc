"""Non-maximum suppression (NMS): of boxes that overlap too much, the one with the highest score stays."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ...kernels.compiled import kernel

SUPPRESSED, SELECTED, UNDECIDED = 0, 1, 2
"""What happens to a box. Undecided: rows that are not known may hold a box that decides about it."""
BUCKET = 32.0
"""Side in px of the squares in which boxes that stay are looked up by their centres."""
Boxes = npt.NDArray[np.float64]
"""(n, 4): top, left, bottom and right of each box, in network pixels of the whole image."""
States = npt.NDArray[np.int8]


@kernel("i1[::1](f8[:,::1], i8[::1], f8, f8, f8, f8)")
def suppress(
    boxes: Boxes, order: npt.NDArray[np.int64], iou: float, bucket: float, top: float, bottom: float
) -> States:
    """Return for each box (n,) int8 whether it is `SUPPRESSED`, `SELECTED` or `UNDECIDED`.

    boxes: (n, 4) float64, with areas above 0. order: (n,), the boxes by falling score. In this order a box is
    selected unless its IoU with a selected box is above ``iou``, which must be at least 0.5. bucket: see `BUCKET`.
    top, bottom: the rows between which all boxes are known; infinite for a whole image. Time grows with the number of
    boxes.

    Centres of two boxes with such an IoU differ by at most 1 - iou of the height and width of either box, so that only
    boxes with near centres are compared.

    >>> boxes = np.array([[0, 0, 4, 4], [0, 0, 4, 5], [5, 5, 9, 9]], np.float64)
    >>> suppress(boxes, np.array([1, 0, 2]), 0.6, 32.0, -np.inf, np.inf)
    array([0, 1, 1], dtype=int8)
    """
    count = len(boxes)
    states = np.zeros(count, np.int8)
    if count == 0:
        return states
    low_y = low_x = np.inf
    high_y = high_x = -np.inf
    for box in boxes:
        y, x = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
        low_y, low_x, high_y, high_x = min(low_y, y), min(low_x, x), max(high_y, y), max(high_x, x)
    rows, columns = int((high_y - low_y) / bucket) + 1, int((high_x - low_x) / bucket) + 1
    heads, following = np.full((rows, columns), -1, np.int64), np.full(count, -1, np.int64)
    for cell in order:
        a = boxes[cell]
        y, x = (a[0] + a[2]) / 2, (a[1] + a[3]) / 2
        reach_y, reach_x = (1 - iou) * (a[2] - a[0]), (1 - iou) * (a[3] - a[1])
        state = 2 if y - reach_y < top or y + reach_y > bottom else 1
        first_row, last_row = int(max(0.0, y - reach_y - low_y) / bucket), int((y + reach_y - low_y) / bucket)
        first_column, last_column = int(max(0.0, x - reach_x - low_x) / bucket), int((x + reach_x - low_x) / bucket)
        for row in range(first_row, min(last_row + 1, rows)):
            for column in range(first_column, min(last_column + 1, columns)):
                other = heads[row, column]
                while other >= 0 and state > 0:
                    b = boxes[other]
                    height = min(a[2], b[2]) - max(a[0], b[0])
                    width = min(a[3], b[3]) - max(a[1], b[1])
                    if height > 0 and width > 0:
                        common = height * width
                        both = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common
                        if common > iou * both:
                            state = 0 if states[other] == 1 else 2
                    other = following[other]
        states[cell] = state
        if state > 0:
            row, column = int((y - low_y) / bucket), int((x - low_x) / bucket)
            following[cell], heads[row, column] = heads[row, column], cell
    return states
