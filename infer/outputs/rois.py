"""Outlines as a zip file of ImageJ's ROIs, which Fiji's ROI Manager opens: one ROI for each cell.

The format is that of ImageJ's RoiEncoder.java (https://github.com/imagej/ImageJ), as the package roifile writes it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from ..images.memmap import Pixels
from ..labels.labels import Labels
from ..labels.outlines import Outline, Points
from ..system.atomic_write import atomic_write
from ..system.zip_file import ZipWriter
from .complete_cells import Cells
from .subject import Subject

VERSION = 229
"""Version of the file format."""
RECTANGLE, TRACED = 1, 8
"""Types of a ROI. A ROI of several closed lines is a rectangle that a path follows."""
OPTIONS, EXACT = 8 | 32, 128
"""Labels with a background in overlays; points are also given as float32."""
LARGEST = 60_535
"""Largest coordinate that ImageJ reads from 16 bits; it takes larger ones as negative."""
MANY = 1 << 16
"""As many points are counted in a field of 32 bits."""
MOVE, LINE, CLOSE = 0, 1, 4
"""Commands of a path."""
HEADER = struct.Struct(">4shBx4HHi14xi10xh8xi")
"""Magic, version, type, box (top, left, bottom, right), points up to 65,535, points from there on, floats of a path,
options, place of the second header; 64 bytes."""
HEADER_2 = struct.Struct(">16x2i40x")
"""Place and length of the name; 64 bytes."""


class Rois:
    """Writes ROIs to a zip file."""

    def __init__(self, file: ZipWriter) -> None:
        self._file = file

    def rows(self, labels: Labels, pixels: Pixels) -> None:
        """Do nothing: outlines do not depend on the pixels of the image."""

    def cells(self, cells: Cells) -> None:
        """Write the ROIs of some cells; their names are the cells' numbers."""
        for number, outline in zip(cells.numbers.tolist(), cells.outlines, strict=True):
            self._file.add(f"{number}.roi", roi(str(number), outline))


@contextmanager
def write_rois(path: Path, subject: Subject) -> Iterator[Rois]:
    """Write a zip file of ROIs. Raises OutputError if that fails."""
    with atomic_write(path) as partial, open(partial, "wb") as file:
        writer = ZipWriter(file)
        yield Rois(writer)
        writer.close()


def roi(name: str, outline: Outline) -> bytes:
    """Return the exact outline of a cell as an ImageJ ROI: a polygon, or a path if there are several lines.

    >>> square = np.array([[0, 0], [0, 1], [1, 1], [1, 0]], np.int32)
    >>> content = roi("7", [[square]])
    >>> content[:4], len(content)  # two headers, two coordinates of two bytes for each point, the name in UTF-16
    (b'Iout', 146)
    """
    rings = [ring for part in outline for ring in part]
    return _polygon(name, rings[0]) if len(rings) == 1 else _path(name, rings)


def _polygon(name: str, ring: Points) -> bytes:
    low, high = ring.min(axis=0), ring.max(axis=0)
    count = len(ring)
    points = _columns(ring - low, ">i2")
    options = OPTIONS
    if high.max() > LARGEST:
        options |= EXACT
        points += _columns(ring, ">f4")
    counts = (count, 0) if count < MANY else (0, count)
    return _assembled(name, TRACED, (*low.tolist(), *(high + 1).tolist()), counts, 0, options, points)


def _columns(points: Points, dtype: str) -> bytes:
    """Return all x, then all y."""
    return points.T[::-1].astype(dtype).tobytes()


def _path(name: str, rings: list[Points]) -> bytes:
    """Return the ROI of several closed lines."""
    path = []
    for ring in rings:
        commands = np.full((len(ring), 3), LINE, np.float32)
        commands[0, 0] = MOVE
        commands[:, 1:] = ring[:, ::-1]
        path += [commands.ravel(), np.array([CLOSE], np.float32)]
    floats = np.concatenate(path)
    corners = np.concatenate(rings)
    box = *corners.min(axis=0).tolist(), *corners.max(axis=0).tolist()
    return _assembled(name, RECTANGLE, box, (0, 0), len(floats), 0, floats.astype(">f4").tobytes())


def _assembled(
    name: str, kind: int, box: tuple[int, ...], counts: tuple[int, int], floats: int, options: int, points: bytes
) -> bytes:
    """Return the headers, the points between them and the name."""
    place = HEADER.size + len(points)
    words = (side & 0xFFFF for side in box)
    header = HEADER.pack(b"Iout", VERSION, kind, *words, *counts, floats, options, place)
    return header + points + HEADER_2.pack(place + HEADER_2.size, len(name)) + name.encode("utf-16-be")
