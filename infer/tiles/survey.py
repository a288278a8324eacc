"""Survey the channels of an image: exact percentiles, and the fill value of missing pixels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np
import numpy.typing as npt

from ..images.image import Image
from ..images.memmap import Pixels
from ..images.metadata import ImageInfo
from .counts import Count, count_values, countable, image_rows
from .percentiles import Counts, Floats, FloatValues, of_histogram

WIDE = (0.1, 99.9)
"""The percentiles between which a channel's values count as its grey levels."""
EDGE = 1e-4
"""A fill value must lie outside all other values, of which this fraction at either end does not count."""
FAR, FAR_ZERO = 1, 3
"""A fill value is at least this many ranges of all other values away from them; 0 is a common value of dark ground."""
MOST_ZERO = 0.5
"""Largest share of pixels that are missing and have the value 0; more of them are a dark ground with cells on it.

The largest value of an 8-bit image is never a fill value: it may be that of saturated cells."""


@dataclass(frozen=True)
class ChannelRange:
    """The intensity range of one channel, without NaN, infinite and missing pixels."""

    low: float
    high: float
    """The network's two percentiles."""
    minimum: float
    maximum: float
    wide_low: float
    wide_high: float
    """The percentiles `WIDE`; the network's percentiles if the survey is of one channel."""
    fill: float | None = None
    """The value of missing pixels that the file does not declare, None if there are none."""
    missing: float = 0.0
    """Fraction of the pixels that have this value."""

    @property
    def span(self) -> float:
        """The range of grey levels."""
        return self.wide_high - self.wide_low


class WithoutFill:
    """An image whose missing pixels are read as NaN, so that they count neither for percentiles nor for the network."""

    def __init__(self, image: Image, fills: Sequence[float | None]) -> None:
        """fills: for each channel the value of its missing pixels, or None."""
        self._image, self._fills = image, fills

    @property
    def shape(self) -> tuple[int, int, int]:
        return self._image.shape

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """float32 if it represents every value of the image exactly, otherwise float64."""
        return np.dtype(precision(self._image.dtype))

    @property
    def info(self) -> ImageInfo:
        return self._image.info

    def read(self, top: int, left: int, bottom: int, right: int) -> Pixels:
        """Return the window (C, bottom - top, right - left) in `dtype`, with NaN for missing pixels."""
        window: Pixels = self._image.read(top, left, bottom, right).astype(self.dtype)
        for channel, fill in enumerate(self._fills):
            if fill is not None:
                window[channel][window[channel] == self.dtype.type(fill)] = np.nan
        return window


def without_fill(image: Image, fills: Sequence[float | None]) -> Image:
    """Return an image whose missing pixels are NaN; the image itself if no pixels are missing.

    >>> from flowmask.images.image import ArrayImage
    >>> without_fill(ArrayImage(np.array([[[0, 7]]], np.uint8)), (0.0,)).read(0, 0, 1, 2)
    array([[[nan,  7.]]], dtype=float32)
    """
    return WithoutFill(image, fills) if any(fill is not None for fill in fills) else image


def survey(
    image: Image, channels: Sequence[int], percentiles: tuple[float, float], count: Count = count_values
) -> dict[int, ChannelRange]:
    """Return the intensity ranges of some channels. Histograms of the whole image give them exactly, for every dtype.

    percentiles: those of the network. count: makes the histograms of an image of 8 or 16 bits, which is read once; any
    other is read several times.

    >>> from flowmask.images.image import ArrayImage
    >>> pixels = np.arange(1000, 1100, dtype=np.uint16).reshape(1, 10, 10)
    >>> pixels[0, :2] = 0
    >>> found = survey(ArrayImage(pixels), [0], (1.0, 99.0))[0]
    >>> found.minimum, found.fill, found.missing
    (1020.0, 0.0, 0.2)
    """
    whole: Sequence[_Values]
    if countable(image) and channels:
        whole = [_Integers(counts) for counts in count(image, [(channel,) for channel in channels])]
    else:
        whole = [_Floats(image, channel) for channel in channels]
    ranks = (*percentiles, 0.0, 100.0, *(WIDE if len(channels) > 1 else percentiles))
    ranges = (_channel_range(values, ranks, image.dtype) for values in whole)
    return dict(zip(channels, ranges, strict=True))


def precision(dtype: np.dtype[np.generic]) -> type[np.floating]:
    """Return float32 if it represents every value of ``dtype`` exactly, otherwise float64.

    >>> precision(np.dtype(np.uint16)) is np.float32, precision(np.dtype(np.uint32)) is np.float64
    (True, True)
    """
    return np.float32 if np.can_cast(dtype, np.float32) else np.float64


class _Values(Protocol):
    """All finite values of a channel."""

    coarseness: float
    """Largest distance of a value from that of its bin in `histogram`, as a fraction of the value."""

    def percentiles(self, percentiles: Sequence[float]) -> list[float]: ...

    def histogram(self) -> tuple[npt.NDArray[np.float64], Counts]:
        """Return (values, counts), both (n,): the values rise."""
        ...

    def without(self, value: float) -> _Values: ...


class _Integers:
    """The values 0, 1, 2, ... by their histogram."""

    coarseness = 0.0

    def __init__(self, counts: Counts) -> None:
        self._counts = counts

    def percentiles(self, percentiles: Sequence[float]) -> list[float]:
        return of_histogram(self._counts, percentiles)

    def histogram(self) -> tuple[npt.NDArray[np.float64], Counts]:
        occupied = np.flatnonzero(self._counts)
        return occupied.astype(np.float64), self._counts[occupied]

    def without(self, value: float) -> _Integers:
        return _Integers(np.where(np.arange(len(self._counts)) == value, 0, self._counts))


class _Floats(FloatValues):
    """The finite values of a channel of any dtype, which is read once for each histogram."""

    coarseness = 0.01

    def __init__(self, image: Image, channel: int, left_out: float | None = None) -> None:
        super().__init__(partial(_finite, image, channel, left_out), precision(image.dtype))
        self._image, self._channel = image, channel

    def without(self, value: float) -> _Floats:
        return _Floats(self._image, self._channel, value)


def _finite(image: Image, channel: int, left_out: float | None) -> Iterator[Floats]:
    """Yield the finite values (k,) of one channel except ``left_out``, some rows of the image at a time."""
    dtype = precision(image.dtype)
    for rows in image_rows(image):
        with np.errstate(over="ignore"):
            values: Floats = rows[channel].astype(dtype)
        yield values[np.isfinite(values) & (True if left_out is None else values != dtype(left_out))]


def _channel_range(values: _Values, ranks: Sequence[float], dtype: np.dtype[np.generic]) -> ChannelRange:
    """Return the intensity range of a channel from percentiles: the network's, 0 and 100, and two wide ones."""
    found = values.percentiles(ranks)
    low, high, minimum, maximum, *_ = found
    ends = [minimum] if low == minimum else []
    if high == maximum and dtype.itemsize > 1:
        ends.append(maximum)
    for end in ends:
        missing = _missing(end, *values.histogram(), values.coarseness)
        if missing:
            return _from_percentiles(values.without(end).percentiles(ranks), end, missing)
    return _from_percentiles(found)


def _from_percentiles(found: list[float], fill: float | None = None, missing: float = 0.0) -> ChannelRange:
    low, high, minimum, maximum, wide_low, wide_high = found
    return ChannelRange(low, high, minimum, maximum, wide_low, wide_high, fill, missing)


def _missing(end: float, values: npt.NDArray[np.float64], counts: Counts, coarseness: float) -> float:
    """Return the share of pixels with the smallest or largest value if it is far outside all others, otherwise 0.

    A distance that may be one within a bin of the histogram is not far.
    """
    if not len(values):
        return 0.0
    at = 0 if end <= values[0] else -1
    others, number = np.delete(values, at), np.delete(counts, at)
    total = number.sum()
    share = float(counts[at] / (total + counts[at]))
    if len(others) < 2 or (end == 0 and share > MOST_ZERO):
        return 0.0
    below = np.cumsum(number)
    first, last = (others[np.searchsorted(below, total * part)] for part in (EDGE, 1 - EDGE))
    far = (FAR_ZERO if end == 0 else FAR) * (last - first) + coarseness * max(abs(end), abs(first), abs(last))
    return share if last > first and max(first - end, end - last) > far else 0.0
