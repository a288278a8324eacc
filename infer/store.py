"""Rows of labels kept on disk, compressed, until the whole image is known."""

from __future__ import annotations

import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from infer.errors import OutputError
from infer.flows import Labels
from infer.masks import Boxes, measure

LEVEL = 1


class LabelStore:
    """Labels (Y, X) int32 that come from the top down, in a nameless file of a folder; a context manager.

    Raises OutputError when the folder cannot take them.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        try:
            self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 (closed by __exit__)
        except OSError as error:
            raise self._refusal(error) from error
        self._chunks: list[tuple[int, int, int]] = []
        self._boxes = np.zeros((0, 4), np.int32)
        self._areas = np.zeros(0, np.int64)
        self.height = 0
        self.cells = 0

    def __enter__(self) -> LabelStore:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def append(self, rows: Labels) -> None:
        """Add rows (n, X) int32 below."""
        self.cells = max(self.cells, int(rows.max(initial=0)))
        if self.cells > len(self._areas):
            grown = 2 * self.cells
            self._boxes = np.concatenate([self._boxes, np.zeros((grown - len(self._areas), 4), np.int32)])
            self._areas = np.concatenate([self._areas, np.zeros(grown - len(self._areas), np.int64)])
        measure(rows, self.height, self._boxes, self._areas)
        packed = zlib.compress(rows.astype(np.int32).tobytes(), LEVEL)
        try:
            self._file.write(packed)
        except OSError as error:
            raise self._refusal(error) from error
        self._chunks.append((len(packed), *rows.shape))
        self.height += len(rows)

    def rows(self) -> Iterator[Labels]:
        """Yield the rows again, (n, X) at a time, from the top down."""
        self._file.seek(0)
        for size, height, width in self._chunks:
            yield np.frombuffer(zlib.decompress(self._file.read(size)), np.int32).reshape(height, width)

    @property
    def boxes(self) -> Boxes:
        """(cells, 4) int32 (top, left, bottom, right; ends excluded) of the ids 1..cells."""
        return self._boxes[: self.cells]

    @property
    def areas(self) -> npt.NDArray[np.int64]:
        """(cells,) int64 pixels of each cell."""
        return self._areas[: self.cells]

    def _refusal(self, error: OSError) -> OutputError:
        return OutputError(f"{self._folder}: it cannot be written ({error.strerror}); check the folder and its space.")
