"""The final numbers of cells: 1, 2, ... in the order of their first pixels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..kernels.compiled import kernel
from .labels import Labels


@kernel("i8(i4[:,::1], i4[::1], b1[::1], i8)")
def renumber(labels: Labels, numbers: npt.NDArray[np.int32], accepted: npt.NDArray[np.bool_], count: int) -> int:
    """Replace the numbers of cells by their final ones in some rows of labels, in place, and return the new ``count``.

    Accepted cells get the next numbers, from ``count`` + 1 on, in the order of their first pixels; other cells become
    background. accepted: (n,) bool of all cells; numbers: (n,) int32, the final number of each cell that has one,
    otherwise 0; updated in place.

    >>> labels, numbers = np.array([[0, 3, 1, 2]], np.int32), np.zeros(3, np.int32)
    >>> renumber(labels, numbers, np.array([True, False, True]), 0)
    2
    >>> labels
    array([[0, 1, 2, 0]], dtype=int32)
    """
    for y in range(labels.shape[0]):
        for x in range(labels.shape[1]):
            cell = labels[y, x] - 1
            if cell >= 0 and accepted[cell]:
                if numbers[cell] == 0:
                    count += 1
                    numbers[cell] = count
                labels[y, x] = numbers[cell]
            else:
                labels[y, x] = 0
    return count
