"""Gaps in mosaics: the value that GDAL's tag declares as "no data" is read as NaN, so that it does not count."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from .memmap import Pixels

GDAL_NODATA = 42113
"""TIFF tag with the value of pixels without data, as text."""


def declared_nodata(page: Any) -> float | None:
    """Return the value that GDAL's tag declares as "no data", or None if it is missing or not a finite number.

    >>> from types import SimpleNamespace
    >>> declared_nodata(SimpleNamespace(tags=SimpleNamespace(valueof={GDAL_NODATA: "-9999"}.get)))
    -9999.0
    """
    text = page.tags.valueof(GDAL_NODATA)
    try:
        value = float(str(text).strip("\0 \n")) if text is not None else math.nan
    except ValueError:
        return None
    return value if math.isfinite(value) else None


class WithoutGaps:
    """Pixels (C, Y, X) in which the value "no data" is NaN. In a colour image, all colours must have this value."""

    def __init__(self, pixels: Any, nodata: float, colours: bool) -> None:
        """``pixels``: an object with shape, dtype and read. ``colours``: whether the channels are those of a colour."""
        self._pixels, self._nodata, self._colours = pixels, nodata, colours

    @property
    def shape(self) -> tuple[int, int, int]:
        shape: tuple[int, int, int] = self._pixels.shape
        return shape

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """The stored dtype if it is a float, otherwise a float that holds its values."""
        return (
            np.result_type(self._pixels.dtype, np.float32 if self._pixels.dtype.itemsize < 4 else np.float64)
            if (self._pixels.dtype.kind != "f")
            else self._pixels.dtype
        )

    def read(self, top: int, left: int, bottom: int, right: int) -> Pixels:
        """Return the window (C, bottom - top, right - left), which must lie inside the image."""
        stored: Pixels = self._pixels.read(top, left, bottom, right)
        gaps = self._gaps(stored)
        window: Pixels = stored.astype(self.dtype)
        window[np.broadcast_to(gaps, window.shape)] = np.nan
        return window

    def _gaps(self, stored: Pixels) -> npt.NDArray[np.bool_]:
        """Return which values are "no data". A float may differ from the declared text in its last digits."""
        if stored.dtype.kind == "f":
            tolerance = (
                4
                * float(
                    np.finfo(
                        np.float32
                        if stored.dtype.itemsize == 4
                        else np.float16
                        if stored.dtype.itemsize == 2
                        else np.float64
                    ).eps
                )
                * abs(self._nodata)
            )
            with np.errstate(over="ignore", invalid="ignore"):
                gaps = np.abs(stored.astype(np.float64) - self._nodata) <= tolerance
        else:
            gaps = np.equal(stored, self._nodata)
        found: npt.NDArray[np.bool_] = np.all(gaps, axis=0, keepdims=True) if self._colours else gaps
        return found
