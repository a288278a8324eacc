"""Outlines as a zip file of ImageJ's ROIs, which Fiji's ROI Manager opens: one ROI for each cell.

The format is that of ImageJ's RoiEncoder.java (https://github.com/imagej/ImageJ), as the package roifile writes it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import numpy as np

from ..images.memmap import Pixels
from ..labels.labels import Boxes, Labels
from ..labels.outlines import Points
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
MANY, WORD = 1 << 16, 0xFFFF
"""As many points are counted in a field of 32 bits; the 16 bits that hold a side of a box."""
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
        for number, content in zip(cells.numbers.tolist(), rois(cells), strict=True):
            self._file.add(f"{number}.roi", content)


@contextmanager
def write_rois(path: Path, subject: Subject) -> Iterator[Rois]:
    """Write a zip file of ROIs. Raises OutputError if that fails."""
    with atomic_write(path) as partial, open(partial, "wb") as file:
        writer = ZipWriter(file)
        yield Rois(writer)
        writer.close()


def rois(cells: Cells) -> list[bytes]:
    """Return the exact outline of each cell as an ImageJ ROI: a polygon, or a path if there are several lines.

    >>> cells = Cells(np.array([7]), np.array([[0, 0, 1, 1]], np.int32), np.array([[7]], np.int32), 0, 0)
    >>> (content,) = rois(cells)
    >>> content[:4], len(content)  # two headers, two coordinates of two bytes for each point, the name in UTF-16
    (b'Iout', 146)
    """
    lines = [[ring for part in outline for ring in part] for outline in cells.outlines]
    names = [str(number) for number in cells.numbers]
    single = [at for at, rings in enumerate(lines) if len(rings) == 1]
    polygons = _polygons([names[at] for at in single], [lines[at][0] for at in single], cells.boxes[single])
    found = dict(zip(single, polygons, strict=True))
    return [found.get(at) or _path(names[at], rings) for at, rings in enumerate(lines)]


def _polygons(names: list[str], rings: list[Points], boxes: Boxes) -> Iterator[bytes]:
    """Yield the ROIs of cells with one outline each, whose points are written for all of them at once."""
    if not rings:
        return
    counts = [len(ring) for ring in rings]
    points = np.concatenate(rings) - np.repeat(boxes[:, :2], counts, axis=0)
    y, x = (column.astype(">i2").tobytes() for column in points.T)
    sides = ((boxes + np.array([0, 0, 1, 1], np.int32)) & WORD).tolist()
    large = (boxes.max(axis=1) > LARGEST).tolist()
    ends = pairwise([0, *np.cumsum(counts).tolist()])
    for name, ring, box, far, (first, end) in zip(names, rings, sides, large, ends, strict=True):
        count, place = end - first, slice(2 * first, 2 * end)
        exact = ring.T[::-1].astype(">f4").tobytes() if far else b""
        numbers = (count, 0) if count < MANY else (0, count)
        options = OPTIONS | EXACT if far else OPTIONS
        yield _assembled(name, TRACED, box, numbers, 0, options, x[place] + y[place] + exact)


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
    box = [side & WORD for side in (*corners.min(axis=0).tolist(), *corners.max(axis=0).tolist())]
    return _assembled(name, RECTANGLE, box, (0, 0), len(floats), 0, floats.astype(">f4").tobytes())


def _assembled(
    name: str, kind: int, box: list[int], counts: tuple[int, int], floats: int, options: int, points: bytes
) -> bytes:
    """Return the headers, the points between them and the name."""
    place = HEADER.size + len(points)
    header = HEADER.pack(b"Iout", VERSION, kind, *box, *counts, floats, options, place)
    return header + points + HEADER_2.pack(place + HEADER_2.size, len(name)) + name.encode("utf-16-be")
