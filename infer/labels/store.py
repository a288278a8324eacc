"""Rows of labels in a temporary file until the whole image is labelled, compressed as in the final label file."""

from __future__ import annotations

import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..system.write_errors import output_error
from .labels import Boxes, Labels, label_type

Integers = npt.NDArray[np.integer]
Width = type[np.integer]
"""np.int16, np.uint16 or np.int32."""
STRIP = 64
"""Rows that are compressed together; one strip of the TIFF file."""
LEVEL = 3
"""Compression level of zlib. Level 4 takes twice the time for files that are a tenth smaller."""


def pack(strip: Integers, dtype: Width) -> bytes:
    """Return a strip of labels (n, X) as zlib-compressed little-endian integers of ``dtype``.

    >>> zlib.decompress(pack(np.array([[1, 2]]), np.int16)).hex(" ")
    '01 00 02 00'
    """
    return zlib.compress(strip.astype(np.dtype(dtype).newbyteorder("<")).tobytes(), LEVEL)


def unpack(packed: bytes, dtype: Width, width: int) -> Integers:
    """Return the labels (n, width) of a strip that `pack` made with the same ``dtype``, at most `STRIP` rows.

    >>> unpack(pack(np.array([[1, 2], [0, 2]]), np.int16), np.int16, 2).tolist()
    [[1, 2], [0, 2]]
    """
    import imagecodecs  # its import takes longer than opening an image that needs no codec

    strip = imagecodecs.deflate_decode(packed, out=STRIP * width * np.dtype(dtype).itemsize)
    return np.frombuffer(strip, dtype).reshape(-1, width)


class LabelStore:
    """The labels of one image of ``shape`` (Y, X), added from the top down; a context manager.

    The labels are in a temporary file without a name in ``folder``. Raises OutputError if the folder cannot be
    written or is full.
    """

    def __init__(self, folder: Path, shape: tuple[int, int]) -> None:
        self._folder = folder
        try:
            # Unbuffered, so that a full disk raises an error in append and not when the file is closed.
            self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 (closed by __exit__)
        except OSError as error:
            raise output_error(folder, folder, error) from error
        self.shape = shape
        self._waiting: list[Labels] = []
        """Rows that do not fill a strip yet."""
        self._stored: list[tuple[int, Width]] = []
        """Number of compressed bytes, and dtype, of each strip in the file."""
        self._height = 0
        """Number of rows added."""
        self.cells = 0
        """Number of cells in the rows added."""

    def __enter__(self) -> LabelStore:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def append(self, rows: Labels) -> None:
        """Add the next rows (n, X) int32. Raises OutputError if the disk is full."""
        self.cells = max(self.cells, int(rows.max(initial=0)))
        self._height += len(rows)
        self._waiting.append(rows)
        complete = self._height == self.shape[0]
        if complete or sum(map(len, self._waiting)) >= STRIP:
            joined = np.concatenate(self._waiting)
            last = len(joined) if complete else len(joined) - len(joined) % STRIP
            for top in range(0, last, STRIP):
                self._store(joined[top : top + STRIP])
            self._waiting = [joined[last:]]

    def strips(self, dtype: Width) -> Iterator[bytes]:
        """Yield the strips from the top down, compressed as ``dtype``. Call it when all rows have been added."""
        for packed, stored in self._read():
            same = np.dtype(stored).itemsize == np.dtype(dtype).itemsize  # ids that fit have the same bytes
            yield packed if same else pack(unpack(packed, stored, self.shape[1]), dtype)

    def rows(self) -> Iterator[Integers]:
        """Yield the strips (n, X), uint16 or int32, from the top down. Call it when all rows have been added."""
        for packed, stored in self._read():
            yield unpack(packed, stored, self.shape[1])

    def boxes(self) -> Boxes:
        """Return (cells, 4) int32 (top, left, bottom, right) in px, ends excluded, of the ids 1..cells.

        Reads the rows again. Call it when all rows have been added.
        """
        from .measure import measure  # without compiled kernels this import takes longer than opening an image

        boxes, areas, top = np.zeros((self.cells, 4), np.int32), np.zeros(self.cells, np.int64), 0
        for rows in self.rows():
            measure(np.ascontiguousarray(rows, np.int32), top, boxes, areas)
            top += len(rows)
        return boxes

    def _store(self, strip: Labels) -> None:
        dtype = label_type(self.cells)
        packed = pack(strip, dtype)
        unwritten = memoryview(packed)
        try:
            while unwritten:
                unwritten = unwritten[self._file.write(unwritten) :]
        except OSError as error:
            raise output_error(self._folder, self._folder, error) from error
        self._stored.append((len(packed), dtype))

    def _read(self) -> Iterator[tuple[bytes, Width]]:
        self._file.seek(0)
        for size, dtype in self._stored:
            yield self._file.read(size), dtype
