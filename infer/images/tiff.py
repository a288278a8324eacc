"""Read windows of TIFF files: only the tiles or strips that overlap the window are decoded."""

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
from .memmap import CACHE, HeldPixels, Pixels, allocate, map_file, release
from .size_limits import ADVICE, check_memory, check_size

MAX_UNNAMED_CHANNELS = 4
"""An axis without a TIFF name is the axis of channels only if it has at most this length."""
SCANNERS = ("svs", "ndpi", "scn", "bif", "philips", "avs")
"""Slide formats, as named by tifffile, whose files also contain a photo of the label or an overview."""
SELF_ENDING = (8, 32946, 33003, 33004, 33005, 34712, 34933, 50000, 50001, 50002)
"""Compressions (zlib, JPEG 2000, PNG, zstd, WebP, JPEG XL) whose data mark their own end."""
ROUNDED_UP = 2**24
"""Bytes by which the last tile or strip may exceed the file with these compressions: some writers round its size up."""
SAVE_PLANES = "save each plane as a file of its own, or as OME-TIFF with the axis C if they are channels."


class TiffImage:
    """The first image of a TIFF file at full resolution, (C, Y, X), with converted colours (`flowmask.images.colours`).

    Uncompressed pixels are read from the memory-mapped file, and compressed tiles or strips are decoded when a window
    needs them. A file that allows neither is decoded completely when it is opened. Several threads may read.
    """

    def __init__(self, path: Path) -> None:
        """Open a file.

        Raises ImageError when the file is damaged or too large, is a stack, or holds several images; OSError when it
        cannot be opened.
        """
        self._path = path
        self._lock = threading.Lock()
        try:
            with tifffile.TiffFile(path) as file:
                _check_page_list(file)
                series = _only_image(file)
                page = series.keyframe
                _check_sizes(page, file.filehandle.size)
                axes, shape = series.axes, series.shape
                if page.photometric == tifffile.PHOTOMETRIC.PALETTE:
                    axes, shape = axes + "S", (*shape, len(page.colormap))
                self._colours = Colours(page, *_channels(axes, shape))
                self._planes = _open_planes(path, series)
        except (OSError, MemoryError, ImageError):
            raise
        except Exception as error:  # a damaged file can cause any exception in tifffile and its codecs
            raise ImageError(f"it is not a TIFF image, or it is damaged ({one_line(error)}); {ADVICE}") from error

    @property
    def shape(self) -> tuple[int, int, int]:
        return self._colours.channels, *self._planes[0].shape[1:]

    @property
    def dtype(self) -> np.dtype[np.generic]:
        return self._colours.dtype(self._planes[0].dtype)

    def read(self, top: int, left: int, bottom: int, right: int) -> Pixels:
        """Return the window (C, bottom - top, right - left), which must lie inside the image.

        Raises ImageError, naming the file, when this part is damaged or the file cannot be read any more.
        """
        try:
            with self._lock:
                parts = [planes.read(top, left, bottom, right) for planes in self._planes]
            return self._colours.resolve(parts[0] if len(parts) == 1 else np.concatenate(parts))
        except MemoryError:
            raise
        except OSError as error:
            raise ImageError(
                f"{self._path}: it cannot be read ({error.strerror or error}); check the file and the disk."
            ) from error
        except Exception as error:  # a damaged file can cause any exception in a codec
            raise ImageError(f"{self._path}: it is damaged ({one_line(error)}); {ADVICE}") from error


class SegmentedPage:
    """The samples (C, Y, X) of a TIFF page that consists of compressed tiles or strips ("segments")."""

    def __init__(self, path: Path, page: Any, budget: int) -> None:
        """``page``: a page of tifffile. ``budget``: bytes of decoded segments in the cache, the last used ones."""
        keyframe = page.keyframe
        self._path = path
        self._offsets, self._counts = page.dataoffsets, page.databytecounts
        self._decode, self._tables = keyframe.decode, page.jpegtables
        self._samples, _, self._height, self._width, self._interleaved = keyframe.shaped
        self._rows, self._columns = _segment_shape(keyframe)
        self._dtype: np.dtype[np.generic] = keyframe.dtype
        self._nodata: float = keyframe.nodata
        self._budget, self._cached_bytes = budget, 0
        self._cache: OrderedDict[int, Pixels] = OrderedDict()

    @property
    def shape(self) -> tuple[int, int, int]:
        return self._samples * self._interleaved, self._height, self._width

    @property
    def dtype(self) -> np.dtype[np.generic]:
        return self._dtype

    def read(self, top: int, left: int, bottom: int, right: int) -> Pixels:
        """Return the window (C, bottom - top, right - left). Segments that are not stored have the value "nodata"."""
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
        """Return a decoded segment (Y, X, C), or None if it is not stored."""
        if index in self._cache:
            self._cache.move_to_end(index)
            return self._cache[index]
        offset, count = self._offsets[index], self._counts[index]
        if not offset or not count:
            return None
        with self._path.open("rb") as file:
            file.seek(offset)
            data = file.read(count)
        segment: Pixels = self._decode(data, index, jpegtables=self._tables)[0][0]
        self._cache[index] = segment
        self._cached_bytes += segment.nbytes
        while self._cached_bytes > self._budget and len(self._cache) > 1:
            self._cached_bytes -= self._cache.popitem(last=False)[1].nbytes
        return segment


def _check_sizes(page: Any, size: int) -> None:
    """Raise ImageError if a file of ``size`` bytes cannot hold the image, or one of its tiles or strips."""
    shapes = (page.imagelength, page.imagewidth), _segment_shape(page)
    if not all(isinstance(length, int) for shape in shapes for length in shape):
        raise ImageError(f"its width or height is not a single number; {ADVICE}")
    for height, width in shapes:
        check_size(height, width, page.samplesperpixel, size)


def _check_page_list(file: Any) -> None:
    """Raise ImageError if the linked list of pages has no end: it leaves the file, or returns to an earlier page."""
    if file.is_ndpi:  # this format has another list
        return
    count, handle = len(file.pages), file.filehandle
    handle.seek(file.pages.next_page_offset or 0)
    if not count or any(handle.read(file.tiff.offsetsize)):
        raise ImageError(f"it is incomplete, or its list of pages is damaged; {ADVICE}")


def _only_image(file: Any) -> Any:
    """Return tifffile's series of the image. Raises ImageError if the file holds several images."""
    first, *others = file.series
    others = [other for other in others if not other.keyframe.is_reduced]
    if others and first.kind not in SCANNERS:
        raise ImageError(f"it holds {len(others) + 1} images; save each as a file of its own.")
    return first


def _squeeze(axes: str, shape: tuple[int, ...]) -> tuple[str, tuple[int, ...]]:
    """Remove axes of length 1, except Y and X.

    >>> _squeeze("ZCYX", (1, 3, 50, 60))
    ('CYX', (3, 50, 60))
    """
    remaining = [(axis, length) for axis, length in zip(axes, shape, strict=True) if axis in "YX" or length > 1]
    return "".join(axis for axis, _ in remaining), tuple(length for _, length in remaining)


def _channels(axes: str, shape: tuple[int, ...]) -> tuple[str, int]:
    """Return the letter of the axis of channels (empty if there is none) and its length.

    Raises ImageError for a stack of images.

    >>> _channels("YXS", (50, 60, 3)), _channels("YX", (50, 60))
    (('S', 3), ('', 1))
    """
    axes, shape = _squeeze(axes, shape)
    others = [axis for axis in axes if axis not in "YX"]
    if len(others) > 1 or not {"Y", "X"} <= set(axes):
        raise ImageError(f"its axes {axes} {shape} are those of a stack of images; {SAVE_PLANES}")
    if not others:
        return "", 1
    count = shape[axes.index(others[0])]
    if others[0] in "ZTI" or (others[0] not in "SC" and count > MAX_UNNAMED_CHANNELS):
        raise ImageError(f"it is a stack of {count} planes (axes {axes}); {SAVE_PLANES}")
    return others[0], count


def _channels_first(pixels: Pixels, axes: str) -> Pixels:
    """Return a view (C, Y, X) of an array whose TIFF axes `_channels` accepts."""
    axes, shape = _squeeze(axes, pixels.shape)
    pixels = pixels.reshape(shape)
    if len(axes) == 2:
        return pixels[None]
    return np.moveaxis(pixels, [i for i, axis in enumerate(axes) if axis not in "YX"], [0])


def _open_planes(path: Path, series: Any) -> Sequence[HeldPixels | SegmentedPage]:
    """Return readers that together give the channels of ``series.asarray()``, with as little decoding as possible.

    One reader gives all channels, or each page has a reader of its own. Raises ImageError if the file is incomplete.
    """
    pages = _complete_pages(series)
    keyframe, order = series.keyframe, series.parent.byteorder
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
    return _open_segments(path, series, pages)


def _complete_pages(series: Any) -> list[Any]:
    """Return the pages of a series.

    Raises ImageError unless this file holds all their pixels and one tile or strip fits into memory.
    """
    keyframe = series.keyframe
    if keyframe.dtype is None or 0 in keyframe.shaped:
        raise ImageError("it has no pixels, or pixels of a type that cannot be read; save it as integers or floats.")
    if series.is_multifile:
        raise ImageError("its pixels are stored in several files (OME-TIFF); save it as one file.")
    pages = list(series)
    if None in pages:
        raise ImageError(
            f"{pages.count(None)} of its {len(pages)} planes are missing; save the complete image as one file."
        )
    rows, columns = _segment_shape(keyframe)
    check_memory(rows * columns * keyframe.shaped[4] * keyframe.dtype.itemsize)
    size = series.parent.filehandle.size
    excess = ROUNDED_UP if keyframe.compression in SELF_ENDING else 0
    if not all(page.is_contiguous or _ends_within(page, size + excess) for page in pages):
        raise ImageError(f"it is incomplete; {ADVICE}")
    return pages


def _open_segments(path: Path, series: Any, pages: list[Any]) -> Sequence[HeldPixels | SegmentedPage]:
    """Return a `SegmentedPage` for each page, or decode the whole image if windows would be slow or unsafe.

    Windows are slow if one row of tiles or strips exceeds the cache and is more than a quarter of the page.
    """
    keyframe = series.keyframe
    rows, columns = _segment_shape(keyframe)
    row = keyframe.nbytes * rows * columns * math.ceil(keyframe.imagewidth / columns) // math.prod(keyframe.shaped[2:4])
    if row * len(pages) > CACHE and row > keyframe.nbytes // 4:
        return [_decode_whole(series)]
    if not all(_is_listed(page) for page in pages):
        raise ImageError(f"its list of tiles or strips is incomplete; {ADVICE}")
    size = series.parent.filehandle.size
    if not all(_is_segmented(page) and _ends_within(page, size) for page in pages):
        return [_decode_whole(series)]
    keyframe.init_decode()
    return [SegmentedPage(path, page, max(CACHE // len(pages), 2 * row)) for page in pages]


def _pages_are_channels(series: Any, pages: list[Any]) -> bool:
    """Return whether stacking the pages along a new first axis gives the series, with Y and X at the same places."""
    keyframe = series.keyframe
    if keyframe.shaped[1] != 1:
        return False
    axes, shape = _squeeze(series.axes, series.shape)
    stacked, size = _squeeze("P" + keyframe.axes, (len(pages), *keyframe.shape))
    return shape == size and all(axes.index(axis) == stacked.index(axis) for axis in "YX")


def _is_listed(page: Any) -> bool:
    """Return whether the page lists the offset and size of every tile or strip."""
    listed = min(len(page.dataoffsets), len(page.databytecounts))
    return page.is_contiguous or page.keyframe.jpegheader is not None or listed >= math.prod(page.chunked)


def _is_segmented(page: Any) -> bool:
    """Return whether `SegmentedPage` can decode the tiles or strips of a page.

    The exceptions, which only tifffile can read, are Hamamatsu's NDPI slides, uncompressed pages with a predictor or
    reversed bits, and pages whose list of tiles or strips is too long.
    """
    if page.keyframe.jpegheader is not None or page.is_contiguous:
        return False
    return bool(len(page.dataoffsets) == len(page.databytecounts) == math.prod(page.chunked))


def _ends_within(page: Any, size: int) -> bool:
    """Return whether all tiles or strips of a page end within a file of ``size`` bytes."""
    ends = (offset + count for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False))
    return bool(max(ends, default=0) <= size)


def _segment_shape(page: Any) -> tuple[int, int]:
    """Return (rows, columns) of a tile or strip."""
    return (page.tilelength, page.tilewidth) if page.is_tiled else (page.rowsperstrip, page.imagewidth)


def _decode_whole(series: Any) -> HeldPixels:
    """Decode the whole image; above `flowmask.images.memmap.LARGE` bytes, into a temporary file."""
    buffer, mapping = allocate(series.shape, series.dtype)
    pixels = series.asarray(out=buffer)
    release(mapping)
    return HeldPixels(_channels_first(pixels, series.axes), mapping)
