"""A window of rows that moves down a tall array."""

from __future__ import annotations

from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

Scalar = TypeVar("Scalar", bound=np.generic)
SPARE = 128
"""Free rows at the end of a newly allocated array."""


class Rolling(Generic[Scalar]):
    """Rows ``top`` to ``bottom`` of a tall array (Y, ..., X): rows are added at the bottom and dropped at the top.

    Rows are the first axis, so that any range of them is C-contiguous, the one layout that the compiled kernels accept.

    >>> window = Rolling(2, np.int32)
    >>> window.append(np.array([[0, 1], [2, 3], [4, 5]], np.int32))
    >>> window.drop(1)
    >>> window.top, window.bottom, window.rows(1, 2).tolist()
    (1, 3, [[2, 3]])
    """

    def __init__(self, width: int, dtype: type[Scalar], *leading: int, rows: int = 0, top: int = 0) -> None:
        """Start without rows, the first of which will be row ``top``.

        The shape of the array is (Y, *leading, width); it has room for ``rows`` rows or more.
        """
        self._data = np.empty((rows, *leading, width), dtype)
        self._start = 0
        """Index in ``_data`` of the row ``top``."""
        self.top = self.bottom = top
        """The range of rows in memory; bottom is excluded."""

    def append(self, rows: npt.NDArray[Scalar]) -> None:
        """Add rows (n, ..., X) at the bottom."""
        held, count = self.bottom - self.top, len(rows)
        if self._start + held + count > len(self._data):
            self._make_room(held, count)
        first = self._start + held
        self._data[first : first + count] = rows
        self.bottom += count

    def rows(self, top: int, bottom: int) -> npt.NDArray[Scalar]:
        """Return a view of the rows ``top`` to ``bottom`` (excluded). Raises IndexError if they are not in memory."""
        if not self.top <= top <= bottom <= self.bottom:
            raise IndexError(f"rows {top} to {bottom} are not in memory, which holds rows {self.top} to {self.bottom}")
        first = self._start - self.top
        return self._data[first + top : first + bottom]

    def drop(self, before: int) -> None:
        """Drop the rows above row ``before``."""
        dropped = min(before, self.bottom) - self.top
        if dropped > 0:
            self._start += dropped
            self.top += dropped

    def _make_room(self, held: int, count: int) -> None:
        """Move the ``held`` rows to the front of the array, or of a larger one if ``count`` more rows do not fit."""
        old, start = self._data, self._start
        if held + count > len(old):
            self._data = np.empty((held + count + SPARE, *old.shape[1:]), old.dtype)
        # Within one array, pieces of `start` rows do not overlap their targets, so NumPy makes no temporary copy.
        step = start if self._data is old else max(1, held)
        for first in range(0, held, step):
            last = min(first + step, held)
            self._data[first:last] = old[start + first : start + last]
        self._start = 0
