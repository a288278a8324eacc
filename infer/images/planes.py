"""Planes of a file as images: what the readers of the vendors' formats and of OME-Zarr share."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import FlowmaskError, ImageError, one_line
from .axes import understand
from .memmap import Pixels
from .metadata import ImageInfo, plausible
from .size_limits import ADVICE, check_size


@dataclass(frozen=True)
class Position:
    """One position, scene or image of a file."""

    sizes: Mapping[str, int]
    """The length of each axis by its letter: Y and X, C for channels or S for colours, and others such as T and Z."""
    dtype: np.dtype[np.generic]
    plane: Callable[[Mapping[str, int]], Any]
    """Opens a plane: (index on each axis but Y, X and S) -> what slices like an array (Y, X), or (Y, X, S)."""
    name: str = ""
    channel_names: Sequence[str] = ()
    pixel_size_um: float | None = None
    levels: Sequence[tuple[int, int]] = ()
    """(Y, X) of each pyramid level, the full resolution first; empty if the file has no other."""
    notes: Sequence[str] = ()
    """One sentence about each decision that the user may want to know."""
    stored: int | None = None
    """Number of bytes that hold the pixels; None: at most those of the file."""


def stacks(
    path: Path, kind: str, positions: Sequence[Position], chosen: bool, left_out: Sequence[str] = ()
) -> list[PlaneStack]:
    """Return the stack of each position. Those with an unknown layout are left out, and the first one notes it.

    kind: the format. chosen: the user chose a plane or a projection. left_out: names of images that were left out
    before. Raises ImageError if no position remains.

    >>> position = Position({"T": 2, "Y": 4, "X": 5}, np.dtype("u1"), lambda index: np.full((4, 5), index["T"]))
    >>> stacks(Path(__file__), "Leica LIF", [position], False)[0].image((1,), 0).read(0, 0, 1, 2).tolist()
    [[[1, 1]]]
    """
    opened, names, errors = [], list(left_out), []
    for number, position in enumerate(positions, 1):
        try:
            opened.append(PlaneStack(path, kind, position, chosen))
        except ImageError as error:
            names.append(position.name or str(number))
            errors.append(error)
    if not opened:
        raise errors[0] if errors else ImageError("it holds no image with the axes Y and X; export one as TIFF.")
    if names:
        note = f"These images in it are not single images or stacks and are not segmented: {', '.join(names)}."
        opened[0].info = replace(opened[0].info, notes=(note, *opened[0].info.notes))
    return opened


class PlaneStack:
    """The planes and frames of one position."""

    def __init__(self, path: Path, kind: str, position: Position, chosen: bool) -> None:
        """kind: the format. chosen: the user chose a plane or a projection. Raises ImageError for an unknown layout."""
        self._path, self._kind, self._position = path, kind, position
        sizes = position.sizes
        if any(len(axis) != 1 for axis in sizes):
            raise ImageError(f"its axes ({', '.join(sizes)}) cannot be understood; export it as TIFF.")
        self.axes = understand("".join(sizes), tuple(sizes.values()), chosen)
        self._colour = sizes.get("S", 1) > 1
        self._channels = math.prod(sizes.get(axis, 1) for axis in "CS")
        stored = path.stat().st_size if position.stored is None else position.stored
        check_size(sizes["Y"], sizes["X"], self._channels, stored)
        names = tuple(name.strip() for name in position.channel_names)
        usable = len(names) == self._channels and all(names)
        self.info = ImageInfo(
            kind,
            self.axes.letters,
            names if usable else (),
            plausible(position.pixel_size_um),
            tuple(position.levels) or ((sizes["Y"], sizes["X"]),),
            (*position.notes, *self.axes.notes),
            name=position.name,
        )

    def image(self, frame: tuple[int, ...], plane: int) -> PlaneImage:
        """Return one plane of one frame, both counted from 0. Raises ImageError if it cannot be read."""
        letters, index = self.axes.letters, self.axes.index(frame, plane)
        chosen = {letter: at for letter, at in zip(letters, index, strict=True) if isinstance(at, int)}
        count = 1 if self._colour else self._channels
        with as_image_error(self._kind):
            planes = [self._position.plane({**chosen, "C": channel}) for channel in range(count)]
        shape = (self._channels, self._position.sizes["Y"], self._position.sizes["X"])
        return PlaneImage(self._path, self._kind, planes, shape, self._position.dtype, self.info)


class PlaneImage:
    """One plane of a file, (C, Y, X). Several threads may read."""

    def __init__(
        self,
        path: Path,
        kind: str,
        planes: Sequence[Any],
        shape: tuple[int, int, int],
        dtype: np.dtype[np.generic],
        info: ImageInfo,
    ) -> None:
        """planes: what slices like an array (Y, X), one for each channel, or one (Y, X, S)."""
        self._path, self._kind, self._planes = path, kind, planes
        self.shape, self.info = shape, info
        self.dtype: np.dtype[np.generic] = dtype.newbyteorder("=")
        self._lock = threading.Lock()

    def read(self, top: int, left: int, bottom: int, right: int) -> Pixels:
        """Return the window (C, bottom - top, right - left), which must lie inside the image.

        Raises ImageError, naming the file, if this part is damaged or the file cannot be read any more.
        """
        try:
            with self._lock, as_image_error(self._kind):
                parts = [np.asarray(plane[top:bottom, left:right]) for plane in self._planes]
                pixels = parts[0].transpose(2, 0, 1) if parts[0].ndim == 3 else np.stack(parts)
                return pixels.astype(self.dtype)
        except ImageError as error:
            raise ImageError(f"{self._path}: {error}") from error


@contextmanager
def as_image_error(kind: str, extra: str = "formats") -> Iterator[None]:
    """Turn an exception of a reader into an ImageError that names the format ``kind``.

    A missing reader becomes a sentence with the command that installs ``extra``, the extra of Flowmask that holds it.

    >>> with as_image_error("Zeiss CZI"):
    ...     raise ValueError("no header")
    Traceback (most recent call last):
    flowmask.errors.ImageError: its Zeiss CZI data cannot be read (no header); open it and save it again, or remove it.
    """
    try:
        yield
    except (MemoryError, FlowmaskError):
        raise
    except ModuleNotFoundError as error:
        package = str(error.name).partition(".")[0]
        raise ImageError(
            f"the package {package}, which reads {kind}, is not installed; install it with "
            f'pip install "flowmask[{extra}]", or save the image as TIFF.'
        ) from error
    except Exception as error:  # the exceptions of the readers have no common base class
        raise ImageError(f"its {kind} data cannot be read ({one_line(error)}); {ADVICE}") from error
