"""Outlines as GeoJSON, which QuPath opens by drag and drop: one detection for each cell."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ..images.memmap import Pixels
from ..labels.labels import Labels
from ..labels.outlines import Points, simplified
from ..system.atomic_write import atomic_write
from .complete_cells import Cells
from .ring_text import ring_text
from .subject import Subject

COMPRESSED = 20_000
"""Files with at least so many cells are compressed by gzip."""
LEVEL = 1
"""Of this compression, 1 to 9; 6 takes five times as long and makes the files a quarter smaller."""


def geojson_name(cells: int) -> str:
    """Return the ending of the file's name.

    >>> geojson_name(7), geojson_name(75_000)
    ('_cells.geojson', '_cells.geojson.gz')
    """
    return "_cells.geojson.gz" if cells >= COMPRESSED else "_cells.geojson"


class GeoJson:
    """Writes the features of a FeatureCollection."""

    def __init__(self, file: BinaryIO, subject: Subject) -> None:
        self._file, self._subject = file, subject
        self._separator = "\n"

    def rows(self, labels: Labels, pixels: Pixels) -> None:
        """Do nothing: outlines do not depend on the pixels of the image."""

    def cells(self, cells: Cells) -> None:
        """Write the features of some cells."""
        if len(cells):
            text = ",\n".join(features(cells, self._subject.pixel_size_um))
            self._file.write((self._separator + text).encode())
            self._separator = ",\n"


@contextmanager
def write_geojson(path: Path, subject: Subject) -> Iterator[GeoJson]:
    """Write a GeoJSON file (RFC 7946), compressed if its name ends in .gz. Raises OutputError if that fails.

    Coordinates are (x, y) in px from the upper left corner of the image.
    """
    with atomic_write(path) as partial, open(partial, "wb") as raw:
        file: Any = gzip.GzipFile("", "wb", LEVEL, raw, mtime=0) if path.suffix == ".gz" else raw
        with file:
            file.write(b'{"type":"FeatureCollection","features":[')
            yield GeoJson(file, subject)
            file.write(b"\n]}\n")


def features(cells: Cells, pixel_size_um: float | None) -> list[str]:
    """Return each cell as the text of a GeoJSON feature with the properties of a QuPath detection.

    >>> import json, numpy as np
    >>> labels, box = np.array([[7, 7]], np.int32), np.array([[0, 0, 1, 2]], np.int32)
    >>> (text,) = features(Cells(np.array([7]), box, labels, 0, 0), 0.5)
    >>> json.loads(text)["properties"]["measurements"]["Area um^2"]
    0.5
    """
    rings = iter(_rings([ring for outline in cells.outlines for part in outline for ring in part]))
    texts = []
    shapes = cells.shapes[:, (0, 3)].tolist()
    for number, outline, (area, perimeter) in zip(cells.numbers.tolist(), cells.outlines, shapes, strict=True):
        parts = ["[" + ",".join(islice(rings, len(part))) + "]" for part in outline]
        geometry = f'"Polygon","coordinates":{parts[0]}'
        if len(parts) > 1:
            geometry = f'"MultiPolygon","coordinates":[{",".join(parts)}]'
        size = f'"Area px^2":{area!r},"Perimeter px":{round(perimeter, 3)!r}'
        if pixel_size_um is not None:
            size += f',"Area um^2":{round(area * pixel_size_um**2, 6)!r}'
        texts.append(
            f'{{"type":"Feature","geometry":{{"type":{geometry}}},'
            f'"properties":{{"objectType":"detection","name":"{number}","measurements":{{{size}}}}}}}'
        )
    return texts


def _rings(outlines: list[Points]) -> list[str]:
    """Return the text of each outline, simplified, as a closed ring of (x, y)."""
    if not outlines:
        return []
    lines = simplified(outlines)
    text_ends = np.zeros(len(lines), np.int64)
    text = ring_text(np.concatenate(lines), np.cumsum([len(line) for line in lines]), text_ends)
    written = text.tobytes().decode("ascii")
    return [written[first:end] for first, end in pairwise([0, *text_ends.tolist()])]
