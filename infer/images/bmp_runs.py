"""Run-length encoded BMP files, decoded strictly: decoders disagree on files that leave pixels out or run too far."""

from __future__ import annotations

import struct

import numpy as np
import numpy.typing as npt

from ..errors import ImageError

RLE8, RLE4 = 1, 2
"""Values of the field biCompression; the bits of a pixel are 8 and 4."""
END_OF_LINE, END_OF_BITMAP, DELTA = 0, 1, 2
"""Codes that follow a zero byte; a larger one is a number of pixels that are stored one by one."""
REMEDY = "programs show it differently; open it and save it as PNG."


def without_runs(data: bytes) -> bytes:
    """Return a BMP file whose pixels are not run-length encoded, with the same pixels; other files as they are.

    Raises ImageError unless the runs fill every row to its end. Format: Microsoft, "Bitmap Compression". In the example
    the run "3 pixels of index 1" becomes a row of three bytes, filled up to four.

    >>> header = struct.pack("<2sIHHIIiiHHIIiiII", b"BM", 0, 0, 0, 62, 40, 3, 1, 1, 8, RLE8, 0, 0, 0, 2, 2)
    >>> without_runs(header + bytes(8) + bytes([3, 1, 0, END_OF_BITMAP]))[-4:].hex(" ")
    '01 01 01 00'
    """
    header, compression = struct.unpack_from("<I", data, 14)[0], struct.unpack_from("<I", data, 30)[0]
    depth = int.from_bytes(data[28:30], "little")
    if header < 40 or compression not in (RLE8, RLE4):
        return data
    width, height = struct.unpack_from("<ii", data, 18)
    if (depth, compression) not in ((8, RLE8), (4, RLE4)) or height < 0:
        raise ImageError(f"its run-length encoding contradicts its header; {REMEDY}")
    indices = _decode(data[int.from_bytes(data[10:14], "little") :], width, height, depth)
    colours = struct.unpack_from("<I", data, 46)[0] or 2**depth
    palette = data[14 + header : 14 + header + 4 * colours]
    rows = np.pad(indices, ((0, 0), (0, -width % 4)))
    plain = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 0, rows.size, 0, 0, colours, colours)
    start = 14 + len(plain) + len(palette)
    return b"BM" + struct.pack("<IHHI", start + rows.size, 0, 0, start) + plain + palette + rows.tobytes()


def _decode(codes: bytes, width: int, height: int, depth: int) -> npt.NDArray[np.uint8]:
    """Return the indices (Y, X) of the palette, the bottom row first."""
    rows = np.zeros((height, width), np.uint8)
    at, row, column = 0, 0, 0
    while row < height:
        count, value = _pair(codes, at)
        at += 2
        if count == 0 and value in (END_OF_LINE, END_OF_BITMAP):
            last = row == height - 1
            if column != width or (value == END_OF_BITMAP and not last):
                raise ImageError(f"its run-length encoding leaves pixels undefined; {REMEDY}")
            row, column = row + 1, 0
            continue
        if count == 0 and value == DELTA:
            raise ImageError(f"its run-length encoding skips pixels; {REMEDY}")
        stored = value if count == 0 else 0
        count = count or stored
        if column + count > width:
            raise ImageError(f"its run-length encoding runs past the end of a row; {REMEDY}")
        if stored:
            size = (stored * depth + 7) // 8
            rows[row, column : column + count] = _pixels(codes[at : at + size], depth, count)
            at += size + size % 2
        else:
            rows[row, column : column + count] = _pixels(bytes([value]) * ((count * depth + 7) // 8), depth, count)
        column += count
        if row == height - 1 and column == width:
            break
    return rows


def _pair(codes: bytes, at: int) -> tuple[int, int]:
    if at + 2 > len(codes):
        raise ImageError(f"its run-length encoding is incomplete; {REMEDY}")
    return codes[at], codes[at + 1]


def _pixels(data: bytes, depth: int, count: int) -> npt.NDArray[np.uint8]:
    """Return ``count`` pixels of 8 bits, or of 4 bits with the high half first."""
    values = np.frombuffer(data, np.uint8)
    if depth == 4:
        values = np.stack([values >> 4, values & 15], axis=1).ravel()
    if len(values) < count:
        raise ImageError(f"its run-length encoding is incomplete; {REMEDY}")
    return values[:count]
