"""The cells that the watershed gives: their areas and their holes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ...kernels.compiled import kernel
from ...labels.labels import Boxes, Labels
from .smooth import Map

Counts = npt.NDArray[np.int64]
"""One number for each row, column or cell."""


@kernel("void(i4[:,::1], f4[:,::1], i8[::1], i8[::1], i8[::1], f8[::1], i8[::1])")
def survey(
    labels: Labels,
    interior: Map,
    rows: Counts,
    columns: Counts,
    areas: Counts,
    sums: npt.NDArray[np.float64],
    pixels: Counts,
) -> None:
    """Add up, for each cell, its area in image pixels, its pixels, and its interior probability over these, in place.

    labels: (Y, X) int32, 0 for background; rows (Y,) and columns (X,): how many rows and columns of the image
    each one stands for. The probabilities are rounded to multiples of 2^-24, so that sums in any order are exact.

    >>> areas, sums, pixels = np.zeros(1, np.int64), np.zeros(1), np.zeros(1, np.int64)
    >>> interior = np.array([[0.5, 0.75]], np.float32)
    >>> survey(np.array([[1, 1]], np.int32), interior, np.array([2]), np.array([1, 3]), areas, sums, pixels)
    >>> areas, sums, pixels
    (array([8]), array([1.25]), array([2]))
    """
    for y in range(labels.shape[0]):
        for x in range(labels.shape[1]):
            cell = labels[y, x] - 1
            if cell >= 0:
                areas[cell] += rows[y] * columns[x]
                sums[cell] += np.rint(np.float64(interior[y, x]) * 2.0**24) / 2.0**24
                pixels[cell] += 1


@kernel("i8[::1](i4[:,::1], i8)")
def euler_numbers(labels: Labels, count: int) -> Counts:
    """Return the Euler number of each of the cells 1..count: its 8-connected parts minus its holes, (count,) int64.

    labels: (Y, X) int32, 0 or less for background. Method: Gray 1971, doi:10.1109/T-C.1971.223289, which counts 2 x 2
    windows with one, three, or two diagonal pixels of a cell.

    >>> euler_numbers(np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]], np.int32), 1)
    array([0])
    """
    quadruple = np.zeros(count, np.int64)
    height, width = labels.shape
    for y in range(height + 1):
        for x in range(width + 1):
            a = labels[y - 1, x - 1] if y > 0 and x > 0 else 0
            b = labels[y - 1, x] if y > 0 and x < width else 0
            c = labels[y, x - 1] if y < height and x > 0 else 0
            d = labels[y, x] if y < height and x < width else 0
            if a == b and a == c and a == d:
                continue
            for cell in (a, b, c, d):
                if cell > 0:
                    same = (a == cell) + (b == cell) + (c == cell) + (d == cell)
                    # Each window is seen once for each of its pixels of the cell.
                    if same == 1:
                        quadruple[cell - 1] += 6
                    elif same == 3:
                        quadruple[cell - 1] -= 2
                    elif same == 2 and ((a == cell and d == cell) or (b == cell and c == cell)):
                        quadruple[cell - 1] -= 6
    return quadruple // 24


@kernel("void(i4[:,::1], i4[:,::1], i8[::1], i8, i8[:,::1])")
def fill_small(labels: Labels, boxes: Boxes, cells: Counts, size: int, sides: npt.NDArray[np.int64]) -> None:
    """Give the pixels of small holes to the cell around them, in place, one cell after the other.

    A hole is a 4-connected group of fewer than ``size`` px inside the box of the cell that do not belong to it. As in
    DeepCell's ``fill_holes``, such a group counts even if it lies at the edge of the box or belongs to another cell.
    labels: (Y, X) int32; boxes: (n, 4) of all cells; cells: the numbers of the cells to fill, in this order.

    >>> labels = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]], np.int32)
    >>> from flowmask.families.watershed.flood import SIDES
    >>> fill_small(labels, np.array([[0, 0, 3, 3]], np.int32), np.array([1]), 15, SIDES)
    >>> labels[1]
    array([1, 1, 1], dtype=int32)
    """
    for cell in cells:
        top, left, bottom, right = boxes[cell - 1]
        height, width = bottom - top, right - left
        outside = np.empty((height, width), np.bool_)
        for y in range(height):
            for x in range(width):
                outside[y, x] = labels[top + y, left + x] != cell
        group = np.empty((height * width, 2), np.int64)
        for y in range(height):
            for x in range(width):
                if not outside[y, x]:
                    continue
                outside[y, x] = False
                group[0] = y, x
                count, done = 1, 0
                while done < count:
                    for k in range(len(sides)):
                        v, u = group[done, 0] + sides[k, 0], group[done, 1] + sides[k, 1]
                        if 0 <= v < height and 0 <= u < width and outside[v, u]:
                            outside[v, u] = False
                            group[count] = v, u
                            count += 1
                    done += 1
                if count < size:
                    for k in range(count):
                        labels[top + group[k, 0], left + group[k, 1]] = cell
