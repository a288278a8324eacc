"""Outlines as GeoJSON, which QuPath opens by drag and drop: one detection for each cell."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from ..images.memmap import Pixels
from ..labels.labels import Labels
from ..labels.outlines import Points, simplified
from ..system.atomic_write import atomic_write
from .complete_cells import Cell
from .subject import Subject

COMPRESSED = 20_000
"""Files with at least so many cells are compressed by gzip."""


def geojson_name(cells: int) -> str:
    """Return the ending of the file's name.

    >>> geojson_name(7), geojson_name(75_000)
    ('_cells.geojson', '_cells.geojson.gz')
    """
    return "_cells.geojson.gz" if cells >= COMPRESSED else "_cells.geojson"


class GeoJson:
    """Writes the features of a FeatureCollection, cell by cell."""

    def __init__(self, file: BinaryIO, subject: Subject) -> None:
        self._file, self._subject = file, subject
        self._separator = b"\n"

    def rows(self, labels: Labels, pixels: Pixels) -> None:
        """Do nothing: outlines do not depend on the pixels of the image."""

    def cell(self, cell: Cell) -> None:
        """Write the feature of a cell."""
        text = json.dumps(feature(cell, self._subject), separators=(",", ":"))
        self._file.write(self._separator + text.encode())
        self._separator = b",\n"


@contextmanager
def write_geojson(path: Path, subject: Subject) -> Iterator[GeoJson]:
    """Write a GeoJSON file (RFC 7946), compressed if its name ends in .gz. Raises OutputError if that fails.

    Coordinates are (x, y) in px from the upper left corner of the image.
    """
    with atomic_write(path) as partial, open(partial, "wb") as raw:
        file: Any = gzip.GzipFile("", "wb", 6, raw, mtime=0) if path.suffix == ".gz" else raw
        with file:
            file.write(b'{"type":"FeatureCollection","features":[')
            yield GeoJson(file, subject)
            file.write(b"\n]}\n")


def feature(cell: Cell, subject: Subject) -> dict[str, Any]:
    """Return a cell as a GeoJSON feature with the properties of a QuPath detection.

    >>> from types import SimpleNamespace
    >>> import numpy as np
    >>> cell = Cell(number=7, top=0, left=0, labels=np.array([[7, 7]], np.int32))
    >>> feature(cell, SimpleNamespace(pixel_size_um=0.5))["properties"]["measurements"]["Area um^2"]
    0.5
    """
    parts = [[_ring(outline) for outline in part] for part in cell.outlines]
    area, perimeter = float(cell.shape[0]), float(cell.shape[3])
    measurements = {"Area px^2": area, "Perimeter px": round(perimeter, 3)}
    if subject.pixel_size_um is not None:
        measurements["Area um^2"] = round(area * subject.pixel_size_um**2, 6)
    one = len(parts) == 1
    return {
        "type": "Feature",
        "geometry": {"type": "Polygon" if one else "MultiPolygon", "coordinates": parts[0] if one else parts},
        "properties": {"objectType": "detection", "name": str(cell.number), "measurements": measurements},
    }


def _ring(outline: Points) -> list[list[float]]:
    """Return a simplified outline as a closed ring of (x, y)."""
    points: list[list[float]] = simplified(outline)[:, ::-1].tolist()
    return [*points, points[0]]
