"""Exact percentiles of more values than memory can hold, by histograms."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache

import cv2
import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.int64]
Floats = npt.NDArray[np.floating]
DIGIT = 16
"""Bits of a number that one histogram covers; it has 2 ** `DIGIT` bins."""
MOST_EXACT = 2**24
"""OpenCV counts in float32, which is exact up to this number."""


def histogram(values: npt.NDArray[np.unsignedinteger]) -> Counts:
    """Return how often each of the values 0, 1, 2, ... occurs, (256,) or (65536,) int64, in uint8 or uint16 (Y, X).

    >>> histogram(np.array([[0, 2, 2]], np.uint8))[:3]
    array([1, 0, 2])
    """
    if values.dtype == np.uint8 and values.size <= MOST_EXACT:
        return cv2.calcHist([values], [0], None, [256], [0, 256]).ravel().astype(np.int64)
    return np.bincount(values.ravel(), minlength=256**values.itemsize)


def of_histogram(counts: Counts, percentiles: Sequence[float]) -> list[float]:
    """Return the percentiles (0 to 100) of integer values from their histogram; zeros if it is empty.

    counts: (bins,) int64, how often each of the values 0, 1, 2, ... occurs. Equals ``numpy.percentile``.

    >>> of_histogram(np.array([1, 0, 1]), [0, 50, 100])
    [0.0, 1.0, 2.0]
    """
    return _interpolated(lambda rank: float(_bin(counts, rank)), int(counts.sum()), percentiles)


def of_floats(
    parts: Callable[[], Iterator[Floats]], dtype: type[np.floating], percentiles: Sequence[float]
) -> list[float]:
    """Return the percentiles (0 to 100) of finite float32 or float64 values; zeros if there are none.

    parts: a function that yields all values, in arrays (k,) of ``dtype``; it is called again for each histogram.

    >>> of_floats(lambda: iter([np.array([-1, 3], np.float32), np.array([0], np.float32)]), np.float32, [50, 75])
    [0.0, 1.5]
    """
    return FloatValues(parts, dtype).percentiles(percentiles)


class FloatValues:
    """Finite float32 or float64 values that are not held in memory, and histograms of their bits.

    Method: radix selection. The bits of a floating-point number are turned into an unsigned integer of the same order:
    all bits of a negative number are inverted; of a positive number, only the sign bit. A histogram of the highest
    `DIGIT` bits gives these bits of the value with the wanted rank. A histogram of the next bits, over the numbers with
    the same higher bits, gives the next ones, until all bits are known.
    """

    def __init__(self, parts: Callable[[], Iterator[Floats]], dtype: type[np.floating]) -> None:
        """``parts`` and ``dtype`` as in `of_floats`."""
        self._parts, self._dtype = parts, dtype
        self._unsigned = np.uint32 if dtype is np.float32 else np.uint64
        self._bits = 8 * np.dtype(self._unsigned).itemsize
        self._sign = 1 << (self._bits - 1)
        self._digits = cache(self._count_digits)

    def percentiles(self, percentiles: Sequence[float]) -> list[float]:
        """Return the percentiles (0 to 100), exactly; zeros if there are no values."""
        return _interpolated(self._value, int(self._digits(0, self._bits - DIGIT).sum()), percentiles)

    def histogram(self) -> tuple[npt.NDArray[np.float64], Counts]:
        """Return (values, counts), both (n,), of the highest `DIGIT` bits; no value is further than 1 % from its bin.

        The values rise; for each occupied bin it is the one closest to zero. After `percentiles`, no value is read.
        """
        counts = self._digits(0, self._bits - DIGIT)
        occupied = np.flatnonzero(counts)
        keys = [int(digit) << (self._bits - DIGIT) for digit in occupied]
        full = (1 << (self._bits - DIGIT)) - 1
        values = [self._number(key if key & self._sign else key | full) for key in keys]
        return np.array(values, np.float64), counts[occupied]

    def _count_digits(self, prefix: int, shift: int) -> Counts:
        """Return the histogram of `DIGIT` bits from bit ``shift`` up, over numbers with the higher bits ``prefix``."""
        unsigned, counts = self._unsigned, np.zeros(1 << DIGIT, np.int64)
        for values in self._parts():
            pattern: npt.NDArray[np.unsignedinteger] = (values + self._dtype(0)).view(unsigned)
            keys = np.where(pattern & unsigned(self._sign), ~pattern, pattern | unsigned(self._sign))
            if shift + DIGIT < self._bits:
                keys = keys[keys >> unsigned(shift + DIGIT) == unsigned(prefix)]
            digit = keys >> unsigned(shift) & unsigned((1 << DIGIT) - 1)
            counts += np.bincount(digit.astype(np.int64), minlength=1 << DIGIT)
        return counts

    def _value(self, rank: int) -> float:
        """Return the value that has this rank, from 0, among all values."""
        prefix = 0
        for shift in range(self._bits - DIGIT, -1, -DIGIT):
            counts = self._digits(prefix, shift)
            digit = _bin(counts, rank)
            rank -= int(counts[:digit].sum())
            prefix = prefix << DIGIT | digit
        return self._number(prefix)

    def _number(self, key: int) -> float:
        """Return the number whose bits were turned into this unsigned integer."""
        pattern = key ^ self._sign if key & self._sign else key ^ ((1 << self._bits) - 1)
        return float(np.array(pattern, self._unsigned).view(self._dtype))


def _bin(counts: Counts, rank: int) -> int:
    """Return the bin of a histogram that contains the value of this rank, from 0."""
    return int(np.searchsorted(np.cumsum(counts), rank, side="right"))


def _interpolated(value: Callable[[int], float], count: int, percentiles: Sequence[float]) -> list[float]:
    """Return the percentiles of ``count`` values, interpolated linearly between two ranks as in ``numpy.percentile``.

    value: a function from a rank, from 0, to the value that has this rank.
    """
    if count == 0:
        return [0.0] * len(percentiles)
    ranks = [percentile / 100 * (count - 1) for percentile in percentiles]
    lower = [value(int(rank)) for rank in ranks]
    upper = [value(min(int(rank) + 1, count - 1)) for rank in ranks]
    return [low + (high - low) * (rank % 1) for low, high, rank in zip(lower, upper, ranks, strict=True)]
