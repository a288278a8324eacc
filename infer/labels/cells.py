"""The table of the cells of one image: size, place and quality of each cell. It grows while rows become final."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .labels import Boxes, Labels

Values = npt.NDArray[np.float32]
"""(cells,): one value for each cell."""


class CellTable:
    """Measurements of the cells of one image. Index i of each array belongs to the cell with id i + 1.

    A family adds the quality of cells when they get their ids, and then the rows of final labels. The table is complete
    when all rows have been added. It takes 48 bytes for each cell, and up to twice that while it grows.

    >>> table = CellTable()
    >>> table.add_cells(np.array([0.9]), np.array([0.1]))
    >>> table.add_rows(np.array([[0, 1, 1]], np.int32))
    >>> len(table), table.areas, table.boxes, table.centres
    (1, array([2]), array([[0, 1, 1, 3]], dtype=int32), array([[0. , 1.5]]))
    """

    def __init__(self) -> None:
        self.candidates = 0
        """Candidates for a cell, before the checks of size and flow."""
        self.too_small = 0
        """Candidates that were rejected because they have fewer pixels than ``min_size``."""
        self.wrong_flow = 0
        """Candidates that were rejected because of their flow error; 0 in families without flows."""
        self._cells = 0
        self._height = 0
        """Number of rows added."""
        self._quality = np.zeros((2, 0), np.float32)
        self._boxes = np.zeros((0, 4), np.int32)
        self._areas = np.zeros(0, np.int64)
        self._sums = np.zeros((0, 2))

    def add_cells(self, probabilities: npt.ArrayLike, flow_errors: npt.ArrayLike) -> None:
        """Add the cells with the next ids. probabilities, flow_errors: (n,), as in the properties of this class."""
        quality = np.array([probabilities, flow_errors], np.float32)
        before, self._cells = self._cells, self._cells + quality.shape[1]
        if self._cells > len(self._areas):
            added = 2 * self._cells - len(self._areas)
            self._quality = np.concatenate([self._quality, np.zeros((2, added), np.float32)], axis=1)
            self._boxes = np.concatenate([self._boxes, np.zeros((added, 4), np.int32)])
            self._areas = np.concatenate([self._areas, np.zeros(added, np.int64)])
            self._sums = np.concatenate([self._sums, np.zeros((added, 2))])
        self._quality[:, before : self._cells] = quality

    def add_rows(self, labels: Labels) -> None:
        """Add the next final rows (n, X) int32 of the label image; their cells must have been added before."""
        from .measure import measure, sum_positions  # without compiled kernels this import is slow

        measure(labels, self._height, self._boxes, self._areas)
        sum_positions(labels, self._height, self._sums)
        self._height += len(labels)

    def __len__(self) -> int:
        """Return the number of cells."""
        return self._cells

    @property
    def areas(self) -> npt.NDArray[np.int64]:
        """(cells,) int64: number of pixels."""
        return self._areas[: self._cells]

    @property
    def boxes(self) -> Boxes:
        """(cells, 4) int32: top, left, bottom, right in px, ends excluded."""
        return self._boxes[: self._cells]

    @property
    def centres(self) -> npt.NDArray[np.float64]:
        """(cells, 2) float64: mean row and column of the pixels, in px; the first pixel of the image is (0, 0)."""
        centres: npt.NDArray[np.float64] = self._sums[: self._cells] / np.maximum(1, self.areas)[:, None]
        return centres

    @property
    def probabilities(self) -> Values:
        """(cells,) float32, 0 to 1: mean of the network's cell probability; pixels of filled holes are not counted."""
        return self._quality[0, : self._cells]

    @property
    def flow_errors(self) -> Values:
        """(cells,) float32: mean squared difference between true and network flow; NaN in families without flows."""
        return self._quality[1, : self._cells]
