"""Survey the channels of an image: exact percentiles, and the value that fills gaps in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..images.image import Image
from ..images.memmap import Pixels
from .percentiles import of_floats, of_histogram

ROWS = 256
"""Image rows that are read together."""
WIDE = (0.1, 99.9)
"""The percentiles between which a channel's values count as its grey levels."""
EDGE = (0.01, 99.99)
"""The percentiles between which all values but the gap's must lie."""
FAR, FAR_ZERO = 1, 3
"""A gap's value is this many ranges of all other values away from them. Zero must be further away than others are."""
MOST_ZERO = 0.5
"""Largest share of an image that gaps of value 0 can have; more zeros are a dark ground with objects on it."""


@dataclass(frozen=True)
class Levels:
    """The grey levels of one channel, without NaN, infinite pixels and gaps."""

    low: float
    high: float
    """The network's two percentiles."""
    minimum: float
    maximum: float
    wide_low: float
    wide_high: float
    """The percentiles `WIDE`."""
    gap: float | None = None
    """The value that stands for missing pixels, if the values show one."""
    gap_share: float = 0.0
    """Fraction of the pixels that have this value."""

    @property
    def span(self) -> float:
        """The range of grey levels: from the 0.1th to the 99.9th percentile."""
        return self.wide_high - self.wide_low


Measure = Callable[[Sequence[float], float | None], tuple[list[float], int]]
"""(percentiles, value to leave out) -> these percentiles of all other finite values, and how many values there are."""


class GapImage:
    """An image whose gaps read as NaN, so that they count neither for percentiles nor for the network."""

    def __init__(self, image: Image, gaps: Sequence[float | None]) -> None:
        """gaps: for each channel the value of its missing pixels, or None."""
        self._image, self._gaps = image, gaps
        self.info = getattr(image, "info", None)

    @property
    def shape(self) -> tuple[int, int, int]:
        return self._image.shape

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """float32 if it represents every value of the image exactly, otherwise float64."""
        return np.dtype(precision(self._image.dtype))

    def read(self, top: int, left: int, bottom: int, right: int) -> Pixels:
        """Return the window (C, bottom - top, right - left) in `dtype`, with NaN in the gaps."""
        window: Pixels = self._image.read(top, left, bottom, right).astype(self.dtype)
        for channel, gap in enumerate(self._gaps):
            if gap is not None:
                window[channel][window[channel] == self.dtype.type(gap)] = np.nan
        return window


def with_gaps(image: Image, gaps: Sequence[float | None]) -> Image:
    """Return an image whose gaps are NaN; the image itself if it has none."""
    return GapImage(image, gaps) if any(gap is not None for gap in gaps) else image


def survey(image: Image, channels: Sequence[int], percentiles: tuple[float, float]) -> dict[int, Levels]:
    """Return the grey levels of some channels. Histograms of the whole image give them exactly, for every dtype.

    >>> from flowmask.images.image import ArrayImage
    >>> pixels = np.arange(1000, 1100, dtype=np.uint16).reshape(1, 10, 10)
    >>> pixels[0, :2] = 0
    >>> levels = survey(ArrayImage(pixels), [0], (1.0, 99.0))[0]
    >>> levels.minimum, levels.gap, levels.gap_share
    (1020.0, 0.0, 0.2)
    """
    return {
        channel: _levels(measure, percentiles)
        for channel, measure in zip(channels, _measures(image, channels), strict=True)
    }


def image_rows(image: Image) -> Iterator[Pixels]:
    """Yield the image from the top down as windows (C, `ROWS` or fewer, X)."""
    _, height, width = image.shape
    for top in range(0, height, ROWS):
        yield image.read(top, 0, min(top + ROWS, height), width)


def precision(dtype: np.dtype[np.generic]) -> type[np.floating]:
    """Return float32 if it represents every value of ``dtype`` exactly, otherwise float64."""
    return np.float32 if np.can_cast(dtype, np.float32) else np.float64


def _measures(image: Image, channels: Sequence[int]) -> list[Measure]:
    if image.dtype in (np.uint8, np.uint16):
        counts = np.zeros((len(channels), 256**image.dtype.itemsize), np.int64)
        for rows in image_rows(image):
            for index, channel in enumerate(channels):
                counts[index] += np.bincount(rows[channel].ravel(), minlength=counts.shape[1])
        return [_of_counts(histogram) for histogram in counts]
    return [_of_floats(image, channel) for channel in channels]


def _of_counts(counts: npt.NDArray[np.int64]) -> Measure:
    def measure(percentiles: Sequence[float], without: float | None) -> tuple[list[float], int]:
        kept = counts.copy()
        if without is not None:
            kept[int(without)] = 0
        return of_histogram(kept, percentiles), int(kept.sum())

    return measure


def _of_floats(image: Image, channel: int) -> Measure:
    dtype = precision(image.dtype)

    def measure(percentiles: Sequence[float], without: float | None) -> tuple[list[float], int]:
        count = 0

        def values() -> Iterator[npt.NDArray[np.floating]]:
            nonlocal count
            count = 0
            for rows in image_rows(image):
                with np.errstate(over="ignore"):
                    part = rows[channel].astype(dtype)
                part = part[np.isfinite(part) & (True if without is None else part != dtype(without))]
                count += part.size
                yield part

        return of_floats(values, dtype, percentiles), count

    return measure


def _levels(measure: Measure, percentiles: tuple[float, float]) -> Levels:
    wanted = (*percentiles, 0.0, 100.0, *WIDE)
    values, count = measure(wanted, None)
    low, high, minimum, maximum = values[:4]
    if minimum < maximum:
        ends = [*([minimum] if low == minimum else []), *([maximum] if high == maximum else [])]
        for end in ends:
            (first, last), others = measure(EDGE, end)
            share = (count - others) / count
            if _is_gap(end, first, last, share):
                return Levels(*_six(measure(wanted, end)[0]), end, share)
    return Levels(*_six(values))


def _six(values: list[float]) -> tuple[float, float, float, float, float, float]:
    low, high, minimum, maximum, wide_low, wide_high = values
    return low, high, minimum, maximum, wide_low, wide_high


def _is_gap(value: float, first: float, last: float, share: float) -> bool:
    """Return whether a value is far outside all others, which lie between ``first`` and ``last``."""
    if value == 0 and share > MOST_ZERO:
        return False
    distance = max(first - value, value - last)
    return last > first and distance > (FAR_ZERO if value == 0 else FAR) * (last - first)
