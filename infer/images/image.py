"""Open an image file, or wrap an array, as a reader of windows of pixels (C, Y, X)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import numpy as np

from ..errors import ImageError
from .axes import MAX_UNNAMED_CHANNELS, check_choice
from .file_type import HEAD, kind_of, other_kind
from .memmap import Pixels, hold
from .metadata import ImageInfo
from .stack import Described, Frames, OneImage, Stack, only_frame

SUFFIXES = (".tif", ".tiff", ".svs", ".png", ".jpg", ".jpeg", ".bmp")
"""Files with these suffixes count as images in a folder. The format of a file is detected from its contents."""


class Image(Protocol):
    """An image (C, Y, X) that can be read in windows. The engine uses these four members only."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, Y, X)."""
        ...

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """Boolean, an integer or a float."""
        ...

    @property
    def info(self) -> ImageInfo:
        """What is known about the image beside its pixels."""
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

    @property
    def info(self) -> ImageInfo:
        return ImageInfo("array", levels=(self.shape[1:],))

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


def open_image(path: Path, plane: int | None = None, project: str | None = None) -> Image:
    """Open an image file with the reader of its format. The format is detected from the contents, not from the name.

    plane: which plane of a stack, from 1. project: "max" or "mean" of all planes. Alpha channels are ignored. Pixels
    are returned as stored: a rotation in EXIF or in TIFF's orientation tag is not applied, so that labels match the
    pixels in other analysis programs. A TIFF file is decoded in windows when they are read (`flowmask.images.tiff`); a
    PNG, JPEG or BMP file is decoded at once (`flowmask.images.raster`), into a temporary file if it is large. Raises
    ImageError, naming the file, if it cannot be decoded or holds several planes or frames and none is chosen;
    SettingsError if plane or project is invalid.
    """
    with _naming(path):
        stack, frames = _open(path, plane, project)
        image: Image = only_frame(frames, stack.axes)
        return image


def open_frames(path: Path, plane: int | None = None, project: str | None = None) -> Frames:
    """Return a sequence of (suffix, image), one for each frame of a time or position series.

    The suffix, such as "_t001" or "_p002_t001", belongs into the name of the label file; it is empty for a file of one
    image. An image is opened when the sequence is indexed, so memory is that of one frame. plane, project and errors as
    in `open_image`.
    """
    with _naming(path):
        return _open(path, plane, project)[1]


def _open(path: Path, plane: int | None, project: str | None) -> tuple[Stack, Frames]:
    check_choice(plane, project)
    with path.open("rb") as file:
        head = file.read(HEAD)
    kind = kind_of(head)
    if kind is None:
        raise ImageError(_unknown_format(head))
    stack = READERS[kind](path, kind, plane is not None or project is not None)

    def checked(image: Image) -> Image:
        with _naming(path):
            _check(image.shape, image.dtype)
        return image

    return stack, Frames(stack, plane, project, checked)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Let the messages of errors begin with the path of the file."""
    try:
        yield
    except ImageError as error:
        if str(error).startswith(f"{path}: "):
            raise
        raise ImageError(f"{path}: {error}") from error
    except OSError as error:
        raise ImageError(
            f"{path}: it cannot be read ({error.strerror or error}); check the link, the disk and its permissions."
        ) from error


def _open_tiff(path: Path, kind: str, chosen: bool) -> Stack:
    from .tiff import TiffStack

    return TiffStack(path, chosen)


def _open_raster(path: Path, kind: str, chosen: bool) -> Stack:
    from .raster import read_picture

    pixels = hold(read_picture(path, kind))
    return OneImage(Described(pixels, ImageInfo(kind, "YXS" if pixels.shape[0] > 1 else "YX", levels=(pixels.shape[1:],))))


READERS: dict[str, Callable[[Path, str, bool], Stack]] = {
    "TIFF": _open_tiff,
    "PNG": _open_raster,
    "JPEG": _open_raster,
    "BMP": _open_raster,
}
"""The function that opens a file of each format: (path, format, whether a plane was chosen) -> stack.

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
