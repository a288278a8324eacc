"""Pixels in a memory-mapped file: after each read, the operating system may take the memory back."""

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
"""Decoded pixels of more bytes than this are stored in a temporary file."""
CACHE = 64 * 2**20
"""Bytes of decoded tiles or strips that an image caches; more if two rows of tiles take more."""
ROWS = 256
"""Rows that `hold` copies at a time."""


class HeldPixels:
    """An array (C, Y, X) in memory or in a memory-mapped file; a window is read as a copy in native byte order."""

    def __init__(self, pixels: Pixels, mapping: mmap.mmap | None) -> None:
        """Wrap ``pixels``. ``mapping``: the memory map of the file that holds them, or None."""
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
    """Map a file into memory for reading. Raises OSError when that fails, ValueError when the file is empty.

    >>> with tempfile.NamedTemporaryFile() as file:
    ...     _ = Path(file.name).write_bytes(b"cells")
    ...     map_file(Path(file.name))[:4]
    b'cell'
    """
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def allocate(shape: Sequence[int], dtype: np.dtype[np.generic]) -> tuple[Pixels, mmap.mmap | None]:
    """Return an empty array, and the memory map of its temporary file.

    An array of up to `LARGE` bytes is in memory, and the second value is None. The temporary file has no name and is
    removed when the array is. Raises ImageError when the folder for temporary files has too little space.

    >>> pixels, mapping = allocate((3, 50, 60), np.dtype(np.uint8))
    >>> pixels.shape, mapping
    ((3, 50, 60), None)
    """
    size = math.prod(shape) * dtype.itemsize
    if size <= LARGE:
        return np.empty(shape, dtype), None
    try:
        with tempfile.TemporaryFile() as file:
            _reserve(file.fileno(), size)
            mapping = mmap.mmap(file.fileno(), size)
    except OSError as error:
        raise ImageError(
            f"its pixels take {size / 2**30:.1f} GiB and do not fit into the folder for temporary files "
            f"({error.strerror or error}); set TMPDIR to a folder with more space."
        ) from error
    return np.ndarray(shape, dtype, mapping), mapping


def _reserve(file: int, size: int) -> None:
    """Give a file its size, and its space on the disk where the system can reserve it: Linux can, macOS cannot."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file, 0, size)
    else:
        os.ftruncate(file, size)


def hold(pixels: Pixels) -> HeldPixels:
    """Wrap a decoded array (C, Y, X); copy it to a temporary file if it takes more than `LARGE` bytes.

    Raises ImageError as `allocate` does.

    >>> hold(np.arange(12).reshape(1, 3, 4)).read(1, 0, 3, 2).tolist()
    [[[4, 5], [8, 9]]]
    """
    if pixels.nbytes <= LARGE:
        return HeldPixels(pixels, None)
    copy, mapping = allocate(pixels.shape, pixels.dtype)
    for top in range(0, pixels.shape[1], ROWS):
        copy[:, top : top + ROWS] = pixels[:, top : top + ROWS]
        release(mapping)
    return HeldPixels(copy, mapping)


def release(mapping: mmap.mmap | None) -> None:
    """Free the memory that a memory map occupies. The values stay in the file and are read again when needed.

    This has no effect on Windows, which frees such memory by itself when it is short.

    >>> mapping = mmap.mmap(-1, mmap.PAGESIZE)
    >>> mapping[:5] = b"cells"
    >>> release(mapping)
    >>> mapping[:5]
    b'cells'
    """
    if mapping is not None and hasattr(mmap, "MADV_DONTNEED"):
        mapping.madvise(mmap.MADV_DONTNEED)
