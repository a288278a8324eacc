"""The table of the cells of one image: place, size and quality of each cell. It is filled while rows become final."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .labels import Boxes, Labels

Values = npt.NDArray[np.float32]
"""(cells,): one value for each cell."""


@dataclass(frozen=True, eq=False)
class CellTable:
    """One row for each cell of an image, in the order of the ids 1, 2, ...; len() is the number of cells.

    Columns have the names of `regionprops_table` of scikit-image where it has them, and the same values.
    """

    label: npt.NDArray[np.int32]
    """(cells,) int32: the id of the cell, which is the value of its pixels in the label image."""
    area: npt.NDArray[np.int64]
    """(cells,) int64: number of pixels."""
    bbox: Boxes
    """(cells, 4) int32: first row, first column, last row + 1, last column + 1 of the cell, in px."""
    centroid: npt.NDArray[np.float64]
    """(cells, 2) float64: mean row and mean column of the pixels, in px; the first pixel of the image is (0, 0)."""
    probability: Values
    """(cells,) float32, 0 to 1: mean cell probability over the pixels, which is the logistic function of the network's
    logit. Pixels of holes that were filled are not counted."""
    flow_error: Values
    """(cells,) float32: mean squared difference between the network's flows and the flows that a cell of this shape
    should have; 0 is ideal, about 2 is chance. NaN in families without flows."""
    candidates: int = 0
    """Candidates for a cell, before the checks of size and flow."""
    too_small: int = 0
    """Candidates that were rejected because they have too few pixels."""
    wrong_flow: int = 0
    """Candidates that were rejected because of their flow error; 0 in families without flows."""

    def __len__(self) -> int:
        """Return the number of cells."""
        return len(self.label)

    def columns(self) -> dict[str, npt.NDArray[Any]]:
        """Return the columns, each (cells,), by name; `pandas.DataFrame` accepts the dictionary.

        >>> builder = CellTableBuilder()
        >>> builder.add_cells([0.9], [0.1])
        >>> builder.add_rows(np.array([[0, 1, 1]], np.int32))
        >>> for name, values in builder.table().columns().items():
        ...     print(name, values)
        label [1]
        area [2]
        bbox-0 [0]
        bbox-1 [1]
        bbox-2 [1]
        bbox-3 [3]
        centroid-0 [0.]
        centroid-1 [1.5]
        probability [0.9]
        flow_error [0.1]
        """
        return {
            "label": self.label,
            "area": self.area,
            **{f"bbox-{i}": self.bbox[:, i] for i in range(4)},
            **{f"centroid-{i}": self.centroid[:, i] for i in range(2)},
            "probability": self.probability,
            "flow_error": self.flow_error,
        }


class CellTableBuilder:
    """A table that a family fills from the top of the image down.

    The family adds the quality of cells when they get their ids, and then the rows of final labels. Values do not
    depend on how many rows are added at a time. It takes 48 bytes for each cell, and up to twice that while it grows.
    """

    def __init__(self) -> None:
        self.candidates = 0
        self.too_small = 0
        self.wrong_flow = 0
        """As in `CellTable`; the family adds to them."""
        self._cells = 0
        self._height = 0
        """Number of rows added."""
        self._quality = np.zeros((2, 0), np.float32)
        """Probability and flow error."""
        self._boxes = np.zeros((0, 4), np.int32)
        self._areas = np.zeros(0, np.int64)
        self._sums = np.zeros((0, 2), np.int64)
        """Sums of the rows and of the columns of the pixels."""

    def add_cells(self, probabilities: npt.ArrayLike, flow_errors: npt.ArrayLike) -> None:
        """Add the cells with the next ids. probabilities, flow_errors: (n,), as in `CellTable`."""
        quality = np.array([probabilities, flow_errors], np.float32)
        before, self._cells = self._cells, self._cells + quality.shape[1]
        if self._cells > len(self._areas):
            added = 2 * self._cells - len(self._areas)
            self._quality = np.concatenate([self._quality, np.zeros((2, added), np.float32)], axis=1)
            self._boxes = np.concatenate([self._boxes, np.zeros((added, 4), np.int32)])
            self._areas = np.concatenate([self._areas, np.zeros(added, np.int64)])
            self._sums = np.concatenate([self._sums, np.zeros((added, 2), np.int64)])
        self._quality[:, before : self._cells] = quality

    def add_rows(self, labels: Labels) -> None:
        """Add the next final rows (n, X) int32 of the label image; their cells must have been added before."""
        from .measure import measure, sum_positions  # without compiled kernels this import is slow

        measure(labels, self._height, self._boxes, self._areas)
        sum_positions(labels, self._height, self._sums)
        self._height += len(labels)

    def table(self) -> CellTable:
        """Return the table of the cells that were added; it is complete when all rows have been added."""
        cells = slice(self._cells)
        areas = self._areas[cells]
        return CellTable(
            label=np.arange(1, self._cells + 1, dtype=np.int32),
            area=areas,
            bbox=self._boxes[cells],
            centroid=self._sums[cells] / np.maximum(1, areas)[:, None],
            probability=self._quality[0, cells],
            flow_error=self._quality[1, cells],
            candidates=self.candidates,
            too_small=self.too_small,
            wrong_flow=self.wrong_flow,
        )
