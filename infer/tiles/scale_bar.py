"""Find scale bars that were drawn into an image: black or white rectangles with hard edges.

A saturated cell is no rectangle, and its edges rise over several px. The pixels around a drawn bar are all far from its
value. In a file that was JPEG, the values of
a bar differ by a few grey levels. Of 869 labelled images of 27 sources none has such a rectangle, nor has any of 756
images, and JPEG files of them, of 26 sources. Text is mostly drawn with smoothed edges and
cannot be told from cells, but it mostly stands beside a bar.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce

import cv2
import numpy as np
import numpy.typing as npt

from ..images.image import Image
from ..images.memmap import Pixels
from .counts import ROWS, image_rows

Boxes = npt.NDArray[np.int32]
VALUES = 0, 255
"""The grey levels of bars: black and white."""
CLOSE, FILLED = 40, 0.95
"""JPEG changes a bar by up to this many grey levels, and its edge; it still fills this part of its box."""
LARGEST = 25_000_000
"""Larger images are slides, into which nobody draws."""
SHORTEST, SLIMMEST = 20, 3
"""Least length of a bar in px, and least ratio of its sides."""
LINES = np.ones((1, SHORTEST), np.uint8), np.ones((SHORTEST, 1), np.uint8)
"""A bar contains one of these."""
REACH, LEAST_RANGE = 1 / 3, 30
"""A pixel is near if it differs from the bar by less than this part of the range of grey levels, of at least 30."""
MOST_NEAR = 0.05
"""Largest share of the edge of a bar that has near neighbours."""
AROUND = np.ones((3, 3), np.uint8)


def find_scale_bars(image: Image, span: float, values: Sequence[int] = VALUES) -> Boxes:
    """Return the bounding boxes (n, 4) int32 (top, left, bottom, right) of scale bars in an image of 8 bits.

    span: the range of grey levels. values: those of `VALUES` that occur in all channels; without any, no pixel is read.
    Larger images, and those of another type or with more than three channels, have none. A bar that touches the border
    of the image is none.

    >>> from flowmask.images.image import ArrayImage
    >>> pixels = np.full((1, 50, 60), 90, np.uint8)
    >>> pixels[0, 40:44, 10:30] = 255
    >>> find_scale_bars(ArrayImage(pixels), 100.0)
    array([[40, 10, 44, 30]], dtype=int32)
    """
    channels, height, width = image.shape
    found = np.zeros((0, 4), np.int32)
    if not values or image.dtype != np.uint8 or channels > 3 or math.prod(image.shape[1:]) > LARGEST:
        return found
    for number, rows in enumerate(image_rows(image)):
        for value in values:
            reach = REACH * max(span, LEAST_RANGE)
            boxes = _hard_rectangles(rows, value, reach)
            if not len(boxes):
                boxes = _hard_rectangles(rows, value, CLOSE + reach, CLOSE)
            boxes[:, ::2] += number * ROWS
            found = np.concatenate([found, boxes])
    inside = (found[:, :2] > 0).all(axis=1) & (found[:, 2] < height) & (found[:, 3] < width)
    return found[inside]


def _within(rows: Pixels, low: int, high: int) -> npt.NDArray[np.uint8]:
    """Return (Y, X) uint8: 1 where the pixels of rows (C, Y, X) uint8 are from low to high in all channels, else 0.

    OpenCV compares one channel after the other. A maximum over the channels of a picture in colour, whose three values
    of a pixel are next to each other, takes NumPy some twenty times as long.

    >>> _within(np.array([[[0, 5, 255]], [[9, 5, 250]]], np.uint8), 5, 300)
    array([[0, 1, 1]], dtype=uint8)
    """
    ends = max(low, 0), min(high, 255)
    inside = reduce(cv2.bitwise_and, (cv2.inRange(np.ascontiguousarray(channel), *ends) for channel in rows))
    return (inside > 0).astype(np.uint8)


def _hard_rectangles(rows: Pixels, value: int, reach: float, close: int = 0) -> Boxes:
    """Return the boxes in rows (C, n, X) of slim rectangles with hardly a neighbour within ``reach``.

    close: how far their pixels may be from the value; then the edges need not be straight.
    """
    flat = _within(rows, value - close, value + close)
    if not any(cv2.erode(flat, line).any() for line in LINES):  # quicker than the components
        return np.zeros((0, 4), np.int32)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(flat, connectivity=8)
    left, top, width, height, area = stats.T
    slim = np.maximum(width, height) >= np.maximum(SHORTEST, SLIMMEST * np.minimum(width, height))
    bars = (area >= (FILLED if close else 1) * width * height) & slim
    bars[0] = False
    if not bars.any():
        return np.zeros((0, 4), np.int32)
    distance = np.abs(rows.astype(np.float32).mean(axis=0) - value)
    near = ((distance <= reach) & (flat == 0)).astype(np.uint8)
    edge, beside = (np.logical_and(cv2.dilate(outside, AROUND), flat) for outside in (1 - flat, near))
    edges, besides = (np.bincount(labels[mask], minlength=count) for mask in (edge, beside))
    bars &= besides <= MOST_NEAR * edges
    boxes: Boxes = np.stack([top, left, top + height, left + width], axis=1)[bars].astype(np.int32)
    return boxes
