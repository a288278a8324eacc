"""Outlines as a zip file of ImageJ's ROIs, which Fiji's ROI Manager opens: one ROI for each cell.

The format is that of ImageJ's RoiEncoder.java (https://github.com/imagej/ImageJ), as the package roifile writes it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..images.memmap import Pixels
from ..labels.labels import Boxes, Labels
from ..labels.outlines import Points
from ..system.atomic_write import atomic_write
from ..system.zip_file import ZipWriter, rows_as_bytes
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
HEADER = np.dtype({
    "names": ["magic", "version", "type", "box", "points", "many_points", "floats", "options", "header_2"],
    "formats": ["S4", ">i2", "u1", (">u2", 4), ">u2", ">i4", ">i4", ">i2", ">i4"],
    "offsets": [0, 4, 6, 8, 16, 18, 36, 50, 60],
    "itemsize": 64,
})  # fmt: skip
"""The box is top, left, bottom, right; points are counted up to 65,535, and many points from there on; floats are those
of a path; the last field is the place of the second header."""
HEADER_2 = np.dtype({"names": ["name", "length"], "formats": [">i4", ">i4"], "offsets": [16, 20], "itemsize": 64})
"""Place and length of the name."""


class Rois:
    """Writes ROIs to a zip file."""

    def __init__(self, file: ZipWriter) -> None:
        self._file = file

    def rows(self, labels: Labels, pixels: Pixels) -> None:
        """Do nothing: outlines do not depend on the pixels of the image."""

    def cells(self, cells: Cells) -> None:
        """Write the ROIs of some cells; their names are the cells' numbers."""
        self._file.add([f"{number}.roi" for number in cells.numbers.tolist()], rois(cells))


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
    names = [str(number) for number in cells.numbers.tolist()]
    single = [at for at, rings in enumerate(lines) if len(rings) == 1]
    polygons = _polygons([names[at] for at in single], [lines[at][0] for at in single], cells.boxes[single])
    found = dict(zip(single, polygons, strict=True))
    return [found.get(at) or _path(names[at], rings) for at, rings in enumerate(lines)]


def _polygons(names: list[str], rings: list[Points], boxes: Boxes) -> list[bytes]:
    """Return the ROIs of cells with one outline each."""
    if not rings:
        return []
    counts = np.array([len(ring) for ring in rings])
    points = np.concatenate(rings) - np.repeat(boxes[:, :2], counts, axis=0)
    y, x = (column.astype(">i2").tobytes() for column in points.T)
    ends = 2 * np.cumsum(counts)
    far = boxes.max(axis=1) > LARGEST
    exact = [ring.T[::-1].astype(">f4").tobytes() if one else b"" for ring, one in zip(rings, far, strict=True)]
    spans = zip(pairwise([0, *ends.tolist()]), exact, strict=True)
    coordinates = [x[first:end] + y[first:end] + floats for (first, end), floats in spans]
    headers = np.zeros(len(rings), HEADER)
    headers["type"], headers["box"] = TRACED, (boxes + np.array([0, 0, 1, 1], np.int32)) & WORD
    many = counts >= MANY
    headers["points"], headers["many_points"] = np.where(many, 0, counts), np.where(many, counts, 0)
    headers["options"] = np.where(far, OPTIONS | EXACT, OPTIONS)
    return _assembled(names, headers, coordinates)


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
    header = np.zeros(1, HEADER)
    header["type"], header["floats"] = RECTANGLE, len(floats)
    header["box"] = np.concatenate([corners.min(axis=0), corners.max(axis=0)]) & WORD
    return _assembled([name], header, [floats.astype(">f4").tobytes()])[0]


def _assembled(names: list[str], headers: npt.NDArray[np.void], coordinates: list[bytes]) -> list[bytes]:
    """Return for each ROI the headers, the points or the path between them, and the name; fills ``headers``."""
    headers["magic"], headers["version"] = b"Iout", VERSION
    headers["header_2"] = HEADER.itemsize + np.array([len(one) for one in coordinates])
    second = np.zeros(len(names), HEADER_2)
    second["name"], second["length"] = headers["header_2"] + HEADER_2.itemsize, [len(name) for name in names]
    parts = zip(rows_as_bytes(headers), coordinates, rows_as_bytes(second), names, strict=True)
    return [first + points + last + name.encode("utf-16-be") for first, points, last, name in parts]
