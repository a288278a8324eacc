"""The card of an image: what the report shows of it, as a JSON file beside its labels.

The page of a run is made of these files. So the process that segments hands its pictures over without a copy in
memory, and images that --resume skips have theirs from the run that segmented them.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import OutputError
from ...images.memmap import Pixels
from ...labels.labels import Labels
from ...system.atomic_write import atomic_write
from ..complete_cells import Cells
from ..encode import jpeg
from ..measurements import Intensities
from .histogram import histogram
from .pictures import QUALITY, SMALL, Detail, Thumbnail, most_cells, outlines_png

ENDING = "_card.json"
Card = dict[str, Any]


class CardSink:
    """Makes the pictures and histograms of an image row by row."""

    def __init__(self, intensities: Intensities) -> None:
        """intensities: another output that gets the same rows."""
        self._subject = subject = intensities.subject
        self._intensities = intensities
        self._thumbnail = Thumbnail(subject.shape, subject.display)
        self._diameters = 2 * np.sqrt(subject.cells.area / np.pi)
        small = len(self._diameters) and np.median(self._diameters) < SMALL * self._thumbnail.step
        box = most_cells(subject.cells.centroid, subject.shape) if small and self._thumbnail.step > 1 else None
        self._detail = box and Detail(box, subject.display)

    def rows(self, labels: Labels, pixels: Pixels) -> None:
        """Add the next rows: labels (n, X) int32 and pixels (C, n, X)."""
        self._thumbnail.rows(labels, pixels)
        if self._detail:
            self._detail.rows(labels, pixels)

    def cells(self, cells: Cells) -> None:
        """Do nothing: the card needs no single cells."""

    def card(self) -> Card:
        """Return the card after all rows were added, as values that JSON can store."""
        subject = self._subject
        size = subject.pixel_size_um
        sizes = histogram(self._diameters * (size or 1))
        means = [histogram(values[:, 0]) for values in self._intensities.values()]
        return {
            **subject.facts,
            "shape": list(subject.shape),
            "pixel_size_um": size,
            "channels": list(subject.channels),
            "covered": float(subject.cells.area.sum() / (subject.shape[0] * subject.shape[1])),
            "at_border": int(subject.at_border.sum()),
            "diameters": sizes and asdict(sizes),
            "intensities": [mean and asdict(mean) for mean in means],
            "thumbnail": _layers(self._thumbnail),
            "detail": self._detail and {**_layers(self._detail), "box": list(self._detail.box)},
        }


@contextmanager
def write_card(path: Path, intensities: Intensities) -> Iterator[CardSink]:
    """Write the card of an image as JSON. Raises OutputError if that fails."""
    with atomic_write(path) as partial:
        sink = CardSink(intensities)
        yield sink
        partial.write_text(json.dumps(sink.card()), encoding="utf-8")


def read_card(path: Path) -> Card:
    """Return the card in a file. Raises OutputError if the file is not there, or not a card.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "a_card.json")
    ...     _ = path.write_text('{"provenance": {}, "outcome": {}, "thumbnail": {}}')
    ...     sorted(read_card(path))
    ['outcome', 'provenance', 'thumbnail']
    """
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
        if {"provenance", "outcome", "thumbnail"} <= card.keys():
            return dict(card)
    except (OSError, ValueError, AttributeError):
        pass
    raise OutputError(f"{path}: it is not a report card written by Flowmask; delete it and run again with --resume.")


def _layers(picture: Thumbnail | Detail) -> dict[str, Any]:
    """Return the two layers of a picture, as text, and its size."""
    shown, labels = picture.layers()
    return {
        "image": b64encode(jpeg(shown, QUALITY, sharp=False)).decode("ascii"),
        "outlines": b64encode(outlines_png(labels, shown)).decode("ascii"),
        "size": list(labels.shape),
    }
