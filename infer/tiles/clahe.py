"""Contrast limited adaptive histogram equalisation (CLAHE): histograms of square regions, and what follows.

Method: Zuiderveld 1994, Graphics Gems IV, as in ``skimage.exposure.equalize_adapthist`` for float32 images. The image
is divided into square regions from its top left, and mirrored where the last ones exceed it. The clipped and cumulated
histogram of a region maps grey levels to equalised levels; a pixel gets the mean of the mappings of the four nearest
regions, weighted by distance. So a pixel depends on histograms alone, and windows have the values of the whole image.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import numpy.typing as npt

from ..kernels.compiled import kernel, part
from .constants import BINS

Array = npt.NDArray[np.float32]
Counts = npt.NDArray[np.int64]
GreyLevels = npt.NDArray[np.uint16]
Bins = npt.NDArray[np.uint8]
GREYS = 2**14
"""Number of equalised grey levels."""
FINE = 2**16
"""Number of grey levels to which values are rounded first."""
LIMIT = 0.01
"""Largest share of a region's pixels in one bin; the pixels above it are spread over all bins."""


@cache
def bin_of_level() -> Bins:
    """Return the bin (`FINE`,) uint8 of each of the grey levels to which values are rounded first.

    >>> bin_of_level()[[0, 1000, 65535]]
    array([  0,   3, 252], dtype=uint8)
    """
    greys = np.round(np.arange(FINE) / (FINE - 1) * (GREYS - 1)).astype(np.int64)
    return (greys // (1 + GREYS // BINS)).astype(np.uint8)


def region_pixels(length: int, side: int) -> Counts:
    """Return the pixels that the regions along an axis show, (regions * side,) int64: beyond the end it is mirrored.

    >>> region_pixels(5, 4)
    array([0, 1, 2, 3, 4, 3, 2, 1])
    """
    regions = math.ceil(length / side)
    before, after = side // 2, regions * side - length + side - side // 2
    padded = np.pad(np.arange(length), (before, after), mode="reflect")
    return padded[before : before + regions * side]


@part
def _level(value: float, low: float, span: float) -> int:
    """Return the grey level, 0 to `FINE` - 1, of a value; values beyond the range get the first or the last one."""
    share = (np.float32(value) - np.float32(low)) / np.float32(span)
    if not share > 0:  # also NaN
        return 0
    return int(np.rint(min(share, np.float32(1)) * np.float32(FINE - 1)))


@kernel("void(f4[:,::1], u1[::1], f8, f8, i8, i8[:,::1])")
def count_bins(values: Array, bins: Bins, low: float, span: float, side: int, counts: Counts) -> None:
    """Add the pixels of one row of regions to their histograms, in place.

    values: (side, regions * side) float32; bins: of `bin_of_level`; low, span: the value that becomes 0, and the
    difference to the one that becomes 1; counts: (regions, `BINS`).

    >>> counts = np.zeros((2, BINS), np.int64)
    >>> count_bins(np.array([[0, 0, 5, 9], [0, 0, 9, 9]], np.float32), bin_of_level(), 0.0, 5.0, 2, counts)
    >>> counts[:, [0, 252]].tolist()
    [[4, 0], [0, 4]]
    """
    for y in range(values.shape[0]):
        for x in range(values.shape[1]):
            counts[x // side, bins[_level(values[y, x], low, span)]] += 1


@part
def _fill(histogram: Counts, limit: int, first: int, excess: int) -> int:
    """Add 1 to bins below ``limit``, from ``first`` on at even steps; return to how many."""
    below = 0
    for count in histogram:
        below += count < limit
    filled = 0
    for at in range(first, len(histogram), max(1, below // excess)):
        if histogram[at] < limit:
            histogram[at] += 1
            filled += 1
    return filled


@kernel("void(i8[:,::1], i8)")
def clip_counts(counts: Counts, limit: int) -> None:
    """Spread the pixels above ``limit`` in each histogram (n, bins) over its other bins, in place.

    >>> counts = np.array([[6, 0, 2, 0]])
    >>> clip_counts(counts, 3)
    >>> counts
    array([[3, 1, 3, 1]])
    """
    bins = counts.shape[1]
    for histogram in counts:
        excess = 0
        for at in range(bins):
            excess += max(histogram[at] - limit, 0)
            histogram[at] = min(histogram[at], limit)
        share = excess // bins
        for at in range(bins):
            if histogram[at] < limit - share:
                histogram[at] += share
                excess -= share
            if limit - share <= histogram[at] < limit:
                excess -= limit - histogram[at]
                histogram[at] = limit
        before = excess + 1
        while 0 < excess < before:
            before = excess
            for first in range(bins):
                if excess > 0:
                    excess -= _fill(histogram, limit, first, excess)


def mappings_of(counts: Counts, side: int) -> GreyLevels:
    """Return the equalised level (n, `BINS`) uint16 of each bin, from the histograms of regions; changes these.

    counts: (n, `BINS`) of regions of side x side px.

    >>> counts = np.zeros((1, BINS), np.int64)
    >>> counts[0, [0, 252]] = 8192  # of which 163 stay, and the others are spread over the other bins
    >>> mappings_of(counts, 128)[0, [0, 255]].tolist()  # 163 * 16383 / 16384, truncated, and the largest level
    [162, 16383]
    """
    pixels = side * side
    clip_counts(counts, max(1, int(LIMIT * pixels)))
    mapped = np.cumsum(counts, axis=1) * ((GREYS - 1) / pixels)
    equalised: GreyLevels = np.minimum(mapped, GREYS - 1).astype(np.uint16)
    return equalised


@kernel("void(f4[:,::1], u1[::1], f8, f8, u2[:,:,::1], i8, i8, i8, u2[:,::1])")
def equalise(
    values: Array,
    bins: Bins,
    low: float,
    span: float,
    mappings: GreyLevels,
    side: int,
    top: int,
    left: int,
    out: GreyLevels,
) -> None:
    """Write the equalised levels of a window into ``out``.

    values and out: (Y, X), whose first pixel has the position (top, left) in the image; bins, low, span: as in
    `count_bins`; mappings: (rows of regions, columns of regions, `BINS`) of the whole image; side: of a region, in px.

    >>> mappings = np.zeros((1, 2, BINS), np.uint16)
    >>> mappings[0, 1] = 100
    >>> out = np.zeros((1, 8), np.uint16)
    >>> equalise(np.zeros((1, 8), np.float32), bin_of_level(), 0.0, 1.0, mappings, 4, 0, 0, out)
    >>> out  # the middles of the two regions are at 2 and 6
    array([[  0,   0,   0,  25,  50,  75, 100, 100]], dtype=uint16)
    """
    rows, columns = mappings.shape[0] - 1, mappings.shape[1] - 1
    for y in range(values.shape[0]):
        row = (top + y + side // 2) // side
        below = ((top + y + side // 2) % side) / side
        upper, lower = min(max(row - 1, 0), rows), min(row, rows)
        for x in range(values.shape[1]):
            column = (left + x + side // 2) // side
            right = ((left + x + side // 2) % side) / side
            first, last = min(max(column - 1, 0), columns), min(column, columns)
            at = bins[_level(values[y, x], low, span)]
            # The products are rounded to single precision one by one, as in scikit-image.
            total = np.float32(mappings[upper, first, at] * ((1 - right) * (1 - below)))
            total += np.float32(mappings[upper, last, at] * (right * (1 - below)))
            total += np.float32(mappings[lower, first, at] * ((1 - right) * below))
            total += np.float32(mappings[lower, last, at] * (right * below))
            out[y, x] = np.uint16(total)
