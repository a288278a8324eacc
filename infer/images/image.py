"""Open an image file, or wrap an array, as a reader of windows of pixels (C, Y, X)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from ..errors import ImageError
from .file_type import HEAD, kind_of, other_kind
from .memmap import Pixels, hold

SUFFIXES = (".tif", ".tiff", ".svs", ".png", ".jpg", ".jpeg", ".bmp")
"""Files with these suffixes count as images in a folder. The format of a file is detected from its contents."""
MAX_UNNAMED_CHANNELS = 4
"""An array axis without a name is the axis of channels only if it has at most this length."""


@dataclass(frozen=True)
class ImageInfo:
    """What was understood of an image file besides its pixels."""

    file_type: str = ""
    axes: str = ""
    channel_names: tuple[str, ...] = ()
    pixel_size_um: float | None = None
    """Micrometres per px."""
    levels: tuple[tuple[int, int], ...] = ()
    """(Y, X) of each level of a pyramid."""
    notes: tuple[str, ...] = ()
    nodata: float | None = None
    """The value that stands for missing pixels."""


class Image(Protocol):
    """An image (C, Y, X) that can be read in windows."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, Y, X)."""
        ...

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """Boolean, an integer or a float."""
        ...

    def read(self, top: int, left: int, bottom: int, right: int) -> Pixels:
        """Return the window (C, bottom - top, right - left), which must lie inside the image."""
        ...


class ArrayImage:
    """An image in memory: an array (C, Y, X) of booleans, integers or floats.

    >>> image = ArrayImage(np.arange(12).reshape(1, 3, 4))
    >>> image.read(1, 0, 3, 2).tolist()
    [[[4, 5], [8, 9]]]
    """

    def __init__(self, pixels: Pixels) -> None:
        """Raises ImageError if the array has other axes, no pixels or another dtype."""
        _check(pixels.shape, pixels.dtype)
        self._pixels = pixels

    @property
    def shape(self) -> tuple[int, int, int]:
        channels, height, width = self._pixels.shape
        return channels, height, width

    @property
    def dtype(self) -> np.dtype[np.generic]:
        return self._pixels.dtype

    def read(self, top: int, left: int, bottom: int, right: int) -> Pixels:
        """Return a view of the window (C, bottom - top, right - left), which must lie inside the image."""
        return self._pixels[:, top:bottom, left:right]


def as_image(array: Pixels) -> ArrayImage:
    """Wrap an array (Y, X), (Y, X, C) or (C, Y, X) with up to 4 channels; an ambiguous shape is read as (Y, X, C).

    Raises ImageError for any other shape.

    >>> as_image(np.zeros((50, 60, 3))).shape, as_image(np.zeros((3, 50, 60))).shape
    ((3, 50, 60), (3, 50, 60))
    """
    if array.ndim == 2:
        return ArrayImage(array[None])
    if array.ndim == 3 and array.shape[2] <= MAX_UNNAMED_CHANNELS:
        return ArrayImage(array.transpose(2, 0, 1))
    if array.ndim == 3 and array.shape[0] <= MAX_UNNAMED_CHANNELS:
        return ArrayImage(array)
    raise ImageError(
        f"an array of shape {array.shape} is not a single image; pass (Y, X), (Y, X, C) or (C, Y, X) with up to "
        f"{MAX_UNNAMED_CHANNELS} channels."
    )


def open_image(path: Path) -> Image:
    """Open an image file with the reader of its format. The format is detected from the contents, not from the name.

    Alpha channels are ignored. Pixels are returned as stored: a rotation in EXIF or in TIFF's orientation tag is not
    applied, so that labels match the pixels in other analysis programs. A TIFF file is decoded in windows when they are
    read (`flowmask.images.tiff`); a PNG, JPEG or BMP file is decoded at once (`flowmask.images.raster`), into a
    temporary file if it is large. Raises ImageError, naming the file, if it cannot be decoded or is a stack of images.
    """
    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
        kind = kind_of(head)
        if kind is None:
            raise ImageError(_unknown_format(head))
        return READERS[kind](path, kind)
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from error
    except OSError as error:
        raise ImageError(
            f"{path}: it cannot be read ({error.strerror or error}); check the link, the disk and its permissions."
        ) from error


def _open_tiff(path: Path, kind: str) -> Image:
    from .tiff import TiffImage

    image = TiffImage(path)
    _check(image.shape, image.dtype)
    return image


def _open_raster(path: Path, kind: str) -> Image:
    from .raster import read_picture

    return hold(read_picture(path, kind))


READERS: dict[str, Callable[[Path, str], Image]] = {
    "TIFF": _open_tiff,
    "PNG": _open_raster,
    "JPEG": _open_raster,
    "BMP": _open_raster,
}
"""The function that opens a file of each format: (path, format) -> image.

To add a format, add its first bytes to `flowmask.images.file_type.KINDS` and its function here. The function imports
the decoder, so that a run loads only the decoders that it needs.
"""


def _unknown_format(head: bytes) -> str:
    """Return the error message for a file that begins with ``head``."""
    if not head:
        return "it is not an image but an empty file; remove it."
    other = other_kind(head)
    if other:
        return f"it is not a TIFF, PNG, JPEG or BMP image but {other}; save it as TIFF, or remove it."
    return "it is not a TIFF, PNG, JPEG or BMP image; save it in one of these formats, or remove it."


def _check(shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> None:
    """Raise ImageError unless the shape is (C, Y, X) with at least one pixel and the dtype can be segmented."""
    if len(shape) != 3 or 0 in shape:
        raise ImageError(f"an image needs the axes (C, Y, X) and at least one pixel; this one has the shape {shape}.")
    if dtype.kind not in "buif":
        raise ImageError(f"pixels of type {dtype} cannot be segmented; save the image as integers or floats.")
