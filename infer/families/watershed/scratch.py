"""Arrays as large as the image that lie in temporary files, so that the system can move them out of memory."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import numpy as np
import numpy.typing as npt

Scalar = TypeVar("Scalar", bound=np.generic)


@contextmanager
def scratch(shape: tuple[int, int], dtype: type[Scalar]) -> Iterator[npt.NDArray[Scalar]]:
    """Give an array of zeros in a temporary file, which is deleted at the end.

    The space is reserved at once. Raises OSError if there is not enough.

    >>> with scratch((2, 3), np.int32) as array:
    ...     array[1, 2] = 5
    ...     array.tolist()
    [[0, 0, 0], [0, 0, 5]]
    """
    size = shape[0] * shape[1] * np.dtype(dtype).itemsize
    with tempfile.TemporaryFile() as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)
        else:
            file.truncate(size)
        yield np.asarray(np.memmap(file, dtype, "r+", shape=shape))
