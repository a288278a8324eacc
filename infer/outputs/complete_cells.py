"""The cells of a label image, one after the other, as soon as all their rows have been read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from ..labels.labels import Boxes, Labels
from ..labels.outlines import Points, outlines
from ..labels.shape import cell_shape


@dataclass(frozen=True)
class Cell:
    """One cell and the labels of its bounding box. Its shape and its outlines are computed once, when asked for."""

    number: int
    """The cell's id in the label image."""
    top: int
    left: int
    """The upper left pixel of the bounding box."""
    labels: Labels
    """(height, width) int32, contiguous: the bounding box, in which other cells may lie too."""

    @cached_property
    def shape(self) -> npt.NDArray[np.float64]:
        """The values of `flowmask.labels.shape.COLUMNS`; the centroid counts from the bounding box."""
        return cell_shape(self.labels, self.number)

    @cached_property
    def outlines(self) -> list[list[Points]]:
        """For each part the outer outline and those of its holes, as corners (row, column) in px of the image."""
        parts = outlines(self.labels, self.number, int(self.shape[0]))
        return [[ring + np.array([self.top, self.left], np.int32) for ring in part] for part in parts]


def complete_cells(strips: Iterable[Labels], boxes: Boxes) -> Iterator[list[Cell]]:
    """Yield after each strip of rows (n, X) the cells that end in it, in the order of their last rows.

    So the order does not depend on the strips. Memory holds the rows of unfinished cells.
    boxes: (cells, 4) of the ids 1..cells, which are numbered in the order of their first pixels.

    >>> strips = [np.array([[1, 0, 2]], np.int32), np.array([[0, 0, 2]], np.int32)]
    >>> boxes = np.array([[0, 0, 1, 1], [0, 2, 2, 3]], np.int32)
    >>> [[(cell.number, cell.labels.tolist()) for cell in cells] for cells in complete_cells(strips, boxes)]
    [[(1, [[1]])], [(2, [[2], [2]])]]
    """
    held: list[Labels] = []
    first_row = end = begun = 0
    open_cells: list[int] = []
    for strip in strips:
        held.append(strip)
        end += len(strip)
        while begun < len(boxes) and boxes[begun, 0] < end:
            open_cells.append(begun)
            begun += 1
        done = sorted((index for index in open_cells if boxes[index, 2] <= end), key=lambda index: int(boxes[index, 2]))
        rows = np.concatenate(held) if len(held) > 1 else strip
        yield [_cell(rows, first_row, index, boxes[index]) for index in done]
        open_cells = [index for index in open_cells if boxes[index, 2] > end]
        needed = min((int(boxes[index, 0]) for index in open_cells), default=end)
        held = [rows[needed - first_row :]]
        first_row = needed


def _cell(rows: Labels, first_row: int, index: int, box: npt.NDArray[np.int32]) -> Cell:
    top, left, bottom, right = map(int, box)
    window = rows[top - first_row : bottom - first_row, left:right]
    return Cell(index + 1, top, left, np.ascontiguousarray(window, np.int32))
