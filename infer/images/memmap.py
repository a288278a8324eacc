"""Pixels that lie in a file instead of in memory, and leave memory again once they have been read."""

from __future__ import annotations

import math
import mmap
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..errors import ImageError

Pixels = npt.NDArray[np.generic]
LARGE = 256 * 2**20
"""Bytes above which decoded pixels are kept on disk."""
CACHE = 64 * 2**20
"""Bytes of decoded tiles or strips that an image keeps, unless two rows of them take more."""
ROWS = 256


class HeldPixels:
    """A (C, Y, X) array of which copies of windows are read, in the machine's byte order.

    ``mapping`` is the memory map that the array lies in, if any: what a read has brought into memory is given back.
    """

    def __init__(self, pixels: Pixels, mapping: mmap.mmap | None) -> None:
        self._pixels = pixels
        self._mapping = mapping

    @property
    def shape(self) -> tuple[int, int, int]:
        channels, height, width = self._pixels.shape
        return channels, height, width

    @property
    def dtype(self) -> np.dtype[np.generic]:
        return self._pixels.dtype.newbyteorder("=")

    def read(self, top: int, left: int, bottom: int, right: int) -> Pixels:
        """Return the window (C, bottom - top, right - left), which must lie inside the array."""
        window = self._pixels[:, top:bottom, left:right].astype(self.dtype)
        release(self._mapping)
        return window


def map_file(path: Path) -> mmap.mmap:
    """Map a file for reading. Raises OSError, and ValueError when it is empty."""
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def room(shape: Sequence[int], dtype: np.dtype[np.generic]) -> tuple[Pixels, mmap.mmap | None]:
    """Return an array to fill and, above `LARGE` bytes, the map of the nameless temporary file that it lies in.

    Raises ImageError when the folder for temporary files has no room for it.
    """
    size = math.prod(shape) * dtype.itemsize
    if size <= LARGE:
        return np.empty(shape, dtype), None
    try:
        with tempfile.TemporaryFile() as file:
            os.posix_fallocate(file.fileno(), 0, size)
            mapping = mmap.mmap(file.fileno(), size)
    except OSError as error:
        raise ImageError(
            f"decoded it takes {size / 2**30:.1f} GiB, which do not fit into the folder for temporary files "
            f"({error.strerror or error}); set TMPDIR to a folder with more room."
        ) from error
    return np.ndarray(shape, dtype, mapping), mapping


def keep(pixels: Pixels) -> HeldPixels:
    """Hold a decoded (C, Y, X) array, above `LARGE` bytes on disk. Raises ImageError as `room` does."""
    if pixels.nbytes <= LARGE:
        return HeldPixels(pixels, None)
    held, mapping = room(pixels.shape, pixels.dtype)
    for top in range(0, pixels.shape[1], ROWS):
        held[:, top : top + ROWS] = pixels[:, top : top + ROWS]
        release(mapping)
    return HeldPixels(held, mapping)


def release(mapping: mmap.mmap | None) -> None:
    """Let go of the memory that a file's map has come to occupy; the values stay in the file."""
    if mapping is not None:
        mapping.madvise(mmap.MADV_DONTNEED)
