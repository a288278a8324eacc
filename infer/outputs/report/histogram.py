"""Histograms of one value of all cells of an image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

TAIL = 0.5
"""Percent of the values at either end that are counted in the first and in the last bin, so that no cell of unusual
size makes all bins wide."""
FEWEST, MOST = 5, 24
"""Numbers of bins."""


@dataclass(frozen=True)
class Histogram:
    """Numbers of cells in bins of equal width."""

    low: float
    """Lower limit of the first bin, which also counts all smaller values."""
    high: float
    """Upper limit of the last bin, which also counts all larger values."""
    counts: tuple[int, ...]
    """Number of cells in each bin."""
    median: float
    smallest: float
    largest: float


def histogram(values: npt.NDArray[np.floating]) -> Histogram | None:
    """Return the histogram of values (cells,); None if there is none. NaN and infinite values are left out.

    The number of bins is twice the cube root of the number of values (Rice's rule), from `FEWEST` to `MOST`.

    >>> histogram(np.array([1.0, 2.0, 2.5, 11.0, np.nan]))
    Histogram(low=1.0, high=11.0, counts=(3, 0, 0, 0, 1), median=2.25, smallest=1.0, largest=11.0)
    """
    finite = np.asarray(values, np.float64)[np.isfinite(values)]
    if not len(finite):
        return None
    low = float(np.percentile(finite, TAIL, method="lower"))
    high = float(np.percentile(finite, 100 - TAIL, method="higher"))
    if low == high:
        margin = abs(low) / 10 or 0.5
        low, high = low - margin, high + margin
    bins = int(np.clip(np.ceil(2 * np.cbrt(len(finite))), FEWEST, MOST))
    counts, _ = np.histogram(finite.clip(low, high), bins, (low, high))
    ends = float(finite.min()), float(finite.max())
    return Histogram(low, high, tuple(counts.tolist()), float(np.median(finite)), *ends)
