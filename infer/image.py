"""Open an image file as a windowed reader of (C, Y, X) pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt

from infer.errors import ImageError

Pixels = npt.NDArray[np.generic]
TIFF_SUFFIXES = (".tif", ".tiff")
SUFFIXES = (*TIFF_SUFFIXES, ".png", ".jpg", ".jpeg", ".bmp")
MAX_UNNAMED_CHANNELS = 4
ALPHA = (1, 2)
"""TIFF's ExtraSamples values of associated and unassociated alpha."""
SCANNERS = ("svs", "ndpi", "scn", "bif", "philips", "avs")
"""Kinds of slide, as tifffile names them, that keep a label or an overview beside the image."""
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
        if pixels.ndim != 3 or 0 in pixels.shape:
            raise ImageError(
                f"an image needs the axes (C, Y, X) and at least one pixel, this one has the shape {pixels.shape}."
            )
        if pixels.dtype.kind not in "buif":
            raise ImageError(
                f"pixels of type {pixels.dtype} cannot be segmented; save the image as integers or floats."
            )
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

    Raises ImageError, naming the file, when it cannot be decoded or is a stack of several images.
    """
    try:
        if path.suffix.lower() in TIFF_SUFFIXES:
            return ArrayImage(_read_tiff(path))
        return ArrayImage(_read_picture(path))
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from error
    except OSError as error:
        raise ImageError(f"{path}: it cannot be read ({error.strerror or error}).") from error


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


def _read_tiff(path: Path) -> Pixels:
    """Decode the first series of a TIFF file into (C, Y, X)."""
    import tifffile

    try:
        with tifffile.TiffFile(path) as file:
            others = [other for other in file.series[1:] if not other.keyframe.is_reduced]
            if others and file.series[0].kind not in SCANNERS:
                raise ImageError(f"it holds {len(others) + 1} images; save each as a file of its own.")
            series = file.series[0]
            axes, page = series.axes, series.keyframe
            pixels = series.asarray()
            alpha = sum(int(kind) in ALPHA for kind in page.extrasamples)
            if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE and pixels.dtype.kind in "bu":
                pixels = ~pixels
            if page.photometric == tifffile.PHOTOMETRIC.PALETTE and page.colormap is not None:
                pixels, axes = page.colormap.T[pixels], axes + "S"
    except (OSError, MemoryError, ImageError):
        raise
    except Exception as error:  # tifffile and its codecs raise whatever the damage leads to
        raise ImageError(
            f"it is no TIFF image, or it is damaged ({error}); open and save it again, or remove it."
        ) from error
    return _channels_first(pixels, axes, alpha)


def _channels_first(pixels: Pixels, axes: str, alpha: int) -> Pixels:
    """Bring an array with TIFF axes into (C, Y, X) without its ``alpha`` last samples."""
    keep = [i for i, axis in enumerate(axes) if axis in "YX" or pixels.shape[i] > 1]
    pixels, axes = pixels.reshape([pixels.shape[i] for i in keep]), "".join(axes[i] for i in keep)
    others = [axis for axis in axes if axis not in "YX"]
    if len(others) > 1 or not {"Y", "X"} <= set(axes):
        raise ImageError(f"its axes {axes} {pixels.shape} are a stack of images; save each plane as a file of its own.")
    if not others:
        return pixels[None]
    position = axes.index(others[0])
    count = pixels.shape[position]
    if others[0] in "ZTI" or (others[0] not in "SC" and count > MAX_UNNAMED_CHANNELS):
        raise ImageError(f"it is a stack of {count} planes (axes {axes}); save each plane as a file of its own.")
    pixels = np.moveaxis(pixels, position, 0)
    return pixels[: count - alpha] if others[0] == "S" and 0 < alpha < count else pixels
