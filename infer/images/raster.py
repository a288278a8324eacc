"""Read PNG, JPEG and BMP files: check the size in the header, then decode the whole image at once."""

from __future__ import annotations

import logging
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import imagecodecs
import numpy as np

from ..errors import ImageError, one_line
from .bmp_runs import without_runs
from .memmap import Pixels
from .size_limits import ADVICE, check_memory, check_size

logging.getLogger("imagecodecs").addHandler(logging.NullHandler())  # its messages are not about the pixels
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_CHANNELS = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}
"""Number of channels of each PNG colour type after decoding (a palette gives red, green and blue)."""
BEFORE_PIXELS = 65_536
"""Bytes of a PNG file in which the chunks before its pixels are looked at."""
BMP_MASKED, BMP_MASKS = (3, 6), (0xFF0000, 0xFF00, 0xFF)
"""Compressions of BMP whose pixels are divided by masks, and the usual masks of red, green and blue."""
JPEG_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD9)}
"""JPEG markers that have no length and no data."""
JPEG_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""JPEG markers of a frame header, which holds the size of the image."""


def read_picture(path: Path, kind: str) -> Pixels:
    """Decode a file of format ``kind``, "PNG", "JPEG" or "BMP": (C, Y, X) uint8 or uint16, C = 1 or 3 (RGB).

    Alpha is ignored, and a rotation in EXIF is not applied. Raises ImageError when the file is damaged or too large to
    decode, OSError when it cannot be read.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     _ = cv2.imwrite(f"{folder}/a.png", np.zeros((50, 60, 3), np.uint8))
    ...     read_picture(Path(folder, "a.png"), "PNG").shape
    (3, 50, 60)
    """
    data = path.read_bytes()
    try:
        height, width, channels, depth = _HEADERS[kind](data)
    except (struct.error, IndexError, KeyError) as error:
        raise ImageError(f"its {kind} header is damaged; {ADVICE}") from error
    check_size(height, width, channels, len(data))
    check_memory(height * width * channels * depth)
    if kind == "BMP" and not _bmp_is_old(data):
        data = without_runs(data)
    pixels = _decode_png(data) if kind == "PNG" else _decode(data, kind)
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def picture_notes(path: Path, kind: str) -> tuple[str, ...]:
    """Return a note if a PNG file is an animation, of which only the first picture is read.

    Such a file has the chunk acTL before its pixels (APNG specification).

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     _ = cv2.imwrite(f"{folder}/a.png", np.zeros((50, 60, 3), np.uint8))
    ...     picture_notes(Path(folder, "a.png"), "PNG")
    ()
    """
    if kind != "PNG":
        return ()
    with path.open("rb") as file:
        before = file.read(BEFORE_PIXELS).partition(b"IDAT")[0]
    return ("It is an animation, and only its first picture is read.",) if b"acTL" in before else ()


def _decode_png(data: bytes) -> Pixels:
    """Return (Y, X), or (Y, X, 3) as red, green and blue."""
    _check_chunks(data)
    try:
        pixels: Pixels = imagecodecs.png_decode(data)
    except MemoryError:
        raise
    except Exception as error:  # the exceptions of the codec have no common base class
        raise ImageError(f"it is a damaged PNG file ({one_line(error)}); {ADVICE}") from error
    if pixels.ndim == 2:
        return pixels
    return pixels[..., 0] if pixels.shape[2] == 2 else pixels[..., :3]


def _check_chunks(data: bytes) -> None:
    """Raise ImageError if a critical chunk (an upper-case first letter) is incomplete or has a wrong checksum.

    The decoder finds such damage too. But each time, imagecodecs 2026.3 decrements the reference count of Python's None
    once too often. Chunks: PNG specification, section 5.
    """
    at, kind = len(PNG_SIGNATURE), b""
    while kind != b"IEND":
        length, kind = struct.unpack_from(">I4s", data, at) if at + 8 <= len(data) else (0, b"")
        end = at + 12 + length
        if not kind.isalpha() or end > len(data):
            raise ImageError(f"it is an incomplete or damaged PNG file; {ADVICE}")
        critical = kind[:1].isupper()
        if critical and zlib.crc32(memoryview(data)[at + 4 : end - 4]) != int.from_bytes(data[end - 4 : end], "big"):
            raise ImageError(f"it is a damaged PNG file (its {kind.decode()} fails its checksum); {ADVICE}")
        at = end


def _decode(data: bytes, kind: str) -> Pixels:
    """Decode a JPEG or BMP file with OpenCV: (Y, X), or (Y, X, 3) as red, green and blue."""
    # OpenCV reads a BMP file with the header of OS/2 as grey unless colours are requested.
    mode = cv2.IMREAD_COLOR if kind == "BMP" and _bmp_depth(data) > 8 else cv2.IMREAD_UNCHANGED
    try:
        with _quiet():
            pixels = cv2.imdecode(np.frombuffer(data, np.uint8), mode)
    except cv2.error as error:
        if error.code == cv2.Error.STS_NO_MEM:
            raise MemoryError from error
        raise ImageError(f"OpenCV cannot decode it ({one_line(error)}); save it as TIFF.") from error
    if pixels is None:
        raise ImageError(f"it is a damaged or unsupported {kind} file; open it and save it as PNG.")
    return pixels if pixels.ndim == 2 else pixels[..., 2::-1]


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep OpenCV from printing lines on stderr about a damaged file."""
    level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(level)


def _png_header(data: bytes) -> tuple[int, int, int, int]:
    """Return height, width, channels and bytes per value of the decoded image."""
    width, height, depth, colour = struct.unpack_from(">IIBB", data, 16)
    return height, width, PNG_CHANNELS[colour], 2 if depth == 16 else 1


def _bmp_header(data: bytes) -> tuple[int, int, int, int]:
    """Return height, width, largest number of channels and bytes per value. Raises ImageError for unusual colours.

    A negative height in the file means that the top row is stored first.
    """
    old = _bmp_is_old(data)
    if not old:
        _check_masks(data)
    width, height = struct.unpack_from("<HH" if old else "<ii", data, 18)
    return abs(height), abs(width), 4, 1


def _bmp_depth(data: bytes) -> int:
    """Return the bits per pixel; a pixel of up to 8 bits is an index into a palette."""
    return int.from_bytes(data[24:26] if _bmp_is_old(data) else data[28:30], "little")


def _check_masks(data: bytes) -> None:
    """Raise ImageError for masks that OpenCV ignores: those of 32 bits behind the header of 40 bytes."""
    (size,), (bits, compression) = struct.unpack_from("<I", data, 14), struct.unpack_from("<HI", data, 28)
    if (size, bits) == (40, 32) and compression in BMP_MASKED and struct.unpack_from("<III", data, 54) != BMP_MASKS:
        raise ImageError("its colours are in an unusual order, which cannot be read; open it and save it as PNG.")


def _bmp_is_old(data: bytes) -> bool:
    """Return whether the file has the 12-byte header of OS/2, with 16-bit sizes."""
    return bool(struct.unpack_from("<I", data, 14)[0] == 12)


def _jpeg_header(data: bytes) -> tuple[int, int, int, int]:
    """Return height, width, channels and bytes per value from the first frame header, behind other segments."""
    at = 2
    while True:
        mark, marker = data[at], data[at + 1]
        if mark != 0xFF:
            raise IndexError("a JPEG marker is missing")
        if marker == 0xFF:
            at += 1
        elif marker in JPEG_WITHOUT_LENGTH:
            at += 2
        elif marker in JPEG_FRAMES:
            height, width, components = struct.unpack_from(">HHB", data, at + 5)
            return height, width, components, 1
        else:
            at += 2 + struct.unpack_from(">H", data, at + 2)[0]


_HEADERS = {"PNG": _png_header, "BMP": _bmp_header, "JPEG": _jpeg_header}
