"""Outlines of cells: exact ones along the edges of pixels, and simpler ones that hold the same pixels.

Points are (row, column) in px; (0, 0) is the upper left corner of the image, so the centre of the first pixel is
(0.5, 0.5), as in QuPath and ImageJ.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from ..kernels.compiled import kernel, part
from .labels import Labels

Points = npt.NDArray[np.int32]
"""(n, 2): the corners (row, column) of a closed outline; the first is not repeated."""
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


@kernel("i4[:,::1](i4[:,::1], i8, i8, i8)")
def trace(labels: Labels, cell: int, top: int, left: int) -> Points:
    """Return the corners (n, 2) int32 of the outer outline of a cell, clockwise.

    labels: (Y, X) int32, contiguous. (top, left): the cell's first pixel from the top, and from the left in its row.
    Only the part that is connected to this pixel by edges of pixels is followed.

    >>> trace(np.array([[0, 7], [7, 7]], np.int32), 7, 0, 1).tolist()
    [[0, 1], [0, 2], [2, 2], [2, 0], [1, 0], [1, 1]]
    """
    points = np.empty((_walk(labels, cell, top, left, np.empty((0, 2), np.int32)), 2), np.int32)
    _walk(labels, cell, top, left, points)
    return points


def outlines(labels: Labels, cell: int, area: int) -> list[list[Points]]:
    """Return the outlines of all parts of a cell: for each part its outer outline, then those of its holes.

    labels: (Y, X) int32, contiguous, the cell's bounding box. area: of the cell in px. Parts are connected by edges of
    pixels.

    >>> ring = np.ones((3, 3), np.int32); ring[1, 1] = 0
    >>> [outline.tolist() for outline in outlines(ring, 1, 8)[0]]
    [[[0, 0], [0, 3], [3, 3], [3, 0]], [[1, 1], [1, 2], [2, 2], [2, 1]]]
    """
    outer = trace(labels, cell, 0, int(np.argmax(labels[0] == cell)))
    if enclosed_area(outer) == area:
        return [[outer]]
    return [_with_holes(part) for part in _parts(labels == cell)]


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
    top, left = divmod(int(np.argmax(mask)), mask.shape[1])
    return trace(np.ascontiguousarray(mask, np.int32), 1, top, left)


def enclosed_area(outline: Points) -> int:
    """Return the area in px that an outline encloses.

    >>> enclosed_area(np.array([[0, 0], [0, 3], [2, 3], [2, 0]], np.int32))
    6
    """
    return round(cv2.contourArea(outline))


@kernel("f4[:,::1](i4[:,::1])")
def edge_middles(outline: Points) -> npt.NDArray[np.float32]:
    """Return the middles (n, 2) float32 of the edges of pixels along an outline (m, 2) int32.

    >>> edge_middles(np.array([[0, 0], [0, 2], [1, 2], [1, 0]], np.int32)).tolist()
    [[0.0, 0.5], [0.0, 1.5], [0.5, 2.0], [1.0, 1.5], [1.0, 0.5], [0.5, 0.0]]
    """
    count, corners = 0, len(outline)
    for corner in range(corners):
        after = (corner + 1) % corners
        count += abs(outline[after, 0] - outline[corner, 0]) + abs(outline[after, 1] - outline[corner, 1])
    middles = np.empty((count, 2), np.float32)
    filled = 0
    for corner in range(corners):
        after = (corner + 1) % corners
        down, right = outline[after, 0] - outline[corner, 0], outline[after, 1] - outline[corner, 1]
        length = abs(down) + abs(right)
        for edge in range(length):
            middles[filled, 0] = outline[corner, 0] + (edge + 0.5) * down / length
            middles[filled, 1] = outline[corner, 1] + (edge + 0.5) * right / length
            filled += 1
    return middles


def simplified(outline: Points) -> npt.NDArray[np.float32]:
    """Return a smoother outline (n, 2) float32 with fewer points that holds the centres of the same pixels.

    It goes through the middles of the pixels' edges and is then simplified by the method of Douglas and Peucker.

    >>> simplified(np.array([[0, 0], [0, 1], [1, 1], [1, 0]], np.int32)).tolist()
    [[0.0, 0.5], [0.5, 1.0], [1.0, 0.5], [0.5, 0.0]]
    """
    points = cv2.approxPolyDP(edge_middles(outline), TOLERANCE, True)
    return points.reshape(-1, 2).astype(np.float32, copy=False)
