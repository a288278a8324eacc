"""OME-Zarr folders (https://ngff.openmicroscopy.org), read in windows of the full resolution with the package zarr."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ImageError, printable
from .memmap import CACHE, Pixels
from .metadata import in_micrometres
from .planes import PlaneStack, Position, as_image_error, stacks
from .size_limits import check_memory
from .tile_cache import TileCache

KIND = "OME-Zarr"
LETTERS = {"channel": "C", "time": "T"}
"""Our letter of an axis by its type. Axes of space are known by their names."""
UNNAMED = "Q"
"""Letter of an axis with another meaning, as in tifffile."""
FIVE = ("0.1", "0.2")
"""Versions that do not name the axes, which are always t, c, z, y and x."""
MOST_NAMED = 3
"""A message names at most this many images."""


def open_ome_zarr(path: Path, kind: str, chosen: bool) -> list[PlaneStack]:
    """Open the image of an OME-Zarr folder, or the only image in it.

    Raises ImageError if the folder holds several images or none, a level is missing, or the image cannot be read.
    """
    with as_image_error(KIND, "zarr"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about files beside the image; they are not for our user
        import zarr

        root = zarr.open(path, mode="r", use_consolidated=False)
        group, notes = _image_group(path, root)
        about = _attributes(group)
        version = about.get("version") or about["multiscales"][0].get("version")
        return stacks(path, f"{KIND} {version or ''}".strip(), [_position(group, about, version, notes)], chosen)


def _attributes(group: Any) -> Mapping[str, Any]:
    """Return the metadata of a group: those of version 0.5 are in a part of their own."""
    attributes = dict(group.attrs)
    found: Mapping[str, Any] = attributes.get("ome", attributes)
    return found


def _image_group(path: Path, root: Any) -> tuple[Any, list[str]]:
    """Return the group of the image, and notes about the choice. Raises ImageError unless there is one image."""
    if not hasattr(root, "groups"):
        raise ImageError(
            "it is a plain Zarr array without OME-Zarr metadata; open it in Python and give it to flowmask.segment."
        )
    about = _attributes(root)
    if "image-label" in about:
        raise ImageError("it is a label image; give the image to which it belongs.")
    if about.get("multiscales"):
        return root, []
    for key, parts, what in (("plate", "wells", "a plate"), ("well", "images", "a well")):
        if key in about:
            names = [str(one["path"]) + ("/0" if key == "plate" else "") for one in about[key].get(parts, [])]
            raise ImageError(f"it is {what}, and its images are folders of their own; {_give(path, names)}")
    inner = {name: _attributes(group) for name, group in root.groups()}
    names = sorted(name for name, one in inner.items() if one.get("multiscales") and "image-label" not in one)
    if len(names) == 1:
        return root[names[0]], [f"The image in it is {printable(names[0])}."]
    if names:
        raise ImageError(f"it holds {len(names)} images; {_give(path, names)}")
    raise ImageError(
        "it is a Zarr folder without an OME-Zarr image at its top; give the folder of the image in it, or open its "
        "array in Python and give that to flowmask.segment."
    )


def _give(path: Path, names: Sequence[str]) -> str:
    """Return the advice to give images by their own names."""
    shown = ", ".join(printable(f"{path}/{name}") for name in names[:MOST_NAMED])
    return f"give one or more of them: {shown}{', ...' if len(names) > MOST_NAMED else '.'}"


def _position(group: Any, about: Mapping[str, Any], version: object, notes: list[str]) -> Position:
    multiscale = about["multiscales"][0]
    levels = multiscale["datasets"]
    missing = [str(level["path"]) for level in levels if level["path"] not in group]
    if missing:
        raise ImageError(f"its level {printable(missing[0])} is missing; copy the whole folder again.")
    arrays = [group[level["path"]] for level in levels]
    array = arrays[0]
    axes = _axes(multiscale, version)
    letters = [_letter(axis) for axis in axes]
    if len(letters) != array.ndim or len(set(letters)) != len(letters) or not {"Y", "X"} <= set(letters):
        names = ", ".join(printable(str(axis["name"])) for axis in axes)
        raise ImageError(f"its axes ({names}) do not fit an array of shape {array.shape}; save it as OME-TIFF.")
    y, x = letters.index("Y"), letters.index("X")
    sizes = dict(zip(letters, array.shape, strict=True))
    stored, lost = _stored(array)

    def plane(chosen: Mapping[str, int]) -> ChunkedPlane:
        index = [slice(None) if letter in "YX" else chosen.get(letter, 0) for letter in letters]
        return ChunkedPlane(array, index, y, x, CACHE // sizes.get("C", 1))

    return Position(
        sizes,
        array.dtype,
        plane,
        str(multiscale.get("name") or ""),
        [str(channel.get("label") or "") for channel in about.get("omero", {}).get("channels", [])],
        _pixel_size(multiscale, axes, x),
        [(one.shape[y], one.shape[x]) for one in arrays],
        [*notes, *lost],
        stored,
    )


def _axes(multiscale: Mapping[str, Any], version: object) -> list[dict[str, Any]]:
    """Return the axes as version 0.4 lists them: with name and, where known, type and unit."""
    axes = multiscale.get("axes") or (list("tczyx") if version in FIVE else [])
    if not axes:
        raise ImageError("its metadata do not name its axes; save it as OME-Zarr 0.5 or as OME-TIFF.")
    return [{"name": axis} if isinstance(axis, str) else axis for axis in axes]


def _letter(axis: Mapping[str, Any]) -> str:
    """Return our letter of an axis.

    >>> [_letter({"name": name}) for name in ("t", "c", "y", "angle")], _letter({"name": "stain", "type": "channel"})
    (['T', 'C', 'Y', 'Q'], 'C')
    """
    name = str(axis["name"]).upper()
    return LETTERS.get(str(axis.get("type")), name if name in tuple("TCZYX") else UNNAMED)


def _pixel_size(multiscale: Mapping[str, Any], axes: Sequence[Mapping[str, Any]], x: int) -> float | None:
    """Return the width of a pixel in micrometres, None without a unit."""
    scales = [
        transformation["scale"][x]
        for one in (multiscale["datasets"][0], multiscale)
        for transformation in one.get("coordinateTransformations", [])
        if transformation.get("type") == "scale" and "scale" in transformation
    ]
    unit = axes[x].get("unit")
    return in_micrometres(math.prod(scales), unit) if scales and unit else None


def _stored(array: Any) -> tuple[int, list[str]]:
    """Return how many bytes the stored chunks (or shards) of an array take, decoded, and a note if some are missing.

    Raises ImageError if none is stored.
    """
    shape = array.shards or array.chunks
    count = math.prod(math.ceil(length / part) for length, part in zip(array.shape, shape, strict=True))
    found = array.nchunks_initialized * math.prod(array.chunks) // math.prod(shape)
    if not found:
        raise ImageError("its pixels are missing, because none of its chunks is stored; copy the whole folder again.")
    lost = f"{count - found:,} of its {count:,} chunks are not stored; they count as {float(array.fill_value or 0):g}."
    return found * math.prod(shape) * array.dtype.itemsize, [lost] if found < count else []


class ChunkedPlane:
    """One plane of a Zarr array that slices like an array (Y, X). The last used chunks are kept decoded."""

    def __init__(self, array: Any, index: Sequence[int | slice], y: int, x: int, budget: int) -> None:
        """index: that of the plane. y, x: the axes of rows and columns. budget: bytes of chunks to keep, or two rows.

        Raises ImageError if a chunk is too large.
        """
        self._array, self._index, self._y, self._x = array, index, y, x
        self._rows, self._columns = array.chunks[y], array.chunks[x]
        size = array.dtype.itemsize
        check_memory(math.prod(array.chunks) * size)
        row = self._rows * math.ceil(array.shape[x] / self._columns) * self._columns * size
        self._chunks = TileCache(self._chunk, max(budget, 2 * row))

    def __getitem__(self, window: tuple[slice, slice]) -> Pixels:
        (top, bottom), (left, right) = ((part.start, part.stop) for part in window)
        pixels = np.empty((bottom - top, right - left), self._array.dtype)
        for y in range(top // self._rows * self._rows, bottom, self._rows):
            for x in range(left // self._columns * self._columns, right, self._columns):
                chunk = self._chunks.get((y, x))
                assert chunk is not None
                y0, x0 = max(y, top), max(x, left)
                part = chunk[y0 - y : bottom - y, x0 - x : right - x]
                pixels[y0 - top : y0 - top + part.shape[0], x0 - left : x0 - left + part.shape[1]] = part
        return pixels

    def _chunk(self, place: tuple[int, int]) -> Pixels:
        """Return the chunk (Y, X) of this plane that begins at a row and a column."""
        index = list(self._index)
        index[self._y] = slice(place[0], place[0] + self._rows)
        index[self._x] = slice(place[1], place[1] + self._columns)
        chunk: Pixels = np.asarray(self._array[tuple(index)])
        return chunk if self._y < self._x else chunk.T
