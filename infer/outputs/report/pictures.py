"""The pictures of a card: the whole image made smaller and, where its cells are then too small, a part in full size.

Each picture has two layers: the image as a person sees it, a JPEG, and the outlines of the cells, a PNG that is
transparent elsewhere.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ...images.memmap import Pixels
from ...labels.labels import Labels
from ...tiles.normalise import IntensityRanges
from ..encode import png
from ..overlay import OUTLINE, Picture, displayed, outline_pixels

THUMBNAIL = 512
"""About the largest side of a thumbnail in px."""
DETAIL = 384
"""Side of the part that is shown in full size, in px."""
SMALL = 16
"""Cells of a smaller diameter than this, in px of the thumbnail, need a part in full size."""
BRIGHT = 150
"""Pictures with a larger mean value, 0 to 255, get the dark outlines."""
DARK_OUTLINE = np.array((0, 60, 220), np.uint8)
"""The colour of outlines on bright pictures (red, green, blue)."""
QUALITY = 75
"""Of the JPEG files, 0 to 100."""
COMPRESSION = 4
"""Of the PNG files, 0 to 9; 6 takes up to three times as long and makes them an eighth smaller."""
Box = tuple[int, int, int, int]
"""First row, first column, last row + 1, last column + 1, in px of the image."""


class Thumbnail:
    """The whole image: every ``step`` rows and columns become one of the picture."""

    def __init__(self, shape: tuple[int, int], display: IntensityRanges) -> None:
        self.step = max(1, round(max(shape) / THUMBNAIL))
        self._display = display
        self._rows, self._columns = (middles(length, self.step) for length in shape)
        size = len(self._rows), len(self._columns)
        self._picture = np.zeros((*size, 3), np.uint8)
        self._labels = np.zeros(size, np.int32)
        self._waiting: Pixels = np.zeros((len(display), 0, shape[1]))
        """Pixels (C, n, X) of the last rows, which do not fill a row of the picture yet."""
        self._row = self._done = 0
        """Rows added of the image, and finished of the picture."""

    def rows(self, labels: Labels, pixels: Pixels) -> None:
        """Add the next rows: labels (n, X) int32 and pixels (C, n, X)."""
        inside = (self._rows >= self._row) & (self._rows < self._row + len(labels))
        self._labels[inside] = labels[self._rows[inside] - self._row][:, self._columns]
        self._row += len(labels)
        rows = np.concatenate([self._waiting, pixels], axis=1) if self._waiting.shape[1] else pixels
        full = rows.shape[1] - rows.shape[1] % self.step
        self._finish(rows[:, :full])
        self._waiting = rows[:, full:].copy()

    def layers(self) -> tuple[Picture, Labels]:
        """Return picture (Y, X, 3) and labels (Y, X) after all rows were added."""
        self._finish(self._waiting)
        self._waiting = self._waiting[:, :0]
        return self._picture, self._labels

    def _finish(self, rows: Pixels) -> None:
        """Add rows (C, n, X) to the picture that fill rows of it."""
        if rows.shape[1]:
            shown = displayed(block_means(rows, self.step), self._display)
            self._picture[self._done : self._done + len(shown)] = shown
            self._done += len(shown)


class Detail:
    """A part of the image, in full size."""

    def __init__(self, box: Box, display: IntensityRanges) -> None:
        self.box, self._display = box, display
        size = box[2] - box[0], box[3] - box[1]
        self._picture = np.zeros((*size, 3), np.uint8)
        self._labels = np.zeros(size, np.int32)
        self._row = 0

    def rows(self, labels: Labels, pixels: Pixels) -> None:
        """Add the next rows of the image: labels (n, X) int32 and pixels (C, n, X)."""
        top, left, bottom, right = self.box
        first, last = max(top, self._row), min(bottom, self._row + len(labels))
        if first < last:
            here, there = slice(first - self._row, last - self._row), slice(first - top, last - top)
            self._labels[there] = labels[here, left:right]
            self._picture[there] = displayed(pixels[:, here, left:right], self._display)
        self._row += len(labels)

    def layers(self) -> tuple[Picture, Labels]:
        """Return picture (Y, X, 3) and labels (Y, X) after all rows were added."""
        return self._picture, self._labels


def middles(length: int, step: int) -> npt.NDArray[np.intp]:
    """Return the middle of each block of ``step`` positions; the last block may be shorter.

    >>> middles(7, 3).tolist()
    [1, 4, 6]
    """
    return np.minimum(np.arange(-(-length // step)) * step + step // 2, length - 1)


def block_means(pixels: Pixels, step: int) -> npt.NDArray[np.float64]:
    """Return the means of blocks of ``step`` x ``step`` pixels (C, Y, X); the last ones may be smaller.

    NaN and infinite pixels are left out; a block without others is NaN.

    >>> block_means(np.array([[[0, 2, 9], [4, 6, np.nan]]]), 2)
    array([[[3., 9.]]])
    """
    return np.stack([_block_means(channel, step) for channel in pixels])


def _block_means(channel: npt.NDArray[np.generic], step: int) -> npt.NDArray[np.float64]:
    if step == 1:
        return channel.astype(np.float64)
    finite = np.isfinite(channel)
    if finite.all():
        rows, columns = (np.diff(np.append(np.arange(0, length, step), length)) for length in channel.shape)
        sums, counts = _block_sums(channel, step), np.outer(rows, columns).astype(np.float64)
    else:
        sums, counts = _block_sums(np.where(finite, channel, 0), step), _block_sums(finite, step)
    return np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)


def _block_sums(values: npt.NDArray[np.generic], step: int) -> npt.NDArray[np.float64]:
    """Return the sums; to add whole rows is faster than `numpy.add.reduceat` along them."""
    rows, columns = (range(0, length, step) for length in values.shape)
    added = np.stack([values[row : row + step].sum(axis=0, dtype=np.float64) for row in rows])
    sums: npt.NDArray[np.float64] = np.add.reduceat(added, columns, axis=1)
    return sums


def most_cells(centroids: npt.NDArray[np.float64], shape: tuple[int, int], side: int = DETAIL) -> Box:
    """Return the window of ``side`` x ``side`` px, half a side apart from the next, that holds most cells.

    centroids: (cells, 2), as in `CellTable`. Of equal windows it is the first. It ends at the border of the image.

    >>> most_cells(np.array([[3.0, 3.0], [40.0, 52.0], [41.0, 55.0]]), (100, 60), 20)
    (30, 40, 50, 60)
    """
    half = side // 2
    rows, columns = (max(2, -(-length // half)) for length in shape)
    halves = np.zeros((rows, columns), np.int64)
    np.add.at(halves, tuple((centroids // half).astype(np.intp).T), 1)
    windows = halves[:-1, :-1] + halves[1:, :-1] + halves[:-1, 1:] + halves[1:, 1:]
    row, column = np.unravel_index(int(windows.argmax()), windows.shape)
    top, left = (max(0, min(int(at) * half, length - side)) for at, length in zip((row, column), shape, strict=True))
    return top, left, min(top + side, shape[0]), min(left + side, shape[1])


def outlines_png(labels: Labels, picture: Picture) -> bytes:
    """Return a PNG file with the outlines of labels (Y, X), transparent elsewhere; dark ones on a bright picture.

    >>> outlines_png(np.zeros((4, 5), np.int32), np.zeros((4, 5, 3), np.uint8))[1:4]
    b'PNG'
    """
    colour = DARK_OUTLINE if picture.mean() > BRIGHT else OUTLINE
    layer = np.zeros((*labels.shape, 4), np.uint8)
    layer[outline_pixels(labels)] = (*colour[::-1], 255)
    return png(layer, COMPRESSION)
