"""Outlines as text: the coordinates of GeoJSON, which are whole or half pixels, as the package json writes them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..kernels.compiled import kernel, part

Text = npt.NDArray[np.uint8]
"""(n,): ASCII."""
WIDEST = 28
"""Most characters of a point whose coordinates have ten digits before the decimal point, with brackets and commas."""
OPEN, CLOSE, COMMA, POINT, ZERO, FIVE = map(ord, "[],.05")


@part
def _write_number(text: Text, at: int, value: float) -> int:
    """Write a number from 0 on that is a multiple of 0.5, and return the place after it."""
    whole = int(value)
    unit = 1
    while whole // unit >= 10:
        unit *= 10
    while unit > 0:
        text[at] = ZERO + whole // unit % 10
        at += 1
        unit //= 10
    text[at] = POINT
    text[at + 1] = FIVE if value > whole else ZERO
    return at + 2


@part
def _write_point(text: Text, at: int, y: float, x: float) -> int:
    """Write [x,y] and a comma, and return the place after them."""
    text[at] = OPEN
    at = _write_number(text, at + 1, x)
    text[at] = COMMA
    at = _write_number(text, at + 1, y)
    text[at], text[at + 1] = CLOSE, COMMA
    return at + 2


@kernel("u1[::1](f4[:,::1], i8[::1], i8[::1])")
def ring_text(lines: npt.NDArray[np.float32], ends: npt.NDArray[np.int64], text_ends: npt.NDArray[np.int64]) -> Text:
    """Return the text of some closed rings, [[x,y],[x,y],...], one after the other, as ASCII (m,) uint8.

    lines: (n, 2) float32, the corners (row, column) of one outline after the other, multiples of 0.5 from 0 on; the
    first corner of a ring is written again at its end. ends, text_ends: (rings,) int64, how many corners, and
    characters, there are up to the end of each ring; the second is filled in place.

    >>> text_ends = np.zeros(1, np.int64)
    >>> ring_text(np.array([[0, 0.5], [12, 3]], np.float32), np.array([2]), text_ends).tobytes(), text_ends
    (b'[[0.5,0.0],[3.0,12.0],[0.5,0.0]]', array([32]))
    """
    text = np.empty(WIDEST * (len(lines) + len(ends)) + 2 * len(ends), np.uint8)
    at, first = 0, 0
    for ring in range(len(ends)):
        text[at] = OPEN
        at += 1
        for corner in range(first, ends[ring]):
            at = _write_point(text, at, lines[corner, 0], lines[corner, 1])
        at = _write_point(text, at, lines[first, 0], lines[first, 1])
        text[at - 1] = CLOSE
        text_ends[ring] = at
        first = ends[ring]
    return text[:at].copy()
