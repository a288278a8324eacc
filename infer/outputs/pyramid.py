"""A label image with smaller copies of itself, for viewers of large images, made a strip of rows at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from ..images.memmap import Pixels
from ..labels.labels import Labels, label_type
from ..labels.store import Integers
from .complete_cells import Cells
from .subject import Subject

TILE = 512
"""Side of a tile in px, and the rows of a band."""
LARGE, SMALLEST = 4000, 1024
"""A longer side than the first gets a pyramid; its levels end when no side is longer than the second."""


def level_shapes(shape: tuple[int, int]) -> list[tuple[int, int]]:
    """Return (Y, X) of each level of the pyramid, the full resolution first.

    >>> level_shapes((10_000, 5_001))
    [(10000, 5001), (5000, 2501), (2500, 1251), (1250, 626), (625, 313)]
    >>> level_shapes((4_000, 4_000))
    [(4000, 4000)]
    """
    shapes = [shape]
    while max(shape) > LARGE and max(shapes[-1]) > SMALLEST:
        height, width = shapes[-1]
        shapes.append((-(-height // 2), -(-width // 2)))
    return shapes


class Pyramid:
    """Turns strips of labels into bands of `TILE` rows of every level. The files of an image share one.

    Each level has every second row and column of the one before it, from the first on: ids are never mixed.
    """

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.dtype = label_type(len(subject.cells))
        self.shapes = level_shapes(subject.shape)
        self._levels = [_Level(level, self.dtype) for level in self.shapes]
        self._files: list[Callable[[int, int, Integers], None]] = []

    def give_to(self, file: Callable[[int, int, Integers], None]) -> None:
        """Call ``file(level, first row, labels)`` for each band; its labels (n, X) are valid until it returns."""
        self._files.append(file)

    def rows(self, labels: Labels, pixels: Pixels) -> None:
        """Add the next rows: labels (n, X) int32; the pixels are not used.

        >>> from flowmask.labels.cell_table import CellTableBuilder
        >>> pyramid = Pyramid(Subject((2, 3), (), None, CellTableBuilder().table(), np.zeros((0, 2))))
        >>> pyramid.give_to(lambda level, top, band: print(level, top, band.tolist()))
        >>> pyramid.rows(np.array([[1, 1, 0], [0, 2, 2]], np.int32), np.zeros((0, 2, 3)))
        0 0 [[1, 1, 0], [0, 2, 2]]
        """
        for number, level in enumerate(self._levels):
            following = labels[level.row % 2 :: 2, ::2]
            for top, band in level.add(labels):
                for file in self._files:
                    file(number, top, band)
            labels = following

    def cells(self, cells: Cells) -> None:
        """Do nothing: the label image is made from the labels."""


class _Level:
    """The rows of one level that do not fill a band yet."""

    def __init__(self, shape: tuple[int, int], dtype: npt.DTypeLike) -> None:
        self._height = shape[0]
        self._band = np.zeros((min(TILE, shape[0]), shape[1]), dtype)
        self.row = 0
        """Number of rows added."""

    def add(self, labels: Integers) -> Iterator[tuple[int, Integers]]:
        """Add the next rows and yield (first row, labels) of each complete band."""
        while len(labels):
            filled = self.row % TILE
            taken = labels[: TILE - filled]
            self._band[filled : filled + len(taken)] = taken
            self.row += len(taken)
            labels = labels[len(taken) :]
            if self.row % TILE == 0 or self.row == self._height:
                top = (self.row - 1) // TILE * TILE
                yield top, self._band[: self.row - top]
        if self.row == self._height:
            self._band = self._band[:0].copy()  # frees the rows
