"""An image is what can be read in windows of pixels (C, Y, X): a file that is open, or an array."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np

from ..errors import ImageError, SettingsError
from .arrays import as_array, named_axes
from .axes import MAX_UNNAMED_CHANNELS, Axes, check_choice, understand
from .memmap import Pixels
from .metadata import ImageInfo
from .stack import Described, Frames, check_image, only_frame


@runtime_checkable
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
        check_image(pixels.shape, pixels.dtype)
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


class SlicedImage:
    """An array of any library that is read by slicing, such as Zarr, Dask or a memory map, and is never held whole."""

    def __init__(self, array: Any, axes: Axes, index: tuple[int | slice, ...], described: str) -> None:
        """index: that of one plane of the array. Raises ImageError if its pixels cannot be segmented."""
        self._array, self._letters, self._index = array, axes.letters, index
        self._channel = axes.channel
        lengths = dict(zip(axes.letters, axes.shape, strict=True))
        channels = 1 if axes.channel is None else axes.shape[axes.channel]
        self.shape = (channels, lengths["Y"], lengths["X"])
        self.dtype: np.dtype[np.generic] = np.dtype(array.dtype).newbyteorder("=")
        check_image(self.shape, self.dtype)
        self.info = ImageInfo("array", described, levels=(self.shape[1:],), notes=axes.notes)

    def read(self, top: int, left: int, bottom: int, right: int) -> Pixels:
        """Return the window (C, bottom - top, right - left), which must lie inside the image."""
        index = list(self._index)
        y, x = self._letters.index("Y"), self._letters.index("X")
        index[y], index[x] = slice(top, bottom), slice(left, right)
        window = np.asarray(self._array[tuple(index)]).astype(self.dtype, copy=False)
        axes = [at for at, part in enumerate(index) if isinstance(part, slice)]
        order = [axes.index(at) for at in (self._channel, y, x) if at is not None]
        window = window.transpose(order)
        return window if self._channel is not None else window[None]


def as_image(
    array: Any, axes: str | None = None, plane: int | None = None, project: str | None = None
) -> ArrayImage | SlicedImage | Described:
    """Wrap an array as an image.

    array: a NumPy array, a tensor, or any object with ``shape``, ``dtype`` and slicing, which is read in windows.
    Masked pixels count as NaN. axes: one letter for each axis, such as "CYX" with any number of channels, or "ZYX";
    without it they are those that xarray names, or the array is (Y, X), (Y, X, C) or (C, Y, X) with up to 4 channels,
    and an ambiguous shape is read as (Y, X, C). plane: which plane along Z, from 1. project: "max" or "mean" of all
    planes. Raises ImageError for any other shape or object, and SettingsError if axes, plane or project is invalid.

    >>> as_image(np.zeros((50, 60, 3))).shape, as_image(np.zeros((3, 50, 60))).shape
    ((3, 50, 60), (3, 50, 60))
    >>> as_image(np.zeros((7, 50, 60)), axes="CYX").shape, as_image(np.zeros((7, 50, 60)), axes="ZYX", plane=2).shape
    ((7, 50, 60), (1, 50, 60))
    """
    check_choice(plane, project)
    if not isinstance(axes, str | None):
        raise SettingsError(f"axes={axes!r} is not text; give one letter for each axis, such as CYX.")
    array = as_array(array)
    axes = named_axes(array) if axes is None else axes
    if any(length != length for length in array.shape):
        raise ImageError(f"the array has an unknown shape {tuple(array.shape)}; compute it first, or its chunk sizes.")
    shape = tuple(int(length) for length in array.shape)
    letters = _guessed_axes(shape) if axes is None else axes.upper()
    if 0 in shape:
        raise ImageError(f"an array of shape {shape} has no pixels; give one with at least one row and column.")
    if len(letters) != len(shape):
        raise ImageError(f"an array of shape {shape} does not have the axes {letters}; give one letter for each axis.")
    if axes is None and isinstance(array, np.ndarray):
        order = [letters.index(letter) for letter in ("CYX" if "C" in letters else "YX")]
        moved = array.transpose(order)
        if plane not in (None, 1):
            raise ImageError(f"the array has one plane, so there is no plane {plane}; give axes such as ZYX.")
        return ArrayImage(moved if "C" in letters else moved[None])
    stack = _ArrayStack(array, letters, plane is not None or project is not None)
    image: SlicedImage | Described = only_frame(Frames([stack], plane, project))
    return image


class _ArrayStack:
    """The planes and frames of an array."""

    def __init__(self, array: Any, letters: str, chosen: bool) -> None:
        self.axes = understand(letters, tuple(int(length) for length in array.shape), chosen)
        self._array, self._letters = array, letters
        self.info = ImageInfo("array", letters)

    def image(self, frame: tuple[int, ...], plane: int) -> SlicedImage:
        squeezed = list(self.axes.index(frame, plane))
        index: list[int | slice] = []
        for letter, length in zip(self._letters, self._array.shape, strict=True):
            index.append(squeezed.pop(0) if letter in "YX" or length > 1 else 0)
        axes = Axes(self._letters, tuple(int(n) for n in self._array.shape), channel=self._channel())
        return SlicedImage(self._array, axes, tuple(index), self._letters)

    def _channel(self) -> int | None:
        """Return the index of the axis of channels in the array itself."""
        long = [at for at, letter in enumerate(self._letters) if letter in "YX" or self._array.shape[at] > 1]
        return None if self.axes.channel is None else long[self.axes.channel]


def _guessed_axes(shape: tuple[int, ...]) -> str:
    """Return the axes of an array without named axes. Raises ImageError unless it is a single image."""
    if len(shape) == 2:
        return "YX"
    if len(shape) == 3 and shape[2] <= MAX_UNNAMED_CHANNELS:
        return "YXC"
    if len(shape) == 3 and shape[0] <= MAX_UNNAMED_CHANNELS:
        return "CYX"
    raise ImageError(
        f"an array of shape {shape} is not a single image; pass (Y, X), (Y, X, C) or (C, Y, X) with up to "
        f'{MAX_UNNAMED_CHANNELS} channels, or name its axes, such as axes="CYX".'
    )
