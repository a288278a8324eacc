"""A label image with smaller copies of itself, for viewers of large images, made a strip of rows at a time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from ..labels.labels import Labels
from ..labels.store import Integers

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
    """Turns strips of labels into bands of `TILE` rows of every level.

    Each level has every second row and column of the one before it, from the first on: ids are never mixed.
    """

    def __init__(self, shape: tuple[int, int], dtype: npt.DTypeLike) -> None:
        self.shapes = level_shapes(shape)
        self._levels = [_Level(level, dtype) for level in self.shapes]

    def rows(self, labels: Labels) -> Iterator[tuple[int, int, Integers]]:
        """Add the next rows (n, X) and yield (level, first row, labels) of each band that they complete.

        A band is valid until the next one is asked for.

        >>> pyramid = Pyramid((2, 3), np.uint16)
        >>> [(level, top, band.tolist()) for level, top, band in pyramid.rows(np.array([[1, 1, 0], [0, 2, 2]]))]
        [(0, 0, [[1, 1, 0], [0, 2, 2]])]
        """
        for number, level in enumerate(self._levels):
            following = labels[level.row % 2 :: 2, ::2]
            for top, band in level.add(labels):
                yield number, top, band
            labels = following


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
