"""Encoders for files that no installed package writes: interlaced PNG of any depth, any BMP, TIFF of any layout."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[Any]
Tags = dict[int, tuple[int, Sequence[int]]]
"""TIFF tags: number -> (type, values). Type 3 is a 16-bit number, 4 a 32-bit one."""

ADAM7 = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
"""First row, first column, step down and step across of PNG's seven passes."""


def packed(values: Integers, depth: int) -> bytes:
    """Return rows (n, width) of unsigned integers of ``depth`` bits as big-endian bytes; rows end at whole bytes.

    >>> packed(np.array([[1, 0, 1]], np.uint8), 1).hex(), packed(np.array([[258]], np.uint16), 16).hex()
    ('a0', '0102')
    """
    if depth >= 8:
        return bytes(values.astype(f">u{depth // 8}").tobytes())
    bits = (values[..., None] >> np.arange(depth - 1, -1, -1)) & 1
    return np.packbits(bits.reshape(len(values), -1).astype(np.uint8), axis=1).tobytes()


def png_chunk(kind: bytes, data: bytes) -> bytes:
    """Return a PNG chunk with its length and checksum.

    >>> png_chunk(b"IEND", b"").hex()  # the last bytes of every PNG file
    '0000000049454e44ae426082'
    """
    body = kind + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))


def png(
    samples: Integers,
    depth: int,
    colour_type: int,
    interlaced: bool = False,
    palette: bytes | None = None,
    transparent: bytes | None = None,
) -> bytes:
    """Return a PNG file of samples (Y, X, C) of ``depth`` bits.

    colour_type: 0 grey, 2 RGB, 3 palette, 4 grey with alpha, 6 RGB with alpha.
    """
    height, width, _ = samples.shape
    passes = [samples[y::down, x::across] for y, x, down, across in ADAM7] if interlaced else [samples]
    rows = b"".join(b"\0" + packed(row.reshape(1, -1), depth) for part in passes if part.size for row in part)
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, int(interlaced))
    chunks = [
        (b"IHDR", header),
        (b"PLTE", palette),
        (b"tRNS", transparent),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(kind, data) for kind, data in chunks if data is not None)


def bmp(
    rows: bytes, width: int, height: int, depth: int, palette: bytes = b"", compression: int = 0, old: bool = False
) -> bytes:
    """Return a BMP file of encoded ``rows``; with a negative height the top row is the first.

    >>> bmp(bytes(4), 1, 1, 24)[:2], len(bmp(bytes(4), 1, 1, 24))  # 14 + 40 bytes of headers
    (b'BM', 58)
    """
    if old:
        header = struct.pack("<IHHHH", 12, width, height, 1, depth)
    else:
        colours = len(palette) // 4
        header = struct.pack(
            "<IiiHHIIiiII", 40, width, height, 1, depth, compression, len(rows), 0, 0, colours, colours
        )
    start = 14 + len(header) + len(palette)
    return b"BM" + struct.pack("<IHHI", start + len(rows), 0, 0, start) + header + palette + rows


def bmp_rows(values: Integers, depth: int) -> bytes:
    """Return rows (n, width) of unsigned integers, little-endian, each padded to a multiple of four bytes.

    >>> bmp_rows(np.array([[7, 8, 9]], np.uint8), 8).hex()
    '07080900'
    """
    rows = [row.astype("<u2").tobytes() if depth == 16 else packed(row[None], depth) for row in values]
    return b"".join(row + bytes(-len(row) % 4) for row in rows)


def tiff(segments: Sequence[bytes], tags: Tags, byteorder: str = "<") -> bytes:
    r"""Return a TIFF file of one page of encoded segments, with additional tags.

    The segments are tiles if the tag 322 is given, otherwise strips.

    >>> tiff([bytes(200)], tiff_tags(10, 20, 8))[:4]
    b'II*\x00'
    """
    offsets, body = [], b""
    for segment in segments:
        offsets.append(8 + len(body))
        body += segment
    where, counts = (324, 325) if 322 in tags else (273, 279)
    tags = tags | {where: (4, offsets), counts: (4, [len(segment) for segment in segments])}
    body += bytes(-len(body) % 2)
    entries, more = b"", b""
    start = 8 + len(body) + 2 + 12 * len(tags) + 4
    for number, (kind, values) in sorted(tags.items()):
        data = struct.pack(f"{byteorder}{len(values)}{'H' if kind == 3 else 'I'}", *values)
        entries += struct.pack(f"{byteorder}HHI", number, kind, len(values))
        if len(data) > 4:
            entries += struct.pack(f"{byteorder}I", start + len(more))
            more += data
        else:
            entries += data.ljust(4, b"\0")
    directory = struct.pack(f"{byteorder}H", len(tags)) + entries + bytes(4)
    mark = {"<": b"II", ">": b"MM"}[byteorder]
    return mark + struct.pack(f"{byteorder}HI", 42, 8 + len(body)) + body + directory + more


def tiff_tags(
    height: int,
    width: int,
    bits: int,
    photometric: int = 1,
    compression: int = 1,
    rows: int | None = None,
    tile: tuple[int, int] | None = None,
    samples: int = 1,
) -> Tags:
    """Return the tags of a page for `tiff`: ``rows`` per strip, or a ``tile`` of (rows, columns).

    >>> tags = tiff_tags(10, 20, 8)
    >>> tags[256], tags[257], tags[278]  # width, height, rows of a strip
    ((4, [20]), (4, [10]), (4, [10]))
    """
    tags: Tags = {256: (4, [width]), 257: (4, [height]), 258: (3, [bits] * samples), 259: (3, [compression])}
    tags |= {262: (3, [photometric]), 277: (3, [samples])}
    if tile:
        return tags | {322: (4, [tile[1]]), 323: (4, [tile[0]])}
    return tags | {278: (4, [rows or height])}
