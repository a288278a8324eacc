"""Read TIFF files by window: only the tiles or strips that a window meets are decoded."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from ..errors import ImageError, one_line
from .colours import Colours
from .memmap import CACHE, HeldPixels, Pixels, map_file, release, room
from .size_limits import ADVICE, check_memory, check_size

MAX_UNNAMED_CHANNELS = 4
SCANNERS = ("svs", "ndpi", "scn", "bif", "philips", "avs")
"""Kinds of slide, as tifffile names them, that keep a label or an overview beside the image."""
ENDED = (8, 32946, 33003, 33004, 33005, 34712, 34933, 50000, 50001, 50002)
"""Compressions (zlib, JPEG 2000, PNG, zstd, WebP, JPEG XL) whose decoder knows where the data end."""
ROUNDED_UP = 2**24
"""Bytes past the end of the file that the last byte count of one of these may claim, as some writers round it up."""
PLANES = "save each plane as a file of its own, or as OME-TIFF with the axis C if they are channels."


class TiffImage:
    """The first image of a TIFF file at full resolution: (C, Y, X), its colours resolved (`flowmask.images.colours`).

    Uncompressed pixels are read from where they lie, tiles and strips decoded when a window needs them; what can be
    read neither way is decoded once, when the file is opened. Several threads may read.
    Raises ImageError when the file is damaged, claims too much, or is a stack or holds several images; OSError when it
    cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        try:
            with tifffile.TiffFile(path) as file:
                _check_chain(file)
                series = _only_image(file)
                page = series.keyframe
                _check_claims(page, file.filehandle.size)
                axes, shape = series.axes, series.shape
                if page.photometric == tifffile.PHOTOMETRIC.PALETTE:
                    axes, shape = axes + "S", (*shape, len(page.colormap))
                self._colours = Colours(page, *_channels(axes, shape))
                self._planes = _open_planes(path, series)
        except (OSError, MemoryError, ImageError):
            raise
        except Exception as error:  # tifffile and its codecs raise whatever the damage leads to
            raise ImageError(f"it is no TIFF image, or it is damaged ({one_line(error)}); {ADVICE}") from error

    @property
    def shape(self) -> tuple[int, int, int]:
        return self._colours.channels, *self._planes[0].shape[1:]

    @property
    def dtype(self) -> np.dtype[np.generic]:
        return self._colours.dtype(self._planes[0].dtype)

    def read(self, top: int, left: int, bottom: int, right: int) -> Pixels:
        """Return the window (C, bottom - top, right - left), which must lie inside the image.

        Raises ImageError, naming the file, when it is damaged there or can be read no more.
        """
        try:
            with self._lock:
                parts = [planes.read(top, left, bottom, right) for planes in self._planes]
            return self._colours.resolve(parts[0] if len(parts) == 1 else np.concatenate(parts))
        except MemoryError:
            raise
        except OSError as error:
            raise ImageError(f"{self._path}: it cannot be read ({error.strerror or error}).") from error
        except Exception as error:  # codecs raise whatever the damage leads to
            raise ImageError(f"{self._path}: it is damaged ({one_line(error)}); {ADVICE}") from error


class SegmentedPage:
    """A page of tiles or strips: its samples as (C, Y, X); ``budget`` bytes of what was decoded last are kept."""

    def __init__(self, path: Path, page: Any, budget: int) -> None:
        keyframe = page.keyframe
        self._path = path
        self._offsets, self._counts = page.dataoffsets, page.databytecounts
        self._decode, self._tables = keyframe.decode, page.jpegtables
        self._samples, _, self._height, self._width, self._interleaved = keyframe.shaped
        self._rows, self._columns = _segment_shape(keyframe)
        self._dtype: np.dtype[np.generic] = keyframe.dtype
        self._nodata: float = keyframe.nodata
        self._budget, self._size = budget, 0
        self._kept: OrderedDict[int, Pixels] = OrderedDict()

    @property
    def shape(self) -> tuple[int, int, int]:
        return self._samples * self._interleaved, self._height, self._width

    @property
    def dtype(self) -> np.dtype[np.generic]:
        return self._dtype

    def read(self, top: int, left: int, bottom: int, right: int) -> Pixels:
        """Return the window (C, bottom - top, right - left); what the file leaves out has the value for no data."""
        size = (self._samples, bottom - top, right - left, self._interleaved)
        window = np.full(size, self._nodata, self._dtype)
        down, across = math.ceil(self._height / self._rows), math.ceil(self._width / self._columns)
        for row in range(top // self._rows, math.ceil(bottom / self._rows)):
            for sample in range(self._samples):
                for column in range(left // self._columns, math.ceil(right / self._columns)):
                    segment = self._segment((sample * down + row) * across + column)
                    if segment is not None:
                        y, x = row * self._rows, column * self._columns
                        y0, y1 = max(y, top), min(y + self._rows, bottom)
                        x0, x1 = max(x, left), min(x + self._columns, right)
                        part = segment[y0 - y : y1 - y, x0 - x : x1 - x]
                        window[sample, y0 - top : y1 - top, x0 - left : x1 - left] = part
        return window.transpose(0, 3, 1, 2).reshape(-1, *size[1:3])

    def _segment(self, index: int) -> Pixels | None:
        """Return the decoded tile or strip (Y, X, C), or None where the file leaves it out."""
        if index in self._kept:
            self._kept.move_to_end(index)
            return self._kept[index]
        offset, count = self._offsets[index], self._counts[index]
        if not offset or not count:
            return None
        with self._path.open("rb") as file:
            file.seek(offset)
            data = file.read(count)
        segment: Pixels = self._decode(data, index, jpegtables=self._tables)[0][0]
        self._kept[index] = segment
        self._size += segment.nbytes
        while self._size > self._budget and len(self._kept) > 1:
            self._size -= self._kept.popitem(last=False)[1].nbytes
        return segment


def _check_claims(page: Any, size: int) -> None:
    """Raise ImageError where a file of ``size`` bytes cannot hold the image, or one of its tiles or strips."""
    claims = (page.imagelength, page.imagewidth), _segment_shape(page)
    if not all(isinstance(length, int) for claim in claims for length in claim):
        raise ImageError(f"its sizes are no single numbers; {ADVICE}")
    for height, width in claims:
        check_size(height, width, page.samplesperpixel, size)


def _check_chain(file: Any) -> None:
    """Raise ImageError where the list of pages does not end, but leads out of the file or back into it."""
    if file.is_ndpi:  # which has a list of its own
        return
    count, handle = len(file.pages), file.filehandle
    handle.seek(file.pages.next_page_offset or 0)
    if not count or any(handle.read(file.tiff.offsetsize)):
        raise ImageError(f"it is cut short, or its list of pages is damaged; {ADVICE}")


def _only_image(file: Any) -> Any:
    """Return tifffile's series of the one image; raise ImageError when there are several."""
    first, *others = file.series
    others = [other for other in others if not other.keyframe.is_reduced]
    if others and first.kind not in SCANNERS:
        raise ImageError(f"it holds {len(others) + 1} images; save each as a file of its own.")
    return first


def _squeeze(axes: str, shape: tuple[int, ...]) -> tuple[str, tuple[int, ...]]:
    """Leave axes of length 1 out, except Y and X."""
    kept = [(axis, length) for axis, length in zip(axes, shape, strict=True) if axis in "YX" or length > 1]
    return "".join(axis for axis, _ in kept), tuple(length for _, length in kept)


def _channels(axes: str, shape: tuple[int, ...]) -> tuple[str, int]:
    """Return the letter of the channel axis, empty when there is none, and its length; refuse stacks of images."""
    axes, shape = _squeeze(axes, shape)
    others = [axis for axis in axes if axis not in "YX"]
    if len(others) > 1 or not {"Y", "X"} <= set(axes):
        raise ImageError(f"its axes {axes} {shape} are a stack of images; {PLANES}")
    if not others:
        return "", 1
    count = shape[axes.index(others[0])]
    if others[0] in "ZTI" or (others[0] not in "SC" and count > MAX_UNNAMED_CHANNELS):
        raise ImageError(f"it is a stack of {count} planes (axes {axes}); {PLANES}")
    return others[0], count


def _channels_first(pixels: Pixels, axes: str) -> Pixels:
    """View an array with TIFF axes, which `_channels` accepts, as (C, Y, X)."""
    axes, shape = _squeeze(axes, pixels.shape)
    pixels = pixels.reshape(shape)
    if len(axes) == 2:
        return pixels[None]
    return np.moveaxis(pixels, [i for i, axis in enumerate(axes) if axis not in "YX"], [0])


def _open_planes(path: Path, series: Any) -> Sequence[HeldPixels | SegmentedPage]:
    """Return the stored channels, read in the cheapest way that yields the pixels of ``series.asarray()``."""
    keyframe, order = series.keyframe, series.parent.byteorder
    if keyframe.dtype is None or 0 in keyframe.shaped:
        raise ImageError("it has no pixels, or pixels of a type that cannot be read; save it as integers or floats.")
    if series.is_multifile:
        raise ImageError("its pixels lie in several files (OME-TIFF); save it as one file.")
    pages = list(series)
    if None in pages:
        raise ImageError(f"{pages.count(None)} of its {len(pages)} planes are missing; put them beside it.")
    rows, columns = _segment_shape(keyframe)
    check_memory(rows * columns * keyframe.shaped[4] * keyframe.dtype.itemsize)
    size = series.parent.filehandle.size
    beyond = ROUNDED_UP if keyframe.compression in ENDED else 0
    if not all(page.is_contiguous or _lies_within(page, size + beyond) for page in pages):
        raise ImageError(f"it is cut short; {ADVICE}")
    if series.transform is not None:
        return [_decode_whole(series)]
    if series.dataoffset is not None:
        mapping = map_file(path)
        pixels: Pixels = np.ndarray(series.shape, series.dtype.newbyteorder(order), mapping, series.dataoffset)
        return [HeldPixels(_channels_first(pixels, series.axes), mapping)]
    if not _pages_are_channels(series, pages):
        return [_decode_whole(series)]
    if all(page.is_final for page in pages):
        mapping, dtype = map_file(path), keyframe.dtype.newbyteorder(order)
        stored = [np.ndarray(keyframe.shape, dtype, mapping, page.dataoffsets[0]) for page in pages]
        return [HeldPixels(_channels_first(pixels, keyframe.axes), mapping) for pixels in stored]
    row = keyframe.nbytes * rows * columns * math.ceil(keyframe.imagewidth / columns) // math.prod(keyframe.shaped[2:4])
    if row * len(pages) > CACHE and row > keyframe.nbytes // 4:
        return [_decode_whole(series)]
    if not all(_is_listed(page) for page in pages):
        raise ImageError(f"some of its tiles or strips are not listed; {ADVICE}")
    if not all(_can_be_cut(page) and _lies_within(page, size) for page in pages):
        return [_decode_whole(series)]
    keyframe.init_decode()
    return [SegmentedPage(path, page, max(CACHE // len(pages), 2 * row)) for page in pages]


def _pages_are_channels(series: Any, pages: list[Any]) -> bool:
    """Tell whether the series is its pages one after the other, each with the Y and X that the series names."""
    keyframe = series.keyframe
    if keyframe.shaped[1] != 1:
        return False
    axes, shape = _squeeze(series.axes, series.shape)
    stacked, size = _squeeze("P" + keyframe.axes, (len(pages), *keyframe.shape))
    return shape == size and all(axes.index(axis) == stacked.index(axis) for axis in "YX")


def _is_listed(page: Any) -> bool:
    """Tell whether a page says of all its tiles or strips where they lie and how long they are."""
    listed = min(len(page.dataoffsets), len(page.databytecounts))
    return page.is_contiguous or page.keyframe.jpegheader is not None or listed >= math.prod(page.chunked)


def _can_be_cut(page: Any) -> bool:
    """Tell whether the tiles or strips of a page are none of those that only tifffile can read.

    Hamamatsu's slides and uncompressed pages with a predictor or reversed bits have rules of their own, and so have
    lists that are too long.
    """
    if page.keyframe.jpegheader is not None or page.is_contiguous:
        return False
    return bool(len(page.dataoffsets) == len(page.databytecounts) == math.prod(page.chunked))


def _lies_within(page: Any, size: int) -> bool:
    """Tell whether the tiles or strips of a page end within a file of ``size`` bytes."""
    ends = (offset + count for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False))
    return bool(max(ends, default=0) <= size)


def _segment_shape(page: Any) -> tuple[int, int]:
    """Return the rows and columns of a tile, or of a strip."""
    return (page.tilelength, page.tilewidth) if page.is_tiled else (page.rowsperstrip, page.imagewidth)


def _decode_whole(series: Any) -> HeldPixels:
    """Decode everything, above `flowmask.images.memmap.LARGE` bytes into a temporary file."""
    space, mapping = room(series.shape, series.dtype)
    pixels = series.asarray(out=space)
    release(mapping)
    return HeldPixels(_channels_first(pixels, series.axes), mapping)
