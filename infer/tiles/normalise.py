"""Normalisation: a low and a high percentile of each network input become 0 and 1."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt

from ..images.image import Image
from ..images.memmap import Pixels
from .channels import ChannelMap, Sources
from .counts import Count, count_values, countable, image_rows
from .percentiles import of_floats, of_histogram
from .survey import ChannelRange, precision

Array = npt.NDArray[np.float32]
IntensityRanges = npt.NDArray[np.float64]
"""(inputs, 2): for each network input the low percentile, and the span from it to the high one; span 0 if constant."""
Mixed = npt.NDArray[np.floating]
"""(inputs, Y, X): network inputs before normalisation, float32 or float64."""
EXACT_MEANS = (1, 2, 4)
"""The mean of so many integers is exact in binary, so it is the same whether it is computed before or after."""
FLAT = 8
"""An input is constant if its span, relative to its values, is at most this many machine epsilons: rounding noise."""


def mix(window: Pixels, channels: ChannelMap) -> Mixed:
    """Return the network inputs (inputs, Y, X) of an image window (C, Y, X), before normalisation.

    Each input is the mean of its source channels, or 0 without source channels. The dtype is float32 if it represents
    every value of the image's dtype exactly, otherwise float64.

    >>> mix(np.array([[[10, 20]], [[30, 60]]], np.uint8), ((0, 1), ()))
    array([[[20., 40.]],
    <BLANKLINE>
           [[ 0.,  0.]]], dtype=float32)
    """
    mixed: Mixed = np.zeros((len(channels), *window.shape[1:]), precision(window.dtype))
    with np.errstate(over="ignore", invalid="ignore"):
        for index, sources in enumerate(channels):
            if len(sources) == 1:
                mixed[index] = window[sources[0]]
            elif sources:
                mixed[index] = window[list(sources)].mean(axis=0, dtype=np.float64)
    return mixed


def intensity_ranges(
    image: Image, channels: ChannelMap, percentiles: tuple[float, float], count: Count = count_values
) -> IntensityRanges:
    """Return the ranges (inputs, 2) float64 of the network inputs: low percentile, and span to the high percentile.

    The percentiles are those of the whole image and equal ``numpy.percentile`` with linear interpolation. Histograms
    of the image, which is read in parts, give them exactly for every dtype. NaN and infinite pixels are
    excluded. If the two percentiles are equal, as in an image with few small cells, the minimum and the maximum replace
    them. An empty or constant input has the span 0. count: makes the histograms of an image of 8 or 16 bits.

    >>> from flowmask.images.image import as_image
    >>> intensity_ranges(as_image(np.arange(101)[None]), ((0,), ()), (1.0, 99.0))
    array([[ 1., 98.],
           [ 0.,  0.]])
    """
    ranks = (*percentiles, 0.0, 100.0)
    inputs = [sources for sources in dict.fromkeys(channels) if sources]
    ranges: dict[Sources, tuple[float, float]] = {(): (0.0, 0.0)}
    for sources, values in zip(inputs, _percentiles(image, inputs, ranks, count), strict=True):
        low, high, minimum, maximum = map(float, values)
        ranges[sources] = _range(low, high, minimum, maximum, image.dtype)
    return np.array([ranges[sources] for sources in channels])


def range_of(channel: ChannelRange, dtype: np.dtype[np.generic]) -> tuple[float, float]:
    """Return what `intensity_ranges` returns for a channel of known range in an image of this dtype: (low, span).

    >>> range_of(ChannelRange(10.0, 20.0, 0.0, 99.0, 10.0, 20.0), np.dtype(np.uint8))
    (10.0, 10.0)
    >>> range_of(ChannelRange(5.0, 5.0, 0.0, 99.0, 5.0, 5.0), np.dtype(np.uint8))  # few cells: minimum and maximum
    (0.0, 99.0)
    """
    return _range(channel.low, channel.high, channel.minimum, channel.maximum, dtype)


def _range(low: float, high: float, minimum: float, maximum: float, dtype: np.dtype[np.generic]) -> tuple[float, float]:
    noise = FLAT * np.finfo(precision(dtype)).eps
    if high - low <= noise * max(abs(low), abs(high)):
        low, high = minimum, maximum
    constant = high - low <= noise * max(abs(low), abs(high))
    return low, 0.0 if constant else high - low


def normalise(mixed: Mixed, ranges: IntensityRanges) -> Array:
    """Return (inputs, Y, X) float32 in which the low percentile is 0 and the high percentile is 1, without clipping.

    ranges: (inputs, 2) as from `intensity_ranges`. Inputs of span 0, NaN and infinite pixels become 0. The computation
    uses the dtype of ``mixed``, or float64 if a span exceeds the range of that dtype.

    >>> normalise(np.array([[[10.0, 20.0, 40.0]]]), np.array([[10.0, 20.0]]))
    array([[[0. , 0.5, 1.5]]], dtype=float32)
    """
    if ranges[:, 1].max(initial=0) > np.finfo(mixed.dtype).max:
        mixed = mixed.astype(np.float64)
    low, span = (ranges[:, i, None, None].astype(mixed.dtype) for i in range(2))
    with np.errstate(over="ignore", invalid="ignore"):
        shifted = mixed - low
        shifted /= np.where(span > 0, span, 1)
        scaled: Array = shifted.astype(np.float32, copy=False)
    finite = np.isfinite(scaled)
    if not finite.all():
        scaled[~finite] = 0
    scaled[ranges[:, 1] <= 0] = 0
    return scaled


def _percentiles(
    image: Image, inputs: Sequence[Sources], percentiles: Sequence[float], count: Count
) -> list[list[float]]:
    """Return the percentiles of the finite values of each network input."""
    if inputs and countable(image) and all(len(sources) in EXACT_MEANS for sources in inputs):
        of_sums = [of_histogram(counts, percentiles) for counts in count(image, inputs)]
        return [[value / len(sources) for value in found] for sources, found in zip(inputs, of_sums, strict=True)]
    return [of_floats(partial(_finite, image, sources), precision(image.dtype), percentiles) for sources in inputs]


def _finite(image: Image, sources: Sources) -> Iterator[Mixed]:
    """Yield the finite values (k,) of one network input, some rows of the image at a time."""
    for rows in image_rows(image):
        values = mix(rows, (sources,))[0]
        yield values[np.isfinite(values)]
