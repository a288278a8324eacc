"""The rows of a tall array that are still needed."""

from __future__ import annotations

from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

Scalar = TypeVar("Scalar", bound=np.generic)
SPARE = 128
"""Rows of room that a new array has beyond those that it is made for."""


class Rolling(Generic[Scalar]):
    """Consecutive rows (top to bottom, ..., X) of an array of which more rows come below and old ones are let go.

    The rows come first, so that any of them are contiguous and compiled code meets no other layout.
    """

    def __init__(self, width: int, dtype: type[Scalar], *leading: int) -> None:
        self._data = np.empty((0, *leading, width), dtype)
        self._start = 0
        self.top = self.bottom = 0
        """The rows that are held: top included, bottom not."""

    def append(self, rows: npt.NDArray[Scalar]) -> None:
        """Add rows (n, ..., X) below."""
        kept, count = self.bottom - self.top, len(rows)
        if self._start + kept + count > len(self._data):
            self._make_room(kept, count)
        first = self._start + kept
        self._data[first : first + count] = rows
        self.bottom += count

    def rows(self, top: int, bottom: int) -> npt.NDArray[Scalar]:
        """Return a view of the rows top to bottom, which must be held."""
        if not self.top <= top <= bottom <= self.bottom:
            raise IndexError(f"rows {top} to {bottom} are not among those held, {self.top} to {self.bottom}")
        first = self._start - self.top
        return self._data[first + top : first + bottom]

    def drop(self, before: int) -> None:
        """Let the rows above ``before`` go."""
        gone = min(before, self.bottom) - self.top
        if gone > 0:
            self._start += gone
            self.top += gone

    def _make_room(self, kept: int, count: int) -> None:
        """Move the rows that are held to the front; of a larger array where this one has no room for `count` rows."""
        old, start = self._data, self._start
        if kept + count > len(old):
            self._data = np.empty((kept + count + SPARE, *old.shape[1:]), old.dtype)
        step = start if self._data is old else max(1, kept)
        for first in range(0, kept, step):
            last = min(first + step, kept)
            self._data[first:last] = old[start + first : start + last]
        self._start = 0
