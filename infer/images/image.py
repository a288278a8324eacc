"""Open an image file as a windowed reader of (C, Y, X) pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np

from ..errors import ImageError
from .file_type import HEAD, kind_of, other_kind
from .memmap import Pixels, keep

SUFFIXES = (".tif", ".tiff", ".svs", ".png", ".jpg", ".jpeg", ".bmp")
"""Of files that are images by their name; what a file is, its contents say."""
MAX_UNNAMED_CHANNELS = 4


class Image(Protocol):
    """A (C, Y, X) image of which windows can be read; the engine asks for nothing else."""

    @property
    def shape(self) -> tuple[int, int, int]: ...

    @property
    def dtype(self) -> np.dtype[np.generic]: ...

    def read(self, top: int, left: int, bottom: int, right: int) -> Pixels:
        """Return the window (C, bottom - top, right - left), which must lie inside the image."""
        ...


class ArrayImage:
    """An image held in memory as a (C, Y, X) array of integers, booleans or floats."""

    def __init__(self, pixels: Pixels) -> None:
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
        return self._pixels[:, top:bottom, left:right]


def as_image(array: Pixels) -> ArrayImage:
    """Wrap an array (Y, X), (Y, X, C) or (C, Y, X) with up to 4 channels; where both could be meant, (Y, X, C).

    Raises ImageError for any other shape.
    """
    if array.ndim == 2:
        return ArrayImage(array[None])
    if array.ndim == 3 and array.shape[2] <= MAX_UNNAMED_CHANNELS:
        return ArrayImage(array.transpose(2, 0, 1))
    if array.ndim == 3 and array.shape[0] <= MAX_UNNAMED_CHANNELS:
        return ArrayImage(array)
    raise ImageError(
        f"an array of shape {array.shape} is no single image; pass (Y, X), (Y, X, C) or (C, Y, X) with up to "
        f"{MAX_UNNAMED_CHANNELS} channels."
    )


def open_image(path: Path) -> Image:
    """Open a TIFF, PNG, JPEG or BMP file, by its contents and not by its name; alpha channels are left out.

    Pixels come as they are stored, so that labels lie on the pixels that other programs of the trade show: a rotation
    that EXIF or TIFF's orientation tag asks for is not applied. TIFF is decoded by window, as it is read
    (`flowmask.images.tiff`); other files are decoded at once (`flowmask.images.raster`), into a temporary file if they
    are large. Raises ImageError, naming the file, when it cannot be decoded or is a stack of several images.
    """
    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
        kind = kind_of(head)
        if kind is None:
            raise ImageError(_refusal(head))
        if kind != "TIFF":
            from .raster import read_picture

            return keep(read_picture(path, kind))
        from .tiff import TiffImage

        image = TiffImage(path)
        _check(image.shape, image.dtype)
        return image
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from error
    except OSError as error:
        raise ImageError(
            f"{path}: it cannot be read ({error.strerror or error}); check the link, the disk and its permissions."
        ) from error


def _refusal(head: bytes) -> str:
    if not head:
        return "it is no image, it is empty; remove it."
    other = other_kind(head)
    if other:
        return f"it is no TIFF, PNG, JPEG or BMP image but {other}; save it as TIFF, or remove it."
    return "it is no TIFF, PNG, JPEG or BMP image; save it as one of them, or remove it."


def _check(shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> None:
    """Raise ImageError unless it is the shape (C, Y, X) of at least one pixel that can be segmented."""
    if len(shape) != 3 or 0 in shape:
        raise ImageError(f"an image needs the axes (C, Y, X) and at least one pixel, this one has the shape {shape}.")
    if dtype.kind not in "buif":
        raise ImageError(f"pixels of type {dtype} cannot be segmented; save the image as integers or floats.")
