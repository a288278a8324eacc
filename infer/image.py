"""Open an image file as a windowed reader of (C, Y, X) pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from infer.disk import Pixels, keep
from infer.errors import ImageError

TIFF_SUFFIXES = (".tif", ".tiff", ".svs")
SUFFIXES = (*TIFF_SUFFIXES, ".png", ".jpg", ".jpeg", ".bmp")
MAX_UNNAMED_CHANNELS = 4
PNG_GREY_ALPHA = 4
"""PNG's colour type, byte 25 of the file."""


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
    """Open a TIFF, PNG, JPEG or BMP file; alpha channels are left out.

    TIFF is decoded by window, as it is read (`infer.tiff`); the others are decoded here, and kept on disk when large.
    Raises ImageError, naming the file, when it cannot be decoded or is a stack of several images.
    """
    try:
        if path.suffix.lower() not in TIFF_SUFFIXES:
            return keep(_read_picture(path))
        from infer.tiff import TiffImage

        image = TiffImage(path)
        _check(image.shape, image.dtype)
        return image
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from error
    except OSError as error:
        raise ImageError(f"{path}: it cannot be read ({error.strerror or error}).") from error


def _check(shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> None:
    """Raise ImageError unless it is the shape (C, Y, X) of at least one pixel that can be segmented."""
    if len(shape) != 3 or 0 in shape:
        raise ImageError(f"an image needs the axes (C, Y, X) and at least one pixel, this one has the shape {shape}.")
    if dtype.kind not in "buif":
        raise ImageError(f"pixels of type {dtype} cannot be segmented; save the image as integers or floats.")


def _read_picture(path: Path) -> Pixels:
    """Decode PNG, JPEG or BMP into (C, Y, X): 1 channel for grey, red, green and blue for colour."""
    data = np.fromfile(path, np.uint8)
    try:
        decoded = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
    except cv2.error as error:
        raise ImageError(f"OpenCV refuses it ({error.err}); save it as TIFF.") from error
    if decoded is None:
        raise ImageError("it is no PNG, JPEG or BMP image, or it is damaged; open and save it again, or remove it.")
    if decoded.ndim == 2:
        return decoded[None]
    if decoded.shape[2] == 4 and data[1:4].tobytes() == b"PNG" and data[25] == PNG_GREY_ALPHA:
        return decoded[None, ..., 0]
    return decoded[..., :3][..., ::-1].transpose(2, 0, 1)
