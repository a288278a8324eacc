"""Smaller versions of an image and its labels, cut into tiles, in a temporary file that is removed by itself.

At level ``step`` a pixel of the image is the mean of ``step`` x ``step`` pixels, and the labels are those of every
``step``-th row and column. Full size, and half the size of the image, are read from the image file itself; what is
smaller is made once, from the top down, when the image is opened.
"""

from __future__ import annotations

import tempfile
import zlib
from collections.abc import Callable
from threading import Lock
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from ..images.memmap import Pixels
from ..labels.labels import Labels
from ..outputs.report.pictures import block_means
from ..system.write_errors import no_temporary_room
from .refused import Refused

TILE = 256
"""Side of a tile in px."""
Array = npt.NDArray[Any]


def level_shape(shape: tuple[int, int], step: int) -> tuple[int, int]:
    """Return the size (Y, X) of a level of an image.

    >>> level_shape((1000, 1001), 4)
    (250, 251)
    """
    return -(-shape[0] // step), -(-shape[1] // step)


def coarsest(shape: tuple[int, int]) -> int:
    """Return the step of the first level that fits into one tile.

    >>> coarsest((256, 256)), coarsest((257, 10)), coarsest((40_000, 40_000))
    (1, 2, 256)
    """
    step = 1
    while max(level_shape(shape, step)) > TILE:
        step *= 2
    return step


class TileFile:
    """Encoded tiles in a temporary file without a name. Several threads may read."""

    def __init__(self) -> None:
        """Raises OutputError if the folder for temporary files cannot be written."""
        try:
            self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 (closed with the object)
        except OSError as error:
            raise no_temporary_room(error) from error
        self._lock = Lock()
        """Held while the position in the file is used."""
        self._places: dict[tuple[int, int, int], tuple[int, int]] = {}
        self._end = 0

    def put(self, step: int, row: int, column: int, data: bytes) -> None:
        """Add a tile. Raises OutputError if the disk is full."""
        unwritten = memoryview(data)
        with self._lock:
            try:
                self._file.seek(self._end)
                while unwritten:
                    unwritten = unwritten[self._file.write(unwritten) :]
            except OSError as error:
                raise no_temporary_room(error) from error
            self._places[step, row, column] = self._end, len(data)
            self._end += len(data)

    def get(self, step: int, row: int, column: int) -> bytes:
        """Return a tile. Raises Refused if there is none."""
        if (step, row, column) not in self._places:
            raise Refused("outside of the level")
        start, length = self._places[step, row, column]
        with self._lock:
            self._file.seek(start)
            return self._file.read(length)


class Pyramid:
    """Takes the rows of the level ``step`` from the top down, and cuts this level and the smaller ones into tiles."""

    def __init__(
        self,
        tiles: TileFile,
        shape: tuple[int, int],
        step: int,
        encode: Callable[[Array], bytes],
        halve: Callable[[Array], Array],
    ) -> None:
        """shape: (Y, X) of the image. encode: a tile (y, x, ...) -> bytes. halve: rows -> those of the next level."""
        self._tiles, self._step, self._encode, self._halve = tiles, step, encode, halve
        self._height = level_shape(shape, step)[0]
        self._held: Array | None = None
        """The last rows, (`TILE`, X, ...), of which ``_filled`` are there: not yet a row of tiles."""
        self._filled = self._done = 0
        self._next = None if step >= coarsest(shape) else Pyramid(tiles, shape, 2 * step, encode, halve)

    def add(self, rows: Array) -> None:
        """Add the next rows (n, X, ...) of the level; n divides `TILE` unless they are the last ones."""
        if self._held is None:
            self._held = np.empty((TILE, *rows.shape[1:]), rows.dtype)
        self._held[self._filled : self._filled + len(rows)] = rows
        self._filled += len(rows)
        if self._filled == TILE or self._done + self._filled == self._height:
            self._cut(self._held[: self._filled])
            self._filled = 0

    def _cut(self, rows: Array) -> None:
        """Store a row of tiles."""
        for left in range(0, rows.shape[1], TILE):
            tile = np.ascontiguousarray(rows[:, left : left + TILE])
            self._tiles.put(self._step, self._done // TILE, left // TILE, self._encode(tile))
        self._done += len(rows)
        if self._next:
            self._next.add(self._halve(rows))


def every_second(labels: Labels) -> Labels:
    """Return every second row and column of labels.

    >>> every_second(np.array([[1, 2, 3], [4, 5, 6]], np.int32)).tolist()
    [[1, 3]]
    """
    return labels[::2, ::2]


def reduced(pixels: Pixels, step: int) -> Pixels:
    """Return the means of blocks of ``step`` x ``step`` pixels (C, Y, X); integers of 8 and 16 bits are rounded.

    Blocks at the lower and right border may be smaller.

    >>> reduced(np.array([[[0, 2, 9], [4, 6, 11]]], np.uint8), 2).tolist()
    [[[3, 10]]]
    """
    if step == 1:
        return pixels
    if pixels.dtype not in (np.uint8, np.uint16):
        return block_means(pixels, step)
    channels, height, width = pixels.shape
    edges = [(0, -height % step), (0, -width % step)]
    size = (width + edges[1][1]) // step, (height + edges[0][1]) // step
    found = np.empty((channels, size[1], size[0]), pixels.dtype)
    for channel, small in zip(pixels, found, strict=True):
        whole = np.pad(channel, edges, "edge") if any(after for _, after in edges) else np.ascontiguousarray(channel)
        small[...] = cv2.resize(np.asarray(whole, pixels.dtype), size, interpolation=cv2.INTER_AREA)
    return found


def halved_picture(picture: Array) -> Array:
    """Return the means of blocks of 2 x 2 pixels of a picture (Y, X, 3) uint8.

    >>> halved_picture(np.full((3, 4, 3), 7, np.uint8)).shape
    (2, 2, 3)
    """
    return np.ascontiguousarray(reduced(picture.transpose(2, 0, 1), 2).transpose(1, 2, 0))


def packed(labels: Labels) -> bytes:
    """Return a tile of labels, compressed.

    >>> unpacked(packed(np.array([[7, 0]], np.int32)), (1, 2)).tolist()
    [[7, 0]]
    """
    return zlib.compress(np.ascontiguousarray(labels, np.int32).tobytes(), 1)


def unpacked(data: bytes, shape: tuple[int, int]) -> Labels:
    """Return the tile (Y, X) int32 of labels that `packed` compressed; the example is there.

    >>> unpacked(packed(np.array([[7], [0]], np.int32)), (2, 1)).tolist()
    [[7], [0]]
    """
    return np.frombuffer(zlib.decompress(data), np.int32).reshape(shape)
