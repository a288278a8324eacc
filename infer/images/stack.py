"""A file that may hold several images: planes of a stack, and frames of a time or position series."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ..errors import ImageError
from .axes import CHOOSE, SUFFIX, Axes, chosen_plane
from .memmap import HeldPixels, Pixels, allocate, release
from .metadata import ImageInfo

ROWS = 256
"""Rows that are projected together."""


class Stack(Protocol):
    """One position of an opened file, which most files have only one of. A single image has one frame and one plane."""

    axes: Axes
    info: ImageInfo

    def image(self, frame: tuple[int, ...], plane: int) -> Any:
        """Return an `Image`: one plane of one frame, both counted from 0."""
        ...


class Described:
    """Pixels (C, Y, X) with what is known about them."""

    def __init__(self, pixels: Any, info: ImageInfo) -> None:
        """``pixels``: an object with shape, dtype and read, as `flowmask.images.image.Image` has them."""
        self._pixels, self._info = pixels, info

    @property
    def shape(self) -> tuple[int, int, int]:
        shape: tuple[int, int, int] = self._pixels.shape
        return shape

    @property
    def dtype(self) -> np.dtype[np.generic]:
        dtype: np.dtype[np.generic] = self._pixels.dtype
        return dtype

    @property
    def info(self) -> ImageInfo:
        return self._info

    def read(self, top: int, left: int, bottom: int, right: int) -> Pixels:
        """Return the window (C, bottom - top, right - left), which must lie inside the image."""
        window: Pixels = self._pixels.read(top, left, bottom, right)
        return window


class OneImage:
    """The stack of a file that holds a single image."""

    axes = Axes("YX", (1, 1))

    def __init__(self, image: Described) -> None:
        self.info = image.info
        self._image = image

    def image(self, frame: tuple[int, ...], plane: int) -> Described:
        return self._image


class Frames(Sequence[tuple[str, Any]]):
    """(suffix, image) of each frame of a file. An image is opened when it is asked for and is not kept here."""

    def __init__(
        self, stacks: Sequence[Stack], plane: int | None, project: str | None, path: Path | None = None
    ) -> None:
        """stacks: one for each position of the file ``path``, which error messages name.

        Raises ImageError if a plane must be chosen, or the chosen plane does not exist.
        """
        self._project, self._path = project, path
        self._frames: list[_Frame] = []
        for position, stack in enumerate(stacks, 1):
            before = f"_{SUFFIX['R']}{position:03}" if len(stacks) > 1 else ""
            self._frames += _frames_of(stack, chosen_plane(stack.axes, plane, project), before)

    @property
    def suffixes(self) -> tuple[str, ...]:
        """The suffix of each frame; ("",) for a file of one image."""
        return tuple(frame.suffix for frame in self._frames)

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, index: Any) -> Any:
        """Return (suffix, image) of a frame, or a list for a slice."""
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        frame = self._frames[index]
        with naming(self._path) if self._path else nullcontext():
            if frame.plane is None:
                image = project(frame.stack, frame.frame, str(self._project))
            else:
                image = frame.stack.image(frame.frame, frame.plane)
            check_image(image.shape, image.dtype)
        return frame.suffix, image


@dataclass(frozen=True)
class _Frame:
    """One frame of one position."""

    stack: Stack
    frame: tuple[int, ...]
    plane: int | None
    """Index of the plane, None to project all planes."""
    suffix: str


def _frames_of(stack: Stack, plane: int | None, before: str) -> Iterator[_Frame]:
    """Yield the frames of one position. ``before``: the suffix of the position."""
    axes = stack.axes
    chosen_time = axes.stack is not None and plane is not None and axes.letters[axes.stack] == "T"
    after = f"_{SUFFIX['T']}{plane + 1:03}" if chosen_time and plane is not None else ""
    for frame in np.ndindex(axes.frame_shape):
        yield _Frame(stack, frame, plane, before + axes.suffix(frame) + after)


def only_frame(frames: Frames) -> Any:
    """Return the image of a file without a series. Raises ImageError for a series of several frames.

    >>> only_frame([("", "the image")])
    'the image'
    """
    if len(frames) > 1:
        first, last = frames.suffixes[0].strip("_"), frames.suffixes[-1].strip("_")
        raise ImageError(
            f"it is a series of {len(frames)} frames ({first} to {last}), but one image is needed; if they are a "
            f"time series, {CHOOSE}; or open each frame with flowmask.open_frames."
        )
    return frames[0][1]


def project(stack: Stack, frame: tuple[int, ...], how: str) -> Described:
    """Return the projection of all planes of one frame. ``how``: "max" or "mean".

    NaN is ignored. "max" keeps the dtype; "mean" gives float32, or float64 for values that float32 does not hold.
    Planes are read one after the other, each once; a large result is in a temporary file, so memory is that of a plane.

    >>> from types import SimpleNamespace
    >>> from flowmask.images.image import as_image
    >>> planes = [as_image(np.array([[1, 7]])), as_image(np.array([[5, 2]]))]
    >>> stack = SimpleNamespace(axes=SimpleNamespace(planes=2), image=lambda frame, plane: planes[plane])
    >>> project(stack, (), "max").read(0, 0, 1, 2), project(stack, (), "mean").read(0, 0, 1, 2)
    (array([[[5, 7]]]), array([[[3. , 4.5]]]))
    """
    first = stack.image(frame, 0)
    if stack.axes.planes == 1:
        return Described(first, first.info)
    dtype = first.dtype if how == "max" else np.dtype(np.float64)
    total, mapping = allocate(first.shape, dtype)
    counts, counts_mapping = allocate(first.shape, np.dtype(np.uint32)) if how == "mean" else (None, None)
    for plane in range(stack.axes.planes):
        image = first if plane == 0 else stack.image(frame, plane)
        for top, window in _bands(image):
            rows = slice(top, top + window.shape[1])
            if counts is None:
                total[:, rows] = window if plane == 0 else np.fmax(total[:, rows], window)
            else:
                valid = ~np.isnan(window) if window.dtype.kind == "f" else np.ones(window.shape, bool)
                added = np.where(valid, window, 0)
                total[:, rows] = added if plane == 0 else total[:, rows] + added
                counts[:, rows] = valid if plane == 0 else counts[:, rows] + valid
            release(mapping)
            release(counts_mapping)
    if counts is None:
        return Described(HeldPixels(total, mapping), first.info)
    exact = np.can_cast(first.dtype, np.float32)
    mean, mean_mapping = allocate(first.shape, np.dtype(np.float32 if exact else np.float64))
    for top in range(0, mean.shape[1], ROWS):
        rows = slice(top, top + ROWS)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean[:, rows] = np.true_divide(total[:, rows], counts[:, rows], dtype=np.float64)
        for used in (mapping, counts_mapping, mean_mapping):
            release(used)
    return Described(HeldPixels(mean, mean_mapping), first.info)


def _bands(image: Any) -> Iterator[tuple[int, Pixels]]:
    """Yield (top, window) of the whole image, `ROWS` rows at a time."""
    _, height, width = image.shape
    for top in range(0, height, ROWS):
        yield top, image.read(top, 0, min(top + ROWS, height), width)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let the messages of errors begin with the path of the file.

    >>> with naming(Path("a.tif")):
    ...     raise ImageError("it is damaged.")
    Traceback (most recent call last):
    ...
    flowmask.errors.ImageError: a.tif: it is damaged.
    """
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


def check_image(shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> None:
    """Raise ImageError unless the shape is (C, Y, X) with at least one pixel and the dtype can be segmented.

    >>> check_image((3, 50, 60), np.dtype(np.uint8))
    >>> check_image((3, 50, 60), np.dtype(complex))
    Traceback (most recent call last):
    ...
    flowmask.errors.ImageError: pixels of type complex128 cannot be segmented; save the image as integers or floats.
    """
    if len(shape) != 3 or 0 in shape:
        raise ImageError(f"an image needs the axes (C, Y, X) and at least one pixel; this one has the shape {shape}.")
    if dtype.kind not in "buif":
        raise ImageError(f"pixels of type {dtype} cannot be segmented; save the image as integers or floats.")
