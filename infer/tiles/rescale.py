"""Rescaling between source pixels (of the image) and network pixels, along each axis separately.

On an axis of n source pixels and m network pixels, the positions s and t of the same point satisfy
(s + 0.5) / n = (t + 0.5) / m. Values are interpolated linearly and the border is repeated, as in ``cv2.resize`` with
``INTER_LINEAR``. Positions count from the top left of the whole image, so any window of the rescaled image has the
same values, bit for bit, as that part of the whole rescaled image.
"""

from __future__ import annotations

from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt

from ..images.image import Image
from ..images.memmap import Pixels
from .channels import ChannelMap
from .normalise import Array, IntensityRanges, mix, normalise


def network_length(length: int, scale: float) -> int:
    """Return ``length`` source pixels in network pixels: truncated to an integer, as in Cellpose, and at least 1.

    >>> network_length(100, 0.255), network_length(3, 0.1)
    (25, 1)
    """
    return max(1, int(length * scale))


def positions(start: int, stop: int, length: int, other: int) -> npt.NDArray[np.float64]:
    """Return the positions of the pixels start..stop-1 on the same axis at another resolution, (stop - start,) float64.

    The axis has ``length`` pixels at the given resolution and ``other`` pixels at the other one. Positions beyond the
    first or the last pixel are set to that pixel.

    >>> positions(0, 4, 4, 2)
    array([0.  , 0.25, 0.75, 1.  ])
    """
    at = (np.arange(start, stop) + 0.5) * (other / length) - 0.5
    clamped: npt.NDArray[np.float64] = np.clip(at, 0, other - 1)
    return clamped


class View(Protocol):
    """The image as the network gets it, at network resolution."""

    shape: tuple[int, int]
    """(Y, X) in network pixels."""

    def read(self, top: int, left: int, bottom: int, right: int) -> Array:
        """Return the window (inputs, bottom - top, right - left) float32, in network pixels; 0 outside the image."""
        ...


class NormalisedView:
    """The normalised image at network resolution; each call of `read` computes a window from the image.

    scale: network pixels per source pixel.
    """

    def __init__(self, image: Image, channels: ChannelMap, ranges: IntensityRanges, scale: float) -> None:
        _, height, width = image.shape
        self._image = image
        distinct = list(dict.fromkeys(channels))  # inputs with the same source channels are computed once
        self._channels = tuple(distinct)
        self._ranges = ranges[[channels.index(sources) for sources in distinct]]
        self._inputs = [distinct.index(sources) for sources in channels]
        """For each network input its index in `_channels`."""
        self._tables = _tables(image, self._channels, self._ranges)
        self.shape = (network_length(height, scale), network_length(width, scale))
        """(Y, X) in network pixels."""

    def _normalised(self, pixels: Pixels) -> Array:
        """Return the distinct inputs (n, Y, X) float32 of source pixels (C, Y, X)."""
        if self._tables is None:
            return normalise(mix(pixels, self._channels), self._ranges)
        inputs = np.zeros((len(self._channels), *pixels.shape[1:]), np.float32)
        for index, sources in enumerate(self._channels):
            if sources:
                inputs[index] = cv2.LUT(pixels[sources[0]], self._tables[index])
        return inputs

    def read(self, top: int, left: int, bottom: int, right: int) -> Array:
        """Return the window (inputs, bottom - top, right - left) float32, in network pixels; 0 outside the image."""
        _, height, width = self._image.shape
        inner = (max(top, 0), max(left, 0), min(bottom, self.shape[0]), min(right, self.shape[1]))
        window = np.zeros((len(self._inputs), bottom - top, right - left), np.float32)
        if inner[0] >= inner[2] or inner[1] >= inner[3]:
            return window
        rows = positions(inner[0], inner[2], self.shape[0], height)
        columns = positions(inner[1], inner[3], self.shape[1], width)
        y0, x0 = int(rows[0]), int(columns[0])
        y1, x1 = min(int(rows[-1]) + 2, height), min(int(columns[-1]) + 2, width)
        source = self._normalised(self._image.read(y0, x0, y1, x1))
        resized = interpolate(interpolate(source, rows - y0, 1), columns - x0, 2)
        part = window[:, inner[0] - top : inner[2] - top, inner[1] - left : inner[3] - left]
        for index, distinct in enumerate(self._inputs):
            part[index] = resized[distinct]
        return window


def _tables(image: Image, channels: ChannelMap, ranges: IntensityRanges) -> Array | None:
    """Return the normalised value (inputs, 256) float32 of each grey level; None if the image does not have 8 bits."""
    if image.dtype != np.uint8 or any(len(sources) > 1 for sources in channels):
        return None
    greys = np.broadcast_to(np.arange(256, dtype=np.uint8), (image.shape[0], 1, 256))
    return normalise(mix(greys, channels), ranges)[:, 0]


def interpolate(values: Array, at: npt.NDArray[np.float64], axis: int) -> Array:
    """Return (C, Y, X) float32 values interpolated linearly at the positions ``at`` along axis 1 or 2.

    >>> interpolate(np.array([[[0, 8]]], np.float32), np.array([0, 0.25, 0.75, 1]), 2)
    array([[[0., 2., 6., 8.]]], dtype=float32)
    """
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
