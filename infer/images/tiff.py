"""Read windows of TIFF files: only the tiles or strips that overlap the window are decoded."""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from ..errors import FlowmaskError, ImageError, one_line, printable
from .axes import Axes, squeeze, understand
from .colours import Colours
from .memmap import CACHE, HeldPixels, Pixels, allocate, hold, map_file, release
from .metadata import ome_image_count
from .nodata import WithoutGaps
from .old_jpeg import decode_old_jpeg
from .size_limits import ADVICE, check_memory, check_size
from .stack import Described
from .tiff_info import describe, display_only, lost_images, open_tiff
from .tile_cache import TileCache

SCANNERS = ("svs", "ndpi", "scn", "bif", "philips", "avs", "qpi")
"""Slide formats, as named by tifffile, whose files also contain photos of the slide or its label, which are smaller."""
SELF_ENDING = (8, 32946, 33003, 33004, 33005, 34712, 34933, 50000, 50001, 50002)
"""Compressions (zlib, JPEG 2000, PNG, zstd, WebP, JPEG XL) whose data mark their own end."""
PHOTO = re.compile(r"\b(label|macro|overview|thumbnail)\b", re.IGNORECASE)
"""Names of images in an OME-TIFF file that are photos of the slide or its label."""
ROUNDED_UP = 2**24
"""Bytes by which the last tile or strip may exceed the file with these compressions: some writers round its size up."""


def open_positions(path: Path, chosen: bool = False) -> list[TiffStack]:
    """Open a file and return its images: the positions of an OME-TIFF file, or one image.

    ``chosen``: the user chose a plane or a projection. Raises ImageError when the file is damaged or too large, or
    holds several images that are no positions; OSError when it cannot be opened.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     tifffile.imwrite(f"{folder}/a.tif", shape=(50, 60), dtype="u1")
    ...     len(open_positions(Path(folder, "a.tif")))
    1
    """
    with _as_image_error(), open_tiff(path) as file:
        _check_page_list(file)
        images, notes = _images(file)
        return [TiffStack(path, file, series, chosen, () if number else notes) for number, series in enumerate(images)]


class TiffStack:
    """An image of a TIFF file at full resolution: its planes and frames, opened one at a time."""

    def __init__(self, path: Path, file: Any, series: Any, chosen: bool, notes: tuple[str, ...] = ()) -> None:
        """file, series: of tifffile. notes: what is to be said about the other images of the file."""
        self._path, self._series = path, series
        page = series.keyframe
        _check_sizes(page, file.filehandle.size)
        self.axes = understand(series.axes, series.shape, chosen)
        self._colours = Colours(page, *_channels(self.axes), display_only(file, page))
        self._pages = _stored_pages(series)
        self.info = describe(file, series, self.axes, self._colours, notes)
        self._nodata = self.info.nodata
        self._rgb = page.photometric in (tifffile.PHOTOMETRIC.RGB, tifffile.PHOTOMETRIC.YCBCR)

    def image(self, frame: tuple[int, ...], plane: int) -> Described:
        """Return one plane of one frame, both counted from 0. Raises ImageError if it is damaged or incomplete."""
        with _as_image_error():
            handle = self._series.parent.filehandle
            handle.open()
            try:
                planes = _open_planes(self._path, self._series, self._pages, self.axes, self.axes.index(frame, plane))
            finally:
                handle.close()
        image = TiffImage(self._path, planes, self._colours)
        info = replace(self.info, notes=(*self.info.notes, *_unstored(planes)))
        return Described(image if self._nodata is None else WithoutGaps(image, self._nodata, self._rgb), info)


class TiffImage:
    """One plane of a TIFF file, (C, Y, X), with converted colours (`flowmask.images.colours`).

    Uncompressed pixels are read from the memory-mapped file, and compressed tiles or strips are decoded when a window
    needs them. A plane that allows neither is decoded completely when it is opened. Several threads may read.
    """

    def __init__(self, path: Path, planes: Sequence[HeldPixels | SegmentedPage], colours: Colours) -> None:
        """``planes``: readers that together give all channels."""
        self._path, self._planes, self._colours = path, planes, colours
        self._lock = threading.Lock()

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


@contextmanager
def _as_image_error() -> Iterator[None]:
    """Turn the exceptions that a damaged file causes in tifffile and its codecs into an ImageError."""
    try:
        yield
    except (OSError, MemoryError, FlowmaskError):
        raise
    except Exception as error:  # a damaged file can cause any exception in tifffile and its codecs
        raise ImageError(f"it is not a TIFF image, or it is damaged ({one_line(error)}); {ADVICE}") from error


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
        self.nodata: float = keyframe.nodata
        """The value of tiles and strips that are not stored."""
        self._segments = TileCache(self._segment, budget)
        self.segments = len(self._counts)
        """Number of tiles or strips."""
        self.unstored = max(self._offsets.count(0), self._counts.count(0))
        """How many of them are not stored."""

    @property
    def shape(self) -> tuple[int, int, int]:
        return self._samples * self._interleaved, self._height, self._width

    @property
    def dtype(self) -> np.dtype[np.generic]:
        return self._dtype

    def read(self, top: int, left: int, bottom: int, right: int) -> Pixels:
        """Return the window (C, bottom - top, right - left). Segments that are not stored have the value "nodata"."""
        size = (self._samples, bottom - top, right - left, self._interleaved)
        window = np.full(size, self.nodata, self._dtype)
        down, across = math.ceil(self._height / self._rows), math.ceil(self._width / self._columns)
        for row in range(top // self._rows, math.ceil(bottom / self._rows)):
            for sample in range(self._samples):
                for column in range(left // self._columns, math.ceil(right / self._columns)):
                    segment = self._segments.get((sample * down + row) * across + column)
                    if segment is not None:
                        y, x = row * self._rows, column * self._columns
                        y0, y1 = max(y, top), min(y + self._rows, bottom)
                        x0, x1 = max(x, left), min(x + self._columns, right)
                        part = segment[y0 - y : y1 - y, x0 - x : x1 - x]
                        window[sample, y0 - top : y1 - top, x0 - left : x1 - left] = part
        return window.transpose(0, 3, 1, 2).reshape(-1, *size[1:3])

    def _segment(self, index: int) -> Pixels | None:
        """Return a decoded segment (Y, X, C), or None if it is not stored."""
        offset, count = self._offsets[index], self._counts[index]
        if not offset or not count:
            return None
        with self._path.open("rb") as file:
            file.seek(offset)
            data = file.read(count)
        segment: Pixels = self._decode(data, index, jpegtables=self._tables)[0][0]
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


def _images(file: Any) -> tuple[list[Any], tuple[str, ...]]:
    """Return tifffile's series of the images to segment, and notes. Raises ImageError unless they are one or positions.

    Series that are flagged as reduced or as a mask, such as a thumbnail before the image, are not images; in an
    OME-TIFF file, neither are those named as photos of the slide.
    """
    every = list(file.series)
    if every[0].kind in SCANNERS:
        return _largest_scan(every)
    images = [one for one in every if not (one.keyframe.is_reduced or one.keyframe.is_mask)]
    if not images:
        return [max(every, key=lambda one: math.prod(one.keyframe.shape))], ()
    if not file.is_ome:
        if len(images) > 1:
            raise ImageError(f"it holds {len(images)} images; save each as a file of its own.")
        return images, lost_images(file, images[0])
    notes = []
    listed = ome_image_count(str(file.ome_metadata))
    if listed > len(every):
        notes.append(f"This file holds the pixels of {len(every)} of the {listed} images in its OME-XML.")
    extra = _unlisted_pages(file, every)
    if extra:
        notes.append(
            f"{extra} of its {len(file.pages)} pages are not in its OME-XML and are not segmented; if they are planes "
            "or frames, save the file again with complete metadata."
        )
    photos = [one for one in images if PHOTO.search(one.name)]
    if 0 < len(photos) < len(images):
        notes.append(f"Photos of the slide in it are not segmented: {', '.join(one.name for one in photos)}.")
        images = [one for one in images if one not in photos]
    return images, tuple(notes)


def _unlisted_pages(file: Any, every: list[Any]) -> int:
    """Return how many pages of full resolution are in none of tifffile's series of an OME-TIFF file."""
    listed = {page.index for series in every for page in series.pages if page is not None}
    others = (file.pages.get(number, aspage=True) for number in range(len(file.pages)) if number not in listed)
    return sum(not (page.is_reduced or page.is_mask) for page in others)


def _largest_scan(every: list[Any]) -> tuple[list[Any], tuple[str, ...]]:
    """Return the largest image of a slide, and a note about others of at least a quarter of its area: other scans."""
    areas = [one.keyframe.imagelength * one.keyframe.imagewidth for one in every]
    largest = areas.index(max(areas))
    scans = [one.name for one, area in zip(every, areas, strict=True) if area >= areas[largest] / 4]
    if len(scans) == 1:
        return [every[largest]], ()
    names = ", ".join(printable(name) for name in scans)
    return [every[largest]], (f"This slide has {len(scans)} scans ({names}), and only the largest is segmented.",)


def _channels(axes: Axes) -> tuple[str, int]:
    """Return the letter of the axis of channels (empty if there is none) and its length."""
    return ("", 1) if axes.channel is None else (axes.letters[axes.channel], axes.shape[axes.channel])


def _channels_first(pixels: Pixels, axes: str) -> Pixels:
    """Return a view (C, Y, X) of an array with the axes Y, X and at most one more."""
    order = [axes.index("Y"), axes.index("X")]
    channel = [at for at in range(len(axes)) if at not in order]
    return pixels.transpose(channel + order) if channel else pixels.transpose(order)[None]


def _open_planes(
    path: Path, series: Any, pages: list[Any], axes: Axes, index: tuple[int | slice, ...]
) -> Sequence[HeldPixels | SegmentedPage]:
    """Return readers that together give the channels of one plane, with as little decoding as possible.

    index: that of the plane in an array with these axes. One reader gives all channels, or each page has one.
    """
    keyframe, order = series.keyframe, series.parent.byteorder
    leading = None if series.transform is not None else _leading(series, axes, pages)
    if leading is None:
        selected = pages
    else:
        numbers = np.arange(len(pages)).reshape(axes.shape[:leading])[index[:leading]]
        selected = [pages[number] for number in np.ravel(numbers)]
    _check_complete(selected, series)
    if series.transform is None and series.dataoffset is not None:
        mapping = map_file(path)
        pixels: Pixels = np.ndarray(axes.shape, series.dtype.newbyteorder(order), mapping, series.dataoffset)
        return [HeldPixels(_channels_first(pixels[index], axes.remaining), mapping)]
    if leading is None:
        return [_decode_whole(series, axes, index)]
    decoded = [decode_old_jpeg(page) for page in selected]
    if decoded[0] is not None:
        return [hold(_channels_first(pixels, "YXS"[: pixels.ndim])) for pixels in decoded if pixels is not None]
    letters, shape = squeeze(keyframe.axes, keyframe.shape)
    if all(page.is_final for page in selected):
        mapping, dtype = map_file(path), keyframe.dtype.newbyteorder(order)
        stored = [np.ndarray(shape, dtype, mapping, page.dataoffsets[0]) for page in selected]
        return [HeldPixels(_channels_first(pixels, letters), mapping) for pixels in stored]
    return _open_segments(path, series, selected)


def _stored_pages(series: Any) -> list[Any]:
    """Return the pages of a series, None for a page that is missing.

    Raises ImageError unless they are in this file and one tile or strip fits into memory.
    """
    keyframe = series.keyframe
    if keyframe.dtype is None or 0 in keyframe.shaped:
        raise ImageError("it has no pixels, or pixels of a type that cannot be read; save it as integers or floats.")
    if series.is_multifile:
        raise ImageError("it is part of a multi-file OME-TIFF; save all as one file.")
    rows, columns = _segment_shape(keyframe)
    check_memory(rows * columns * keyframe.shaped[4] * keyframe.dtype.itemsize)
    return list(series)


def _check_complete(pages: list[Any], series: Any) -> None:
    """Raise ImageError unless the file holds all pixels of these pages."""
    if None in pages:
        raise ImageError(
            f"{pages.count(None)} of its {len(pages)} planes are missing; save the complete image as one file."
        )
    size, compression = series.parent.filehandle.size, series.keyframe.compression
    excess = ROUNDED_UP if compression in SELF_ENDING else 0
    whole = series.dataoffset is None or series.dataoffset + series.nbytes <= size
    if not series.keyframe.is_contiguous and not any(sum(page.databytecounts) for page in pages):
        raise ImageError("its pixels are missing, because all its tiles or strips are empty; save it again.")
    if not whole or not all(_ends_within(page, size + (0 if page.is_contiguous else excess)) for page in pages):
        raise ImageError(f"it is incomplete; {ADVICE}")


def _open_segments(path: Path, series: Any, pages: list[Any]) -> Sequence[HeldPixels | SegmentedPage]:
    """Return a `SegmentedPage` for each page, or decode the whole image if windows would be slow or unsafe.

    Windows are slow if one row of tiles or strips exceeds the cache and is more than a quarter of the page.
    """
    keyframe = series.keyframe
    rows, columns = _segment_shape(keyframe)
    row = keyframe.nbytes * rows * columns * math.ceil(keyframe.imagewidth / columns) // math.prod(keyframe.shaped[2:4])
    if row * len(pages) > CACHE and row > keyframe.nbytes // 4:
        return _decode_pages(pages)
    if not all(_is_listed(page) for page in pages):
        raise ImageError(f"its list of tiles or strips is incomplete; {ADVICE}")
    size = series.parent.filehandle.size
    if not all(_is_segmented(page) and _ends_within(page, size) for page in pages):
        return _decode_pages(pages)
    keyframe.init_decode()
    return [SegmentedPage(path, page, max(CACHE // len(pages), 2 * row)) for page in pages]


def _unstored(planes: Sequence[HeldPixels | SegmentedPage]) -> list[str]:
    """Return a note if tiles or strips are not stored, as writers of mosaics leave out empty ones."""
    pages = [page for page in planes if isinstance(page, SegmentedPage)]
    lost, count = sum(page.unstored for page in pages), sum(page.segments for page in pages)
    if not lost:
        return []
    return [f"{lost:,} of its {count:,} tiles or strips are not stored; they count as {pages[0].nodata:g}."]


def _leading(series: Any, axes: Axes, pages: list[Any]) -> int | None:
    """Return how many first axes number the pages, or None unless stacking the pages in order gives the series."""
    keyframe = series.keyframe
    letters, shape = squeeze(keyframe.axes, keyframe.shape)
    leading = len(axes.letters) - len(letters)
    if keyframe.shaped[1] != 1 or leading < 0 or any(axis in "YX" for axis in axes.letters[:leading]):
        return None
    same = axes.shape[leading:] == shape and math.prod(axes.shape[:leading]) == len(pages)
    order = all(axes.letters.index(axis) - leading == letters.index(axis) for axis in "YX")
    return leading if same and order else None


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
    if page.is_contiguous:
        return bool(page.dataoffsets[0] + page.nbytes <= size)
    ends = (offset + count for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False))
    return bool(max(ends, default=0) <= size)


def _segment_shape(page: Any) -> tuple[int, int]:
    """Return (rows, columns) of a tile or strip."""
    return (page.tilelength, page.tilewidth) if page.is_tiled else (page.rowsperstrip, page.imagewidth)


def _decode_whole(series: Any, axes: Axes, index: tuple[int | slice, ...]) -> HeldPixels:
    """Decode the whole series and return one plane; above `memmap.LARGE` bytes, decode into a temporary file."""
    buffer, mapping = allocate(series.shape, series.dtype)
    pixels = series.asarray(out=buffer).reshape(axes.shape)
    release(mapping)
    return HeldPixels(_channels_first(pixels[index], axes.remaining), mapping)


def _decode_pages(pages: list[Any]) -> list[HeldPixels]:
    """Decode pages completely; above `memmap.LARGE` bytes, into temporary files."""
    held = []
    for page in pages:
        letters, shape = squeeze(page.keyframe.axes, page.keyframe.shape)
        buffer, mapping = allocate(page.keyframe.shape, page.keyframe.dtype)
        pixels = page.asarray(out=buffer).reshape(shape)
        release(mapping)
        held.append(HeldPixels(_channels_first(pixels, letters), mapping))
    return held
