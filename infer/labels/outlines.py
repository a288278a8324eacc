"""Outlines of cells: exact ones along the edges of pixels, and simpler ones that hold the same pixels.

Points are (row, column) in px; (0, 0) is the upper left corner of the image, so the centre of the first pixel is
(0.5, 0.5), as in QuPath and ImageJ.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import cv2
import numpy as np
import numpy.typing as npt

from ..kernels.compiled import kernel, part
from .labels import Boxes, Labels

Points = npt.NDArray[np.int32]
"""(n, 2): the corners (row, column) of a closed outline; the first is not repeated."""
Outline = list[list[Points]]
"""The outline of a cell: for each part its outer outline, then those of its holes."""
TOLERANCE = 0.35
"""Largest distance in px of a simplified outline from the line through the middles of the pixels' edges. That line
passes the centres of pixels at 0.354 px or more, so that a simplified outline still holds the same centres."""


@part
def _walk(labels: Labels, cell: int, top: int, left: int, points: Points) -> int:
    """Go once around a cell, which lies to the right, and count the corners; the first ones go into ``points``."""
    height, width = labels.shape
    y, x, direction, count = top, left, 0, 0
    while True:
        if count < len(points):
            points[count, 0], points[count, 1] = y, x
        count += 1
        while True:
            if direction == 0:
                x += 1
                right_y, right_x, left_y, left_x = y, x, y - 1, x
            elif direction == 1:
                y += 1
                right_y, right_x, left_y, left_x = y, x - 1, y, x
            elif direction == 2:
                x -= 1
                right_y, right_x, left_y, left_x = y - 1, x - 1, y, x - 1
            else:
                y -= 1
                right_y, right_x, left_y, left_x = y - 1, x, y - 1, x - 1
            right = 0 <= right_y < height and 0 <= right_x < width and labels[right_y, right_x] == cell
            left_too = 0 <= left_y < height and 0 <= left_x < width and labels[left_y, left_x] == cell
            if not right:
                direction = (direction + 1) % 4
                break
            if left_too:
                direction = (direction + 3) % 4
                break
        if y == top and x == left:
            return count


@part
def _enclosed(outline: Points) -> int:
    """Return the area in px that an outline encloses, by the shoelace formula; it is clockwise."""
    twice = 0
    for corner in range(len(outline)):
        after = (corner + 1) % len(outline)
        twice += outline[corner, 1] * np.int64(outline[after, 0]) - outline[corner, 0] * np.int64(outline[after, 1])
    return twice // 2


@kernel("i4[:,::1](i4[:,::1], i8[::1], i4[:,::1], i8[::1], i8[::1])")
def trace(
    labels: Labels,
    cells: npt.NDArray[np.int64],
    boxes: Boxes,
    ends: npt.NDArray[np.int64],
    enclosed: npt.NDArray[np.int64],
) -> Points:
    """Return the corners (n, 2) int32 of the outer outlines of some cells, one after the other, each clockwise.

    labels: (Y, X) int32, contiguous. cells: (cells,) their ids; boxes: (cells, 4) int32, exactly their bounding boxes.
    Each outline starts at the cell's first pixel from the top, and from the left in its row; only the part that is
    connected to this pixel by edges of pixels is followed. ends, enclosed: (cells,) int64, filled in place: how many
    corners there are up to the end of each outline, and the area in px that it encloses.

    >>> labels, ends, enclosed = np.array([[0, 7], [7, 7]], np.int32), np.zeros(1, np.int64), np.zeros(1, np.int64)
    >>> trace(labels, np.array([7]), np.array([[0, 0, 2, 2]], np.int32), ends, enclosed).tolist()
    [[0, 1], [0, 2], [2, 2], [2, 0], [1, 0], [1, 1]]
    >>> ends, enclosed
    (array([6]), array([3]))
    """
    points = np.empty((64 * len(cells), 2), np.int32)
    filled = 0
    for at in range(len(cells)):
        top, left = boxes[at, 0], boxes[at, 1]
        box = labels[top : boxes[at, 2], left : boxes[at, 3]]
        column = 0
        while box[0, column] != cells[at]:
            column += 1
        count = _walk(box, cells[at], 0, column, points[filled:])
        if filled + count > len(points):
            more = np.empty((2 * (filled + count), 2), np.int32)
            more[:filled] = points[:filled]
            points = more
            _walk(box, cells[at], 0, column, points[filled:])
        outline = points[filled : filled + count]
        enclosed[at] = _enclosed(outline)
        for corner in range(count):
            outline[corner, 0] += top
            outline[corner, 1] += left
        filled += count
        ends[at] = filled
    return points[:filled].copy()


def outlines(
    labels: Labels,
    cells: npt.NDArray[np.int64],
    boxes: Boxes,
    areas: npt.ArrayLike,
    corner: tuple[int, int] = (0, 0),
) -> list[Outline]:
    """Return the outline of each of some cells.

    labels: (Y, X) int32, contiguous. cells: (n,) their ids, boxes: (n, 4) int32, exactly their bounding boxes, areas:
    (n,) in px. corner: row and column of the first pixel of ``labels`` in the image, which are added to all points.
    Parts are connected by edges of pixels.

    >>> ring = np.ones((3, 3), np.int32); ring[1, 1] = 0
    >>> (outline,) = outlines(ring, np.array([1]), np.array([[0, 0, 3, 3]], np.int32), [8])
    >>> [points.tolist() for points in outline[0]]
    [[[0, 0], [0, 3], [3, 3], [3, 0]], [[1, 1], [1, 2], [2, 2], [2, 1]]]
    """
    ends, enclosed = np.zeros(len(cells), np.int64), np.zeros(len(cells), np.int64)
    points = trace(labels, cells, boxes, ends, enclosed) + np.array(corner, np.int32)
    found = [[[points[first:end]]] for first, end in pairwise([0, *ends.tolist()])]
    for at in np.flatnonzero(enclosed != np.asarray(areas)):
        top, left, bottom, right = boxes[at].tolist()
        parts = _parts(labels[top:bottom, left:right] == cells[at])
        shift = np.array(corner, np.int32) + np.array([top, left], np.int32)
        found[at] = [[ring + shift for ring in _with_holes(part)] for part in parts]
    return found


def _parts(mask: npt.NDArray[np.bool_]) -> list[npt.NDArray[np.bool_]]:
    """Return a mask for each part of a mask (Y, X) that is connected by edges of pixels."""
    count, parts = cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)
    return [parts == number for number in range(1, count)]


def _with_holes(part: npt.NDArray[np.bool_]) -> list[Points]:
    """Return the outer outline of a connected part (Y, X), then the outlines of its holes."""
    padded = np.pad(part, 1)
    holes = [hole for hole in _parts(~padded) if not hole[0, 0]]
    return [_first_outline(padded) - 1, *(_first_outline(hole) - 1 for hole in holes)]


def _first_outline(mask: npt.NDArray[np.bool_]) -> Points:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    box = np.array([[rows[0], columns[0], rows[-1] + 1, columns[-1] + 1]], np.int32)
    return trace(mask.astype(np.int32), np.ones(1, np.int64), box, np.zeros(1, np.int64), np.zeros(1, np.int64))


@kernel("f4[:,::1](i4[:,::1], i8[::1], i8[::1])")
def edge_middles(
    outlines: Points, ends: npt.NDArray[np.int64], middle_ends: npt.NDArray[np.int64]
) -> npt.NDArray[np.float32]:
    """Return the middles (n, 2) float32 of the edges of pixels along some outlines (m, 2) int32, one after the other.

    ends, middle_ends: (outlines,) int64, how many corners, and middles, there are up to the end of each outline; the
    second is filled in place.

    >>> outline, ends = np.array([[0, 0], [0, 2], [1, 2], [1, 0]], np.int32), np.zeros(1, np.int64)
    >>> edge_middles(outline, np.array([4]), ends).tolist(), ends
    ([[0.0, 0.5], [0.0, 1.5], [0.5, 2.0], [1.0, 1.5], [1.0, 0.5], [0.5, 0.0]], array([6]))
    """
    count, first = 0, 0
    for at in range(len(ends)):
        for corner in range(first, ends[at]):
            after = corner + 1 if corner + 1 < ends[at] else first
            count += abs(outlines[after, 0] - outlines[corner, 0]) + abs(outlines[after, 1] - outlines[corner, 1])
        middle_ends[at] = count
        first = ends[at]
    middles = np.empty((count, 2), np.float32)
    filled, first = 0, 0
    for at in range(len(ends)):
        for corner in range(first, ends[at]):
            after = corner + 1 if corner + 1 < ends[at] else first
            down, right = outlines[after, 0] - outlines[corner, 0], outlines[after, 1] - outlines[corner, 1]
            length = abs(down) + abs(right)
            for edge in range(length):
                middles[filled, 0] = outlines[corner, 0] + (edge + 0.5) * down / length
                middles[filled, 1] = outlines[corner, 1] + (edge + 0.5) * right / length
                filled += 1
        first = ends[at]
    return middles


def simplified(rings: Sequence[Points]) -> list[npt.NDArray[np.float32]]:
    """Return for each of some outlines a smoother one, (n, 2) float32, that holds the centres of the same pixels.

    It goes through the middles of the pixels' edges and is then simplified by the method of Douglas and Peucker.

    >>> simplified([np.array([[0, 0], [0, 1], [1, 1], [1, 0]], np.int32)])[0].tolist()
    [[0.0, 0.5], [0.5, 1.0], [1.0, 0.5], [0.5, 0.0]]
    """
    if not rings:
        return []
    ends = np.cumsum([len(ring) for ring in rings])
    middle_ends = np.zeros(len(rings), np.int64)
    middles = edge_middles(np.concatenate(rings), ends, middle_ends)
    lines = (middles[first:end] for first, end in pairwise([0, *middle_ends.tolist()]))
    return [cv2.approxPolyDP(line, TOLERANCE, True)[:, 0].astype(np.float32, copy=False) for line in lines]
