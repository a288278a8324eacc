"""Bounding boxes, areas and sums of positions of the cells of a label image."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..kernels.compiled import kernel, part
from .labels import Boxes, Labels


@kernel("i4[:,::1](i4[:,::1], i8)")
def label_boxes(labels: Labels, count: int) -> npt.NDArray[np.int32]:
    """Return the boxes (count, 4) int32 (top, left, bottom, right) in px, ends excluded, of the ids 1..count.

    labels: (Y, X) int32, contiguous. The box of an id without pixels is four zeros.

    >>> label_boxes(np.array([[0, 1, 1], [0, 0, 1]], np.int32), 1)
    array([[0, 1, 2, 3]], dtype=int32)
    """
    boxes = np.zeros((count, 4), np.int32)
    for y in range(labels.shape[0]):
        for x in range(labels.shape[1]):
            label = labels[y, x]
            if label > 0:
                box = boxes[label - 1]
                if box[2] == 0:
                    box[0], box[1], box[2], box[3] = y, x, y + 1, x + 1
                else:
                    box[1] = min(box[1], x)
                    box[2] = y + 1
                    box[3] = max(box[3], x + 1)
    return boxes


@part
def _run_end(row: npt.NDArray[np.int32], start: int) -> int:
    """Return the end (excluded) of the run of equal labels in a row (X,) that starts at column ``start``."""
    end = start + 1
    while end < len(row) and row[end] == row[start]:
        end += 1
    return end


@kernel("void(i4[:,::1], i8, i4[:,::1], i8[::1])")
def measure(labels: Labels, top: int, boxes: Boxes, areas: npt.NDArray[np.int64]) -> None:
    """Update the boxes and areas of all cells, in place, with some rows of the label image.

    labels: rows (n, X) int32, of which the first is row ``top`` of the image. boxes: (cells, 4) int32 (top, left,
    bottom, right) in px, ends excluded; areas: (cells,) int64 in px. Rows must come from the top down.

    >>> boxes, areas = np.zeros((1, 4), np.int32), np.zeros(1, np.int64)
    >>> measure(np.array([[0, 1, 1]], np.int32), 5, boxes, areas)
    >>> boxes, areas
    (array([[5, 1, 6, 3]], dtype=int32), array([2]))
    """
    for y in range(labels.shape[0]):
        end = 0
        while end < labels.shape[1]:
            x, end = end, _run_end(labels[y], end)
            cell = labels[y, x] - 1
            if cell >= 0:
                box = boxes[cell]
                if areas[cell] == 0:
                    box[0], box[1], box[3] = top + y, x, end
                box[1] = min(box[1], x)
                box[2] = top + y + 1
                box[3] = max(box[3], end)
                areas[cell] += end - x


@kernel("void(i4[:,::1], i8, i8[:,::1])")
def sum_positions(labels: Labels, top: int, sums: npt.NDArray[np.int64]) -> None:
    """Add the positions of the pixels of some rows of the label image to the sums of their cells, in place.

    labels: rows (n, X) int32, of which the first is row ``top`` of the image. sums: (cells, 2) int64 (y, x) in px.

    >>> sums = np.zeros((1, 2), np.int64)
    >>> sum_positions(np.array([[0, 1, 1]], np.int32), 5, sums)
    >>> sums
    array([[10,  3]])
    """
    for y in range(labels.shape[0]):
        end = 0
        while end < labels.shape[1]:
            x, end = end, _run_end(labels[y], end)
            cell = labels[y, x] - 1
            if cell >= 0:
                sums[cell, 0] += (top + y) * (end - x)
                sums[cell, 1] += (x + end - 1) * (end - x) // 2
