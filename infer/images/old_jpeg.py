"""Old-style JPEG in TIFF (compression 6), of which there are several layouts (TIFF 6.0, section 22)."""

from __future__ import annotations

from typing import Any

import imagecodecs
import numpy as np
from tifffile import COMPRESSION
from tifffile.tifffile import jpeg_shape

from ..errors import ImageError, one_line
from .memmap import Pixels
from .size_limits import check_memory

START, END = b"\xff\xd8", b"\xff\xd9"
"""First and last bytes of a JPEG stream."""
STREAM_TAG, LENGTH_TAG = 513, 514
"""TIFF tags JPEGInterchangeFormat and JPEGInterchangeFormatLength: where a JPEG stream, or its header, lies."""
REFUSED = "its compression (old-style JPEG, 6) is stored in a way that cannot be read"
REMEDY = "open it in the program that made it and save it with another compression."


def decode_old_jpeg(page: Any) -> Pixels | None:
    """Decode a page of tifffile of old-style JPEG, (Y, X) or (Y, X, 3) uint8, whose file is open.

    None for a page of another compression, and if each tile or strip is a complete JPEG stream, which tifffile decodes.
    Raises ImageError if neither the tag JPEGInterchangeFormat gives the image, nor this tag and a single strip.
    """
    if page.keyframe.compression != COMPRESSION.OJPEG:
        return None
    handle = page.parent.filehandle
    segments = list(zip(page.dataoffsets, page.databytecounts, strict=False))
    if all(_read(handle, offset, 2) == START for offset, _ in segments):
        return None
    offset, length = (int(np.ravel(page.keyframe.tags.valueof(tag, 0))[0]) for tag in (STREAM_TAG, LENGTH_TAG))
    if not offset or not length:
        raise ImageError(f"{REFUSED}: it has no JPEG stream of its own; {REMEDY}")
    stream = _read(handle, offset, length)
    if not stream.rstrip(b"\0").endswith(END) and len(segments) == 1:
        stream += _read(handle, *segments[0])
    return _decoded(stream, page.keyframe)


def _read(handle: Any, offset: int, length: int) -> bytes:
    handle.seek(offset)
    data: bytes = handle.read(length)
    return data


def _decoded(stream: bytes, page: Any) -> Pixels:
    """Decode a JPEG stream. Raises ImageError unless it is complete and has the size of the page."""
    check_memory(page.nbytes)
    try:
        _, *shape = jpeg_shape(stream)
        if shape != [page.imagelength, page.imagewidth, page.samplesperpixel]:
            raise ImageError(f"{REFUSED}: its JPEG stream has another size than the image; {REMEDY}")
        pixels: Pixels = imagecodecs.jpeg_decode(stream)
    except (MemoryError, ImageError):
        raise
    except Exception as error:  # the exceptions of the codec have no common base class
        raise ImageError(f"{REFUSED} ({one_line(error)}); {REMEDY}") from error
    return pixels
