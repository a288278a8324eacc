"""Rows of labels kept on disk, compressed as the label file has them, until the whole image is known."""

from __future__ import annotations

import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..errors import OutputError
from .labels import INT16_CELLS, Boxes, Labels

Integers = npt.NDArray[np.signedinteger]
Width = type[np.signedinteger]
STRIP = 64
"""Rows that are compressed together."""
LEVEL = 4


def pack(strip: Integers, dtype: Width) -> bytes:
    """Compress a strip with zlib, little-endian."""
    return zlib.compress(strip.astype(np.dtype(dtype).newbyteorder("<")).tobytes(), LEVEL)


class LabelStore:
    """Labels of ``shape`` that come from the top down, in a nameless file of a folder; a context manager.

    Raises OutputError when the folder cannot take them.
    """

    def __init__(self, folder: Path, shape: tuple[int, int]) -> None:
        self._folder = folder
        try:
            # Unbuffered: what does not fit is refused when it is written, not when the file is closed.
            self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 (closed by __exit__)
        except OSError as error:
            raise self._refusal(error) from error
        self.shape = shape
        self._waiting: list[Labels] = []
        self._stored: list[tuple[int, Width]] = []
        """Compressed bytes and type of each strip."""
        self._boxes = np.zeros((0, 4), np.int32)
        self._areas = np.zeros(0, np.int64)
        self._height = 0
        self.cells = 0

    def __enter__(self) -> LabelStore:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def append(self, rows: Labels) -> None:
        """Add rows (n, X) int32 below."""
        from .measure import measure  # where nothing is compiled ahead, this takes longer than opening an image

        self.cells = max(self.cells, int(rows.max(initial=0)))
        if self.cells > len(self._areas):
            grown = 2 * self.cells
            self._boxes = np.concatenate([self._boxes, np.zeros((grown - len(self._areas), 4), np.int32)])
            self._areas = np.concatenate([self._areas, np.zeros(grown - len(self._areas), np.int64)])
        measure(rows, self._height, self._boxes, self._areas)
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
        """Yield the strips from the top down, compressed as ``dtype``; once all rows are there."""
        for packed, stored in self._read():
            yield packed if stored is dtype else pack(np.frombuffer(zlib.decompress(packed), stored), dtype)

    def rows(self) -> Iterator[Integers]:
        """Yield the strips from the top down, (`STRIP` or what is left, X); once all rows are there."""
        for packed, stored in self._read():
            yield np.frombuffer(zlib.decompress(packed), stored).reshape(-1, self.shape[1])

    @property
    def boxes(self) -> Boxes:
        """(cells, 4) int32 (top, left, bottom, right; ends excluded) of the ids 1..cells."""
        return self._boxes[: self.cells]

    def _store(self, strip: Labels) -> None:
        dtype = np.int16 if self.cells <= INT16_CELLS else np.int32
        packed = pack(strip, dtype)
        left = memoryview(packed)
        try:
            while left:
                left = left[self._file.write(left) :]
        except OSError as error:
            raise self._refusal(error) from error
        self._stored.append((len(packed), dtype))

    def _read(self) -> Iterator[tuple[bytes, Width]]:
        self._file.seek(0)
        for size, dtype in self._stored:
            yield self._file.read(size), dtype

    def _refusal(self, error: OSError) -> OutputError:
        return OutputError(f"{self._folder}: it cannot be written ({error.strerror}); check the folder and its space.")
