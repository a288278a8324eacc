"""Histograms of the values of an image of 8 or 16 bits. Those of several parts of it are added to that of the whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from ..images.image import Image
from ..images.memmap import Pixels
from .channels import Sources
from .percentiles import Counts, histogram

ROWS = 256
"""Image rows that are read together."""
Count = Callable[[Image, Sequence[Sources]], Counts]
"""(image, inputs) -> what `count_values` returns for the whole image."""


def image_rows(image: Image, first: int = 0, last: int | None = None) -> Iterator[Pixels]:
    """Yield rows of the image from the top down as windows (C, `ROWS` or fewer, X); by default all rows.

    >>> from flowmask.images.image import ArrayImage
    >>> [rows.shape for rows in image_rows(ArrayImage(np.zeros((1, 300, 5))))]
    [(1, 256, 5), (1, 44, 5)]
    """
    _, height, width = image.shape
    end = height if last is None else last
    for top in range(first, end, ROWS):
        yield image.read(top, 0, min(top + ROWS, end), width)


def countable(image: Image) -> bool:
    """Return whether the image has 8 or 16 bits, so that each of its values has a bin.

    >>> from flowmask.images.image import ArrayImage
    >>> countable(ArrayImage(np.zeros((1, 3, 5), np.uint16))), countable(ArrayImage(np.zeros((1, 3, 5), np.float32)))
    (True, False)
    """
    return image.dtype in (np.uint8, np.uint16)


def count_values(image: Image, inputs: Sequence[Sources], first: int = 0, last: int | None = None) -> Counts:
    """Return (inputs, bins) int64: how often each of the sums 0, 1, 2, ... of the source channels of an input occurs.

    image: of 8 or 16 bits; first, last: rows to count, the last excluded; by default all rows.

    >>> from flowmask.images.image import ArrayImage
    >>> image = ArrayImage(np.array([[[0, 2]], [[1, 2]]], np.uint8))
    >>> count_values(image, [(0,), (0, 1)])[:, :5].tolist()
    [[1, 0, 1, 0, 0], [0, 1, 0, 0, 1]]
    """
    counts = np.zeros((len(inputs), max(map(len, inputs)) * 256**image.dtype.itemsize), np.int64)
    for rows in image_rows(image, first, last):
        for index, sources in enumerate(inputs):
            if len(sources) == 1:
                found = histogram(rows[sources[0]])
            else:
                found = np.bincount(rows[list(sources)].sum(axis=0, dtype=np.int64).ravel())
            counts[index, : len(found)] += found
    return counts
