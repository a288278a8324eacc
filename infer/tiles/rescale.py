"""The map between source pixels and network pixels, along each axis apart.

Pixel centres of an axis of n source and m network pixels are related by (s + 0.5) / n = (t + 0.5) / m, and values
between them are interpolated linearly with the border repeated: what ``cv2.resize`` with ``INTER_LINEAR`` does,
computed so that a window of the resized image equals the resized window, bit for bit.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..images.image import Image
from .channels import ChannelMap
from .normalise import Array, IntensityRanges, mix, normalise


def network_length(length: int, scale: float) -> int:
    """Return the number of network pixels of an axis: truncated, as in Cellpose, but at least 1."""
    return max(1, int(length * scale))


def positions(start: int, stop: int, length: int, other: int) -> npt.NDArray[np.float64]:
    """Return where the pixels start..stop-1 of an axis of ``length`` lie on the same axis in ``other`` pixels.

    Float64 positions, clamped to the first and the last pixel.
    """
    at = (np.arange(start, stop) + 0.5) * (other / length) - 0.5
    clamped: npt.NDArray[np.float64] = np.clip(at, 0, other - 1)
    return clamped


class NormalisedView:
    """The normalised image at network resolution, read by window; nothing is kept between reads."""

    def __init__(self, image: Image, channels: ChannelMap, ranges: IntensityRanges, scale: float) -> None:
        _, height, width = image.shape
        self._image = image
        distinct = list(dict.fromkeys(channels))
        self._channels = tuple(distinct)
        self._ranges = ranges[[channels.index(sources) for sources in distinct]]
        self._inputs = [distinct.index(sources) for sources in channels]
        """For each input of the network its place among those that differ: the others need not be computed."""
        self.shape = (network_length(height, scale), network_length(width, scale))
        """(Y, X) in network pixels."""

    def read(self, top: int, left: int, bottom: int, right: int) -> Array:
        """Return the window (C, bottom - top, right - left) float32; 0 where it lies outside the image."""
        _, height, width = self._image.shape
        inner = (max(top, 0), max(left, 0), min(bottom, self.shape[0]), min(right, self.shape[1]))
        window = np.zeros((len(self._inputs), bottom - top, right - left), np.float32)
        if inner[0] >= inner[2] or inner[1] >= inner[3]:
            return window
        rows = positions(inner[0], inner[2], self.shape[0], height)
        columns = positions(inner[1], inner[3], self.shape[1], width)
        y0, x0 = int(rows[0]), int(columns[0])
        y1, x1 = min(int(rows[-1]) + 2, height), min(int(columns[-1]) + 2, width)
        source = normalise(mix(self._image.read(y0, x0, y1, x1), self._channels), self._ranges)
        resized = _interpolate(_interpolate(source, rows - y0, 1), columns - x0, 2)
        part = window[:, inner[0] - top : inner[2] - top, inner[1] - left : inner[3] - left]
        for index, own in enumerate(self._inputs):
            part[index] = resized[own]
        return window


def _interpolate(values: Array, at: npt.NDArray[np.float64], axis: int) -> Array:
    """Interpolate (C, Y, X) linearly at the positions along one axis."""
    below = at.astype(np.int64)
    if np.array_equal(at, below):
        if below[-1] - below[0] == len(below) - 1:  # the scale is 1
            return values[:, below[0] : below[-1] + 1] if axis == 1 else values[:, :, below[0] : below[-1] + 1]
        return np.take(values, below, axis)
    above = np.minimum(below + 1, values.shape[axis] - 1)
    shape = (-1, 1) if axis == 1 else (1, -1)
    weight = (at - below).astype(np.float32).reshape(shape)
    blended: Array = np.take(values, below, axis) * (1 - weight) + np.take(values, above, axis) * weight
    return blended
