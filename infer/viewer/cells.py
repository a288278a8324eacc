"""The cells of an image: where they are, how large, and the rows of their table."""

from __future__ import annotations

import csv
import math
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..errors import InputError
from ..labels.labels import Boxes

Chosen = npt.NDArray[np.bool_]
"""(cells + 1,): whether the cell of each number is shown; the background is not."""
Region = tuple[float, float, float, float]
"""Top, left, bottom, right in px of the image."""


@dataclass(frozen=True)
class Filter:
    """Which cells are shown. Limits are included."""

    area_min: float = 0.0
    """In px."""
    area_max: float = math.inf
    probability_min: float = 0.0
    probability_max: float = 1.0


class Table:
    """The table of an image, NAME_cells.csv. Memory holds the place of each row and its probability."""

    def __init__(self, path: Path, cells: int) -> None:
        """Raises InputError unless it is the table of that many cells."""
        self._path = path
        starts, probabilities = array("q"), array("f")
        try:
            with path.open("rb") as file:
                self.header = file.readline().decode()
                self.columns = next(csv.reader([self.header]))
                number, probability = self.columns.index("label"), self.columns.index("probability")
                starts.append(file.tell())
                for row, line in enumerate(file, start=1):
                    values = line.split(b",")
                    if int(values[number]) != row:
                        raise ValueError("cells are missing")
                    probabilities.append(float(values[probability]))
                    starts.append(starts[-1] + len(line))
            if len(probabilities) != cells:
                raise ValueError(f"{len(probabilities)} rows instead of {cells}")
        except (OSError, ValueError, IndexError, StopIteration) as error:
            raise InputError(
                f"{path}: it is not the table of these labels ({error}); run flowmask segment again with --save table, "
                "or delete the file."
            ) from error
        self._starts = starts
        self.probabilities = np.frombuffer(probabilities, np.float32)

    def lines(self, numbers: npt.NDArray[np.int64]) -> Iterator[str]:
        """Yield the rows of these cells as lines of text."""
        with self._path.open("rb") as file:
            for number in numbers:
                start, end = self._starts[number - 1 : number + 1]
                file.seek(start)
                yield file.read(end - start).decode()

    def row(self, number: int) -> dict[str, str]:
        """Return the measurements of a cell by their names."""
        (line,) = self.lines(np.array([number]))
        return dict(zip(self.columns, next(csv.reader([line])), strict=True))


class Cells:
    """The cells 1, 2, ... of an image."""

    def __init__(
        self, areas: npt.NDArray[np.int64], boxes: Boxes, sums: npt.NDArray[np.int64], table: Table | None
    ) -> None:
        """areas (cells,) in px, boxes (cells, 4), sums (cells, 2) of the rows and columns of their pixels."""
        self.areas, self.boxes, self.table = areas, boxes, table
        self.centroids = (sums / np.maximum(areas, 1)[:, None]).astype(np.float32)

    def __len__(self) -> int:
        """Return the number of cells."""
        return len(self.areas)

    def chosen(self, wanted: Filter) -> Chosen:
        """Return which cells are shown. Without a table, probabilities do not count.

        >>> cells = Cells(np.array([4, 9]), np.zeros((2, 4), np.int32), np.zeros((2, 2), np.int64), None)
        >>> cells.chosen(Filter(area_min=5)).tolist()
        [False, False, True]
        """
        shown = (self.areas >= wanted.area_min) & (self.areas <= wanted.area_max)
        if self.table:
            values = self.table.probabilities
            shown &= (values >= np.float32(wanted.probability_min)) & (values <= np.float32(wanted.probability_max))
        return np.concatenate([[False], shown])

    def within(self, region: Region, chosen: Chosen) -> npt.NDArray[np.int64]:
        """Return the numbers of the shown cells whose centroid lies in a region, from the top down."""
        y, x = self.centroids.T
        top, left, bottom, right = region
        inside = chosen[1:] & (y >= top) & (y < bottom) & (x >= left) & (x < right)
        return np.flatnonzero(inside) + 1

    def row(self, number: int) -> dict[str, str]:
        """Return what is known about a cell, by the names of the table; without a table size and place.

        >>> Cells(np.array([4]), np.array([[0, 0, 2, 2]]), np.array([[2, 2]]), None).row(1)["centroid-0"]
        '0.5'
        """
        if self.table:
            return self.table.row(number)
        box = {f"bbox-{at}": str(value) for at, value in enumerate(self.boxes[number - 1])}
        centroid = {f"centroid-{at}": str(float(value)) for at, value in enumerate(self.centroids[number - 1])}
        return {"label": str(number), "area": str(self.areas[number - 1])} | box | centroid

    def csv(self, numbers: npt.NDArray[np.int64]) -> Iterator[str]:
        """Yield a table of some cells as lines of a CSV file, the header first.

        >>> cells = Cells(np.array([4]), np.array([[0, 0, 2, 2]]), np.array([[2, 2]]), None)
        >>> "".join(cells.csv(np.array([1]))).split()
        ['label,area,bbox-0,bbox-1,bbox-2,bbox-3,centroid-0,centroid-1', '1,4,0,0,2,2,0.5,0.5']
        """
        if self.table:
            yield self.table.header
            yield from self.table.lines(numbers)
            return
        yield "label,area,bbox-0,bbox-1,bbox-2,bbox-3,centroid-0,centroid-1\n"
        for number in numbers:
            yield ",".join(self.row(int(number)).values()) + "\n"
