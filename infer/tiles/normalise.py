"""The percentiles of an image, and the normalisation of its channels by them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt

from ..images.image import Image
from ..images.memmap import Pixels
from .channels import ChannelMap, Sources
from .percentiles import of_floats, of_histogram

Array = npt.NDArray[np.float32]
IntensityRanges = npt.NDArray[np.float64]
Mixed = npt.NDArray[np.floating]
ROWS = 256
FLAT = 8
"""A span below this many steps of floating point is noise of the arithmetic."""


def mix(window: Pixels, channels: ChannelMap) -> Mixed:
    """Return the network's inputs (C, Y, X), not yet normalised, of a source window.

    Float32 where that holds every value of the source exactly or the source is float32, float64 otherwise.
    """
    mixed: Mixed = np.zeros((len(channels), *window.shape[1:]), _precision(window.dtype))
    with np.errstate(over="ignore", invalid="ignore"):
        for index, sources in enumerate(channels):
            if len(sources) == 1:
                mixed[index] = window[sources[0]]
            elif sources:
                mixed[index] = window[list(sources)].mean(axis=0, dtype=np.float64)
    return mixed


def intensity_ranges(image: Image, channels: ChannelMap, percentiles: tuple[float, float]) -> IntensityRanges:
    """Return (inputs, 2) float64 the low level and the span between two percentiles, over the whole image.

    Linear interpolation between order statistics, as ``numpy.percentile``, by histograms of the image read `ROWS`
    rows at a time: exact for every type. Where the two are equal, as in an image with a few small cells, the lowest
    and the highest value take their place. An empty or constant input has the span 0. Values that are not finite do
    not count.
    """
    noise = FLAT * np.finfo(_precision(image.dtype)).eps
    wanted = (*percentiles, 0.0, 100.0)
    inputs = [sources for sources in dict.fromkeys(channels) if sources]
    found: dict[Sources, tuple[float, float]] = {(): (0.0, 0.0)}
    for sources, own in zip(inputs, _percentiles(image, inputs, wanted), strict=True):
        low, high, least, most = map(float, own)
        if high - low <= noise * max(abs(low), abs(high)):
            low, high = least, most
        flat = high - low <= noise * max(abs(low), abs(high))
        found[sources] = (low, 0.0 if flat else high - low)
    return np.array([found[sources] for sources in channels])


def normalise(mixed: Mixed, ranges: IntensityRanges) -> Array:
    """Bring the low level to 0 and the high one to 1, without clipping; inputs of span 0 and what is not finite to 0.

    Computed in the precision of ``mixed``, or in float64 where the span is too long for it; returned as float32.
    """
    if ranges[:, 1].max(initial=0) > np.finfo(mixed.dtype).max:
        mixed = mixed.astype(np.float64)
    low, span = (ranges[:, i, None, None].astype(mixed.dtype) for i in range(2))
    with np.errstate(over="ignore", invalid="ignore"):
        spread = mixed - low
        spread /= np.where(span > 0, span, 1)
        scaled: Array = spread.astype(np.float32, copy=False)
    scaled[~np.isfinite(scaled)] = 0
    scaled[ranges[:, 1] <= 0] = 0
    return scaled


def _precision(dtype: np.dtype[np.generic]) -> type[np.floating]:
    return np.float32 if np.can_cast(dtype, np.float32) else np.float64


def _percentiles(image: Image, inputs: Sequence[Sources], wanted: Sequence[float]) -> list[list[float]]:
    """Return for each input, a mean of channels, the percentiles of its finite values."""
    if image.dtype in (np.uint8, np.uint16) and all(len(sources) == 1 for sources in inputs):
        counts = np.zeros((len(inputs), 256**image.dtype.itemsize), np.int64)
        for rows in _rows(image):
            for index, (channel,) in enumerate(inputs):
                counts[index] += np.bincount(rows[channel].ravel(), minlength=counts.shape[1])
        return [of_histogram(own, wanted) for own in counts]
    return [of_floats(partial(_finite, image, sources), _precision(image.dtype), wanted) for sources in inputs]


def _finite(image: Image, sources: Sources) -> Iterator[Mixed]:
    for rows in _rows(image):
        values = mix(rows, (sources,))[0]
        yield values[np.isfinite(values)]


def _rows(image: Image) -> Iterator[Pixels]:
    _, height, width = image.shape
    for top in range(0, height, ROWS):
        yield image.read(top, 0, min(top + ROWS, height), width)
