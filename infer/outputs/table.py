"""A table of measurements as CSV: one row for each cell, columns named as in scikit-image's `regionprops_table`."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..images.memmap import Pixels
from ..labels.intensity import add_pixels, no_pixels, summary
from ..labels.labels import Labels
from ..labels.shape import COLUMNS, eccentricity, orientation
from ..system.atomic_write import atomic_write
from .cells import Cell
from .subject import Subject

Values = npt.NDArray[np.float64]
ENDING = "_cells.csv"
INTENSITIES = ("intensity_mean", "intensity_std", "intensity_min", "intensity_max")


class Table:
    """Collects the measurements of all cells."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        cells = len(subject.cells)
        self._shapes = np.zeros((cells, len(COLUMNS)))
        self._statistics = [no_pixels(cells) for _ in subject.channels]

    def rows(self, labels: Labels, pixels: Pixels) -> None:
        """Add some rows: labels (n, X) int32 and pixels (C, n, X)."""
        for channel, statistics in zip(pixels, self._statistics, strict=True):
            add_pixels(labels, np.ascontiguousarray(channel, np.float64), statistics)

    def cell(self, cell: Cell) -> None:
        """Add the shape of a cell."""
        self._shapes[cell.number - 1] = cell.shape

    def columns(self) -> dict[str, npt.NDArray[Any]]:
        """Return the columns (cells,) by name, after all rows and cells were added."""
        return measurements(self._subject, self._shapes, [summary(each) for each in self._statistics])


@contextmanager
def write_table(path: Path, subject: Subject) -> Iterator[Table]:
    """Write the table as CSV. Raises OutputError if that fails."""
    with atomic_write(path) as partial, open(partial, "w", newline="", encoding="utf-8") as file:
        table = Table(subject)
        yield table
        columns = table.columns()
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(zip(*(column.tolist() for column in columns.values()), strict=True))


def measurements(subject: Subject, shapes: Values, intensities: Sequence[Values]) -> dict[str, npt.NDArray[Any]]:
    """Return the columns of the table by name, each (cells,).

    shapes: (cells, 8), the values `flowmask.labels.shape.COLUMNS`. intensities: for each channel (cells, 4), see
    `INTENSITIES`. Lengths are in px; area_um2 is there if the pixel size is known.

    >>> from flowmask.labels.cells import CellTableBuilder
    >>> builder = CellTableBuilder()
    >>> builder.add_cells([0.9], [0.1])
    >>> builder.add_rows(np.pad(np.ones((2, 2), np.int32), 3))
    >>> subject = Subject((8, 8), (), 0.5, builder.table(), np.zeros((0, 2)))
    >>> square = np.array([[4, 2.5, 3.5, 4, 4, 1, 1, 0]])  # 2 x 2 px
    >>> columns = measurements(subject, square, [])
    >>> columns["area"], columns["area_um2"], columns["solidity"], columns["touches_border"]
    (array([4]), array([1.]), array([1.]), array([0]))
    """
    area, _, _, perimeter, convex, mu20, mu02, mu11 = shapes.T
    columns: dict[str, npt.NDArray[Any]] = subject.cells.columns()
    if subject.pixel_size_um is not None:
        columns["area_um2"] = area * subject.pixel_size_um**2
    columns["perimeter"] = perimeter
    columns["eccentricity"], columns["orientation"] = eccentricity(mu20, mu02, mu11), orientation(mu20, mu02, mu11)
    columns["solidity"] = area / convex
    for channel, values in zip(subject.channels, intensities, strict=True):
        columns |= {f"{name}-{channel}": values[:, at] for at, name in enumerate(INTENSITIES)}
    columns["touches_border"] = subject.at_border.astype(np.int64)
    return columns
