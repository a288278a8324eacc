"""Take what people pass as an image: arrays of NumPy and of other libraries, with masks and named axes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import ImageError, one_line

LETTERS = {"channel": "C", "channels": "C", "band": "C", "time": "T", "row": "Y", "column": "X"}
"""Letters of axes that xarray users give whole names. A name of one letter, such as "z", is its own letter."""


def as_array(image: Any) -> Any:
    """Return an object with shape, NumPy dtype and slicing. Arrays that are read in windows, as of Zarr, are kept.

    Masked pixels become NaN. A tensor of PyTorch, or another array without a NumPy dtype, is converted. Raises
    ImageError for an object that is no array, such as a list or a picture of Pillow.

    >>> as_array(np.ma.masked_array([[1, 2]], mask=[[False, True]], dtype=np.uint8))
    array([[ 1., nan]], dtype=float32)
    """
    if isinstance(image, np.ma.MaskedArray):
        return _without_masked(image)
    if isinstance(image, np.ndarray):
        return np.asarray(image)
    if not (hasattr(image, "shape") and hasattr(image, "dtype")):
        raise ImageError(
            f"an object of the type {type(image).__name__} is not an image; pass the path of a file or a NumPy array, "
            "such as numpy.asarray(image)."
        )
    try:
        np.dtype(image.dtype)
    except TypeError:
        return _converted(image)
    return image


def named_axes(array: Any) -> str | None:
    """Return one letter for each axis if the array names its axes as xarray does; None without names for Y and X.

    >>> from types import SimpleNamespace
    >>> named_axes(SimpleNamespace(dims=("channel", "x", "y"))), named_axes(np.zeros((2, 2)))
    ('CXY', None)
    """
    names = [str(name).lower() for name in getattr(array, "dims", ())]
    letters = [LETTERS.get(name, name).upper() for name in names]
    return "".join(letters) if {"Y", "X"} <= set(letters) and all(len(letter) == 1 for letter in letters) else None


def _without_masked(array: Any) -> npt.NDArray[np.generic]:
    """Return the pixels of a masked array; floats with NaN if any is masked."""
    if array.dtype.kind not in "buif" or not np.ma.is_masked(array):
        return np.asarray(array)
    return np.asarray(array.astype(np.result_type(array.dtype, np.float32)).filled(np.nan))


def _converted(array: Any) -> npt.NDArray[np.generic]:
    try:
        return np.asarray(array)
    except Exception as error:  # each library has its own exceptions, such as for a tensor on a GPU
        raise ImageError(
            f"an array of the type {type(array).__name__} cannot be read ({one_line(error)}); convert it to a NumPy "
            "array."
        ) from error
