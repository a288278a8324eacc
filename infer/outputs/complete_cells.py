"""The cells of a label image, as soon as all their rows have been read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from ..labels.labels import Boxes, Labels
from ..labels.outlines import Outline, outlines
from ..labels.shape import cell_shapes


@dataclass(frozen=True, eq=False)
class Cells:
    """Some cells, and rows of labels that hold them. Shapes and outlines are computed once, when asked for."""

    numbers: npt.NDArray[np.int64]
    """(n,): the ids of the cells in the label image."""
    boxes: Boxes
    """(n, 4): their bounding boxes in px of the image."""
    labels: Labels
    """(Y, X) int32, contiguous: a part of the label image that holds the bounding boxes."""
    top: int
    left: int
    """The upper left pixel of this part."""

    def __len__(self) -> int:
        """Return the number of cells."""
        return len(self.numbers)

    @cached_property
    def shapes(self) -> npt.NDArray[np.float64]:
        """(n, 8): the values of `flowmask.labels.shape.COLUMNS`; centroids count from the bounding boxes."""
        return cell_shapes(self.labels, self.numbers, self._boxes)

    @cached_property
    def outlines(self) -> list[Outline]:
        """For each cell the outlines of its parts and holes, as corners (row, column) in px of the image."""
        return outlines(self.labels, self.numbers, self._boxes, self.shapes[:, 0], (self.top, self.left))

    @property
    def _boxes(self) -> Boxes:
        """The bounding boxes (n, 4) in px of ``labels``."""
        return self.boxes - np.array([self.top, self.left] * 2, np.int32)


def complete_cells(strips: Iterable[Labels], boxes: Boxes) -> Iterator[Cells]:
    """Yield after each strip of rows (n, X) the cells that end in it, in the order of their last rows.

    So the order does not depend on the strips. Memory holds the rows of unfinished cells.
    boxes: (cells, 4) of the ids 1..cells, which are numbered in the order of their first pixels.

    >>> strips = [np.array([[1, 0, 2]], np.int32), np.array([[0, 0, 2]], np.int32)]
    >>> boxes = np.array([[0, 0, 1, 1], [0, 2, 2, 3]], np.int32)
    >>> [(cells.numbers.tolist(), cells.labels.tolist()) for cells in complete_cells(strips, boxes)]
    [([1], [[1, 0, 2]]), ([2], [[1, 0, 2], [0, 0, 2]])]
    """
    held: list[Labels] = []
    first_row = end = begun = 0
    unfinished = np.zeros(0, np.int64)
    for strip in strips:
        held.append(strip)
        end += len(strip)
        begun_before, begun = begun, int(np.searchsorted(boxes[:, 0], end))
        unfinished = np.concatenate([unfinished, np.arange(begun_before, begun)])
        bottoms = boxes[unfinished, 2]
        done = unfinished[np.argsort(bottoms, kind="stable")][: np.count_nonzero(bottoms <= end)]
        rows = np.ascontiguousarray(np.concatenate(held) if len(held) > 1 else strip, np.int32)
        yield Cells(done + 1, boxes[done], rows, first_row, 0)
        unfinished = unfinished[bottoms > end]
        needed = int(boxes[unfinished, 0].min(initial=end))
        held = [rows[needed - first_row :]]
        first_row = needed
