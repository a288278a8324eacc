"""Percentiles of values too many to hold, exactly, by histograms."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.int64]
Floats = npt.NDArray[np.floating]
DIGIT = 16
"""Bits of a number that one histogram tells apart."""


def of_histogram(counts: Counts, wanted: Sequence[float]) -> list[float]:
    """Return percentiles of the values 0, 1, ... that occur ``counts`` times; zeros where there is none."""
    return _interpolated(lambda rank: float(_bin(counts, rank)), int(counts.sum()), wanted)


def of_floats(parts: Callable[[], Iterator[Floats]], dtype: type[np.floating], wanted: Sequence[float]) -> list[float]:
    """Return percentiles of finite float32 or float64 values; zeros where there is none.

    ``parts`` yields all of them, in pieces, each time it is called: once for every `DIGIT` bits. The bits of an IEEE
    number sort as the number does, once those of a negative one are inverted and its sign bit is.
    """
    unsigned = np.uint32 if dtype is np.float32 else np.uint64
    bits = 8 * np.dtype(unsigned).itemsize
    sign = 1 << (bits - 1)

    @cache
    def digits(prefix: int, shift: int) -> Counts:
        """Count the `DIGIT` bits above ``shift`` of the numbers whose bits above those are ``prefix``."""
        counts = np.zeros(1 << DIGIT, np.int64)
        for values in parts():
            pattern: npt.NDArray[np.unsignedinteger] = (values + dtype(0)).view(unsigned)
            keys = np.where(pattern & unsigned(sign), ~pattern, pattern | unsigned(sign))
            if shift + DIGIT < bits:
                keys = keys[keys >> unsigned(shift + DIGIT) == unsigned(prefix)]
            digit = keys >> unsigned(shift) & unsigned((1 << DIGIT) - 1)
            counts += np.bincount(digit.astype(np.int64), minlength=1 << DIGIT)
        return counts

    def value(rank: int) -> float:
        prefix = 0
        for shift in range(bits - DIGIT, -1, -DIGIT):
            counts = digits(prefix, shift)
            digit = _bin(counts, rank)
            rank -= int(counts[:digit].sum())
            prefix = prefix << DIGIT | digit
        pattern = prefix ^ sign if prefix & sign else prefix ^ ((1 << bits) - 1)
        return float(np.array(pattern, unsigned).view(dtype))

    return _interpolated(value, int(digits(0, bits - DIGIT).sum()), wanted)


def _bin(counts: Counts, rank: int) -> int:
    """Return the bin of a histogram in which the value of a rank, from 0, lies."""
    return int(np.searchsorted(np.cumsum(counts), rank, side="right"))


def _interpolated(value: Callable[[int], float], count: int, wanted: Sequence[float]) -> list[float]:
    """Return percentiles of ``count`` values from the values of two ranks each, linearly as ``numpy.percentile``."""
    if count == 0:
        return [0.0] * len(wanted)
    ranks = [percentile / 100 * (count - 1) for percentile in wanted]
    lower = [value(int(rank)) for rank in ranks]
    upper = [value(min(int(rank) + 1, count - 1)) for rank in ranks]
    return [low + (high - low) * (rank % 1) for low, high, rank in zip(lower, upper, ranks, strict=True)]
