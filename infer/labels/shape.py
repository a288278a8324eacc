"""The shape of a cell: moments, perimeter and convex area, defined as in scikit-image's `regionprops`."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from ..kernels.compiled import kernel, part
from .labels import Boxes, Labels

DIAGONAL = math.sqrt(2)
CORNER = (1 + math.sqrt(2)) / 2
COLUMNS = ("area", "centroid-0", "centroid-1", "perimeter", "area_convex", "mu20", "mu02", "mu11")
"""What `cell_shapes` returns; lengths in px, mu: second central moments (row row, column column, row column)."""


@part
def _on_border(labels: Labels, cell: int, y: int, x: int) -> bool:
    """Whether a pixel belongs to the cell and one of its four neighbours does not."""
    height, width = labels.shape
    if y < 0 or x < 0 or y >= height or x >= width or labels[y, x] != cell:
        return False
    if y == 0 or x == 0 or y == height - 1 or x == width - 1:
        return True
    vertical = labels[y - 1, x] == cell and labels[y + 1, x] == cell
    return not (vertical and labels[y, x - 1] == cell and labels[y, x + 1] == cell)


@part
def _perimeter(labels: Labels, cell: int) -> float:
    """Length of the line through the centres of the border pixels (Benkrid and Crookes 2000)."""
    total = 0.0
    for y in range(labels.shape[0]):
        for x in range(labels.shape[1]):
            if _on_border(labels, cell, y, x):
                edges, corners = 0, 0
                for dy in range(-1, 2):
                    for dx in range(-1, 2):
                        if (dy != 0 or dx != 0) and _on_border(labels, cell, y + dy, x + dx):
                            if dy == 0 or dx == 0:
                                edges += 1
                            else:
                                corners += 1
                code = 1 + 2 * edges + 10 * corners
                if code == 5 or code == 7 or code == 15 or code == 17 or code == 25 or code == 27:
                    total += 1.0
                elif code == 21 or code == 33:
                    total += DIAGONAL
                elif code == 13 or code == 23:
                    total += CORNER
    return total


@part
def _envelope(ends: npt.NDArray[np.int64], sign: int) -> None:
    """Replace the ends of rows by those of the convex hull, in place, as (numerator, denominator) of a fraction.

    ends: (n, 2) int64; the second column is the denominator, 0 where a row has no end yet. sign: 1 for left ends.
    """
    count = len(ends)
    hull = np.empty(count, np.int64)
    size = 0
    for row in range(count):
        if ends[row, 1] == 0:
            continue
        while size >= 2:
            one, two = hull[size - 2], hull[size - 1]
            cross = (ends[two, 0] - ends[one, 0]) * (row - one) - (ends[row, 0] - ends[one, 0]) * (two - one)
            if sign * cross < 0:
                break
            size -= 1
        hull[size] = row
        size += 1
    for step in range(size - 1):
        one, two = hull[step], hull[step + 1]
        first, slope = ends[one, 0], ends[two, 0] - ends[one, 0]
        for row in range(one + 1, two):
            ends[row, 0], ends[row, 1] = first * (two - one) + slope * (row - one), two - one


@part
def _convex_area(labels: Labels, cell: int) -> int:
    """Number of pixels whose centre lies in the convex hull of the middles of the edges of the cell's pixels.

    Coordinates are doubled, so that they are integers: row y is line 2 y + 1, and column x is 2 x.
    """
    height, width = labels.shape
    lefts, rights = np.zeros((2 * height + 1, 2), np.int64), np.zeros((2 * height + 1, 2), np.int64)
    for y in range(height):
        first, last = -1, -1
        for x in range(width):
            if labels[y, x] == cell:
                first = x if first < 0 else first
                last = x
        if first >= 0:
            lefts[2 * y + 1, 0], rights[2 * y + 1, 0] = 2 * first - 1, 2 * last + 1
            lefts[2 * y + 1, 1], rights[2 * y + 1, 1] = 1, 1
            for line in (2 * y, 2 * y + 2):
                known = lefts[line, 1] == 1
                lefts[line, 0] = min(lefts[line, 0], 2 * first) if known else 2 * first
                rights[line, 0] = max(rights[line, 0], 2 * last) if known else 2 * last
                lefts[line, 1], rights[line, 1] = 1, 1
    _envelope(lefts, 1)
    _envelope(rights, -1)
    total = 0
    for y in range(height):
        line = 2 * y + 1
        left = -((-lefts[line, 0]) // (2 * lefts[line, 1]))
        total += rights[line, 0] // (2 * rights[line, 1]) - left + 1
    return total


@part
def _cell_shape(labels: Labels, cell: int, values: npt.NDArray[np.float64]) -> None:
    """Fill the values `COLUMNS` (8,) of a cell; ``labels`` is exactly its bounding box."""
    area, rows, columns = 0, 0.0, 0.0
    for y in range(labels.shape[0]):
        for x in range(labels.shape[1]):
            if labels[y, x] == cell:
                area += 1
                rows += y
                columns += x
    centre_y, centre_x = rows / area, columns / area
    values[0], values[1], values[2] = area, centre_y, centre_x
    values[3], values[4] = _perimeter(labels, cell), _convex_area(labels, cell)
    for y in range(labels.shape[0]):
        for x in range(labels.shape[1]):
            if labels[y, x] == cell:
                values[5] += (y - centre_y) ** 2
                values[6] += (x - centre_x) ** 2
                values[7] += (y - centre_y) * (x - centre_x)


@kernel("f8[:,::1](i4[:,::1], i8[::1], i4[:,::1])")
def cell_shapes(labels: Labels, cells: npt.NDArray[np.int64], boxes: Boxes) -> npt.NDArray[np.float64]:
    """Return the values `COLUMNS` (n, 8) float64 of some cells; centroids count from the corners of their boxes.

    labels: (Y, X) int32, contiguous. cells: (n,) their ids; boxes: (n, 4) int32, exactly their bounding boxes.

    >>> cell_shapes(np.ones((2, 4), np.int32), np.array([1]), np.array([[0, 0, 2, 4]], np.int32)).tolist()
    [[8.0, 0.5, 1.5, 8.0, 8.0, 2.0, 10.0, 0.0]]
    """
    values = np.zeros((len(cells), 8))
    for at in range(len(cells)):
        box = labels[boxes[at, 0] : boxes[at, 2], boxes[at, 1] : boxes[at, 3]]
        _cell_shape(box, cells[at], values[at])
    return values


Values = npt.NDArray[np.float64]


def eccentricity(mu20: Values, mu02: Values, mu11: Values) -> Values:
    """Return the eccentricity, 0 (circle) to 1 (line), of cells with these second central moments.

    >>> eccentricity(*(np.array([value]) for value in (2.0, 10.0, 0.0))).round(3)
    array([0.894])
    """
    middle, spread = (mu20 + mu02) / 2, np.hypot((mu20 - mu02) / 2, mu11)
    major, minor = middle + spread, np.maximum(middle - spread, 0)
    ratio: Values = np.divide(minor, major, out=np.ones_like(major), where=major > 0)
    return np.sqrt(1 - ratio)


def orientation(mu20: Values, mu02: Values, mu11: Values) -> Values:
    """Return the angle in radians from the row axis to the cell's long axis, -pi/2 to pi/2.

    >>> orientation(*(np.array([value]) for value in (10.0, 2.0, 0.0)))
    array([0.])
    """
    equal = mu20 == mu02
    angles: Values = np.where(equal, np.where(mu11 > 0, np.pi / 4, -np.pi / 4), np.arctan2(2 * mu11, mu20 - mu02) / 2)
    return angles
