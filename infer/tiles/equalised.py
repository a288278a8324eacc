"""The equalised image at network resolution: clipped at a high percentile, scaled to 0 to 1, and treated with CLAHE.

This is the preprocessing of Mesmer (Greenwald et al. 2022, doi:10.1038/s41587-021-01094-0): ``percentile_threshold``
and ``histogram_normalization`` of the package deepcell-toolbox. What needs the whole image is found first, by reading
it in windows: for each input a percentile, the smallest value, the mappings of CLAHE and the range of its result.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from ..images.image import Image
from ..network.contract import Clahe
from .channels import ChannelMap, Sources
from .clahe import Counts, GreyLevels, bin_of_level, count_bins, equalise, mappings_of, region_pixels
from .constants import BINS
from .normalise import Array
from .percentiles import of_floats
from .rescale import NormalisedView
from .view import Equalisation

WINDOW = (256, 4096)
"""Most rows and columns, in network pixels, that are read together."""


class EqualisedView:
    """The equalised image at network resolution; each call of `read` computes a window from the image."""

    def __init__(
        self, image: Image, channels: ChannelMap, scale: float, equalisations: tuple[Equalisation | None, ...]
    ) -> None:
        """equalisations: one for each distinct network input; None for an input that is 0."""
        distinct = list(dict.fromkeys(channels))
        self._inputs = [distinct.index(sources) for sources in channels]
        """For each network input its index in `_views`."""
        self._views = [_original(image, sources, scale) for sources in distinct]
        # Arrays that come from another process can be read-only, which the kernels refuse.
        self._equalisations = [
            found and replace(found, mappings=np.require(found.mappings, requirements=["C", "W"]))
            for found in equalisations
        ]
        self.shape = self._views[0].shape
        """(Y, X) in network pixels."""

    def read(self, top: int, left: int, bottom: int, right: int) -> Array:
        """Return the window (inputs, bottom - top, right - left) float32, in network pixels; 0 outside the image."""
        window = np.zeros((len(self._inputs), bottom - top, right - left), np.float32)
        y0, x0, y1, x1 = max(top, 0), max(left, 0), min(bottom, self.shape[0]), min(right, self.shape[1])
        if y0 >= y1 or x0 >= x1:
            return window
        part = window[:, y0 - top : y1 - top, x0 - left : x1 - left]
        for index, (view, found) in enumerate(zip(self._views, self._equalisations, strict=True)):
            if found is not None:
                equalised = _equalised(view.read(y0, x0, y1, x1)[0], found, y0, x0).astype(np.float32)
                equalised -= np.float32(found.darkest)
                equalised /= np.float32(found.brightest - found.darkest)
                part[[at for at, distinct in enumerate(self._inputs) if distinct == index]] = equalised
        return window


def find_equalisation(image: Image, sources: Sources, scale: float, clahe: Clahe) -> Equalisation | None:
    """Return how the mean of the channels ``sources`` is equalised, None if it is constant.

    >>> from flowmask.images.image import ArrayImage
    >>> halves = np.repeat([2.0, 6.0], 64 * 128).reshape(1, 128, 128)
    >>> found = find_equalisation(ArrayImage(halves), (0,), 1.0, Clahe())
    >>> found.low, found.span, found.darkest  # the last one as in `flowmask.tiles.clahe.mappings_of`
    (2.0, 4.0, 162)
    """

    def not_zero() -> Iterator[Array]:
        for _, _, values in _windows(view):
            yield values[values != 0]

    view = _original(image, sources, scale)
    high = float(np.float32(of_floats(not_zero, np.float32, [clahe.percentile])[0]))
    low = min(high, *(float(values.min()) for _, _, values in _windows(view)))
    if not 0 < high - low < np.finfo(np.float32).max:
        return None
    mappings = _mappings(view, low, high - low, clahe.kernel)
    unscaled = Equalisation(low, high - low, clahe.kernel, mappings, darkest=0, brightest=1)
    ends: set[int] = set()
    for top, left, values in _windows(view):
        equalised = _equalised(values, unscaled, top, left)
        ends |= {int(equalised.min()), int(equalised.max())}
    return replace(unscaled, darkest=min(ends), brightest=max(ends)) if len(ends) > 1 else None


def _original(image: Image, sources: Sources, scale: float) -> NormalisedView:
    """Return one network input at network resolution with the values of the image; NaN and infinite ones become 0."""
    return NormalisedView(image, (sources,), np.array([[0.0, 1.0]]), scale)


def _windows(view: NormalisedView) -> Iterator[tuple[int, int, Array]]:
    """Yield (top, left, values (Y, X) float32): windows that cover a view of one input."""
    height, width = view.shape
    for top in range(0, height, WINDOW[0]):
        for left in range(0, width, WINDOW[1]):
            yield top, left, view.read(top, left, min(top + WINDOW[0], height), min(left + WINDOW[1], width))[0]


def _mappings(view: NormalisedView, low: float, span: float, side: int) -> GreyLevels:
    """Return the mappings of all regions; a row of regions is read in windows of whole regions."""
    rows, columns = (region_pixels(length, side) for length in view.shape)
    found = np.empty((len(rows) // side, len(columns) // side, BINS), np.uint16)
    step = max(1, WINDOW[1] // side)
    for row in range(len(found)):
        for first in range(0, found.shape[1], step):
            last = min(first + step, found.shape[1])
            values = _mirrored(view, rows[row * side : (row + 1) * side], columns[first * side : last * side])
            counts = np.zeros((last - first, BINS), np.int64)
            count_bins(values, bin_of_level(), low, span, side, counts)
            found[row, first:last] = mappings_of(counts, side)
    return found


def _mirrored(view: NormalisedView, rows: Counts, columns: Counts) -> Array:
    """Return the pixels at these rows and columns of a view of one input, (rows, columns) float32."""
    top, left = rows.min(), columns.min()
    values = view.read(int(top), int(left), int(rows.max()) + 1, int(columns.max()) + 1)[0]
    return np.ascontiguousarray(values[rows - top][:, columns - left])


def _equalised(values: Array, found: Equalisation, top: int, left: int) -> GreyLevels:
    """Return the equalised levels (Y, X) uint16 of a window that begins at (top, left)."""
    equalised = np.empty(values.shape, np.uint16)
    values = np.ascontiguousarray(values)
    equalise(values, bin_of_level(), found.low, found.span, found.mappings, found.side, top, left, equalised)
    return equalised
