"""The measurements of each cell, in columns named as in scikit-image's `regionprops_table`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..images.memmap import Pixels
from ..labels.intensity import add_pixels, no_pixels, summary
from ..labels.labels import Labels
from ..labels.shape import COLUMNS, eccentricity, orientation
from .complete_cells import Cells
from .subject import Subject

Values = npt.NDArray[np.float64]
Columns = dict[str, npt.NDArray[Any]]
"""Name -> (cells,)."""
INTENSITIES = ("intensity_mean", "intensity_std", "intensity_min", "intensity_max")


class Intensities:
    """Collects the intensities of all cells. The tables and the card of an image share one."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self._statistics = [no_pixels(len(subject.cells)) for _ in subject.channels]

    def rows(self, labels: Labels, pixels: Pixels) -> None:
        """Add some rows: labels (n, X) int32 and pixels (C, n, X)."""
        for channel, statistics in zip(pixels, self._statistics, strict=True):
            add_pixels(labels, np.ascontiguousarray(channel, np.float64), statistics)

    def cells(self, cells: Cells) -> None:
        """Do nothing: intensities are collected from the rows."""

    def values(self) -> list[Values]:
        """Return for each channel (cells, 4), see `INTENSITIES`, after all rows were added."""
        return [summary(each) for each in self._statistics]


class Measurements:
    """Collects the measurements of all cells. The tables of an image in several formats share one."""

    def __init__(self, intensities: Intensities) -> None:
        """intensities: another output that gets the same rows."""
        self.subject, self.intensities = intensities.subject, intensities
        self._shapes = np.zeros((len(self.subject.cells), len(COLUMNS)))

    def rows(self, labels: Labels, pixels: Pixels) -> None:
        """Do nothing: the rows go to the intensities."""

    def cells(self, cells: Cells) -> None:
        """Add the shapes of some cells."""
        self._shapes[cells.numbers - 1] = cells.shapes

    def columns(self) -> Columns:
        """Return the columns (cells,) by name, after all rows and cells were added."""
        return measurements(self.subject, self._shapes, self.intensities.values())


def measurements(subject: Subject, shapes: Values, intensities: Sequence[Values]) -> Columns:
    """Return the columns by name, each (cells,).

    shapes: (cells, 8), the values `flowmask.labels.shape.COLUMNS`. intensities: for each channel (cells, 4), see
    `INTENSITIES`. Lengths are in px; area_um2 is there if the pixel size is known.

    >>> from flowmask.labels.cell_table import CellTableBuilder
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
    columns: Columns = subject.cells.columns()
    if subject.pixel_size_um is not None:
        columns["area_um2"] = area * subject.pixel_size_um**2
    columns["perimeter"] = perimeter
    columns["eccentricity"], columns["orientation"] = eccentricity(mu20, mu02, mu11), orientation(mu20, mu02, mu11)
    columns["solidity"] = area / convex
    for channel, values in zip(subject.channels, intensities, strict=True):
        columns |= {f"{name}-{channel}": values[:, at] for at, name in enumerate(INTENSITIES)}
    columns["touches_border"] = subject.at_border.astype(np.int64)
    return columns
