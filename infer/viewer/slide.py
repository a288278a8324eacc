"""An opened image with its labels: its tiles, the cell at a point, and the cells of a region."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from ..errors import ImageError
from ..images.image import Image, as_image
from ..images.readers import open_frames
from ..images.stack import Described
from ..labels.labels import Labels
from ..labels.measure import measure, sum_positions
from ..labels.paths import LABEL_SUFFIXES
from ..outputs.complete_cells import Cells as CompleteCells
from ..outputs.encode import jpeg, png
from ..outputs.geojson import features
from ..outputs.overlay import OUTLINE, Picture, display_ranges, displayed
from ..outputs.report.pictures import BRIGHT, DARK_OUTLINE, Box
from .cells import Cells, Filter, Region, Table
from .drawing import fills, outlines
from .found import Found
from .pyramid import TILE, Pyramid, TileFile, coarsest, every_second, halved_picture, level_shape, packed, unpacked
from .pyramid import reduced as reduced_pixels
from .refused import Refused

BAND = 64
"""Rows of the image that are read together: those of a strip of a label file."""
COLUMNS = 4096
"""Columns of a band that are converted for display together."""
STORED = 4
"""Step of the first level of the image that is stored, rather than read from the image file."""
SAMPLES, SAMPLE_BYTES = 6, 16 * 2**20
"""The display stretch of a large image is that of so many by so many windows, which together have so many bytes."""
QUALITY, PNG = 88, 2
"""Of the tiles: the quality of JPEG files, 0 to 100, and the compression of PNG files, 0 to 9."""
SMALL = 7.0
"""Cells of a smaller diameter than this, in px of a tile, are filled instead of outlined."""


class Slide:
    """An image and its labels. Several threads may ask for tiles."""

    def __init__(
        self, found: Found, image: Image, open_labels: Callable[[], Image], progress: Callable[[float], None]
    ) -> None:
        """Read the labels and then the image once, from the top down; ``progress`` is told the finished fraction.

        open_labels: opens the label file; called again after it was read, so that nothing of it stays in memory.

        Raises ImageError if the two have different sizes or one is damaged, InputError if the table is that of other
        labels, OutputError if there is no room for temporary files.
        """
        labels = open_labels()
        if labels.shape[0] != 1:
            raise ImageError(
                f"{found.labels}: it has {labels.shape[0]} channels, so it is not a label image; move it away."
            )
        if labels.shape[1:] != image.shape[1:]:
            raise ImageError(
                f"{found.labels}: the labels have {_size(labels)} px and {found.image} has {_size(image)} px; name the "
                "image that was segmented."
            )
        self.found, self._image = found, image
        self.shape: tuple[int, int] = (image.shape[1], image.shape[2])
        self.pixel_size_um = labels.info.pixel_size_um or image.info.pixel_size_um
        self._pictures, self._stored_labels = TileFile(), TileFile()
        table = Table(found.table, found.cells) if found.table else None
        self.cells = self._read_labels(labels, table, lambda fraction: progress(fraction / 2))
        self._labels = open_labels()
        self._display = display_ranges(sampled(image))
        self._read_image(lambda fraction: progress((1 + fraction) / 2))
        diameters = 2 * np.sqrt(self.cells.areas / np.pi)
        self.diameter = float(np.median(diameters)) if len(diameters) else 0.0
        self.colour = DARK_OUTLINE if self._brightness() > BRIGHT else OUTLINE
        self.chosen = lru_cache(maxsize=4)(self.cells.chosen)

    @property
    def levels(self) -> int:
        """Number of levels; level 0 is the coarsest one, the last one has full size."""
        return int(math.log2(coarsest(self.shape))) + 1

    def step(self, level: int) -> int:
        """Return the step of a level. Raises Refused if there is none."""
        if not 0 <= level < self.levels:
            raise Refused("another level")
        return int(2 ** (self.levels - 1 - level))

    def picture(self, level: int, row: int, column: int) -> bytes:
        """Return a tile of the image as JPEG. Raises Refused if there is none."""
        step = self.step(level)
        if step >= STORED:
            return self._pictures.get(step, row, column)
        top, left, bottom, right = (step * edge for edge in self._tile(step, row, column))
        window = self._image.read(top, left, min(bottom, self.shape[0]), min(right, self.shape[1]))
        return jpeg(displayed(reduced_pixels(window, step), self._display), QUALITY)

    def layer(self, kind: str, level: int, row: int, column: int, wanted: Filter) -> bytes:
        """Return a tile of the "outlines" or "fills" of the cells as PNG. Raises Refused if there is none."""
        step = self.step(level)
        top, left, bottom, right = self._tile(step, row, column)
        labels = self.labels_at(step, top - 1, left - 1, bottom + 1, right + 1)
        labels = np.where(self.chosen(wanted)[labels], labels, 0)
        if kind == "outlines":
            return png(outlines(labels, self.colour, self.diameter < SMALL * step), PNG)
        return png(fills(labels), PNG)

    def labels_at(self, step: int, top: int, left: int, bottom: int, right: int) -> Labels:
        """Return a window of the level ``step`` of the labels; beyond the border the values at the border go on."""
        height, width = level_shape(self.shape, step)
        y0, x0, y1, x1 = max(top, 0), max(left, 0), min(bottom, height), min(right, width)
        if step == 1:
            inside = self._labels.read(y0, x0, y1, x1)[0].astype(np.int32)
        else:
            inside = np.zeros((y1 - y0, x1 - x0), np.int32)
            for row in range(y0 // TILE, -(-y1 // TILE)):
                for column in range(x0 // TILE, -(-x1 // TILE)):
                    t, left_, b, r = self._tile(step, row, column)
                    tile = unpacked(self._stored_labels.get(step, row, column), (b - t, r - left_))
                    u0, v0, u1, v1 = max(t, y0), max(left_, x0), min(b, y1), min(r, x1)
                    inside[u0 - y0 : u1 - y0, v0 - x0 : v1 - x0] = tile[u0 - t : u1 - t, v0 - left_ : v1 - left_]
        return np.pad(inside, ((y0 - top, bottom - y1), (x0 - left, right - x1)), "edge")

    def cell_at(self, y: int, x: int) -> int:
        """Return the number of the cell at a pixel, 0 for the background and outside of the image."""
        if not (0 <= y < self.shape[0] and 0 <= x < self.shape[1]):
            return 0
        return int(self._labels.read(y, x, y + 1, x + 1)[0, 0, 0])

    def outline(self, number: int) -> list[list[list[int]]]:
        """Return the closed outlines (x, y) of a cell, in px of the image."""
        (outline,) = self._cell(number).outlines
        return [ring[:, ::-1].tolist() for part in outline for ring in part]

    def geojson(self, numbers: npt.NDArray[np.int64]) -> Iterator[str]:
        """Yield a GeoJSON file of some cells in parts, in the manner of ``--save geojson``."""
        yield '{"type":"FeatureCollection","features":['
        separator = "\n"
        for number in numbers:
            (text,) = features(self._cell(int(number)), self.pixel_size_um)
            yield separator + text
            separator = ",\n"
        yield "\n]}\n"

    def about(self) -> dict[str, Any]:
        """Return what the page needs to know, as values that JSON can store."""
        areas = self.cells.areas
        return {
            "height": self.shape[0],
            "width": self.shape[1],
            "tile": TILE,
            "levels": self.levels,
            "cells": len(areas),
            "largest": int(areas.max(initial=0)),
            "diameter": self.diameter,
            "pixel_size_um": self.pixel_size_um,
            "probability": self.cells.table is not None,
        }

    def cells_in(self, region: Region, wanted: Filter) -> npt.NDArray[np.int64]:
        """Return the numbers of the shown cells whose centroid lies in a region."""
        return self.cells.within(region, self.chosen(wanted))

    def _cell(self, number: int) -> CompleteCells:
        box = self.cells.boxes[number - 1]
        window = np.ascontiguousarray(self._labels.read(*map(int, box))[0], np.int32)
        return CompleteCells(np.array([number]), box[None], window, int(box[0]), int(box[1]))

    def _tile(self, step: int, row: int, column: int) -> Box:
        """Return top, left, bottom, right of a tile in px of its level. Raises Refused if there is none."""
        height, width = level_shape(self.shape, step)
        top, left = row * TILE, column * TILE
        if not (0 <= top < height and 0 <= left < width):
            raise Refused("outside of the level")
        return top, left, min(top + TILE, height), min(left + TILE, width)

    def _read_labels(self, image: Image, table: Table | None, progress: Callable[[float], None]) -> Cells:
        """Store the smaller levels of the labels and measure the cells."""
        count, (height, width) = self.found.cells, self.shape
        areas, sums = np.zeros(count, np.int64), np.zeros((count, 2), np.int64)
        boxes = np.zeros((count, 4), np.int32)
        levels = Pyramid(self._stored_labels, self.shape, 2, packed, every_second) if self.levels > 1 else None
        for top in range(0, height, BAND):
            bottom = min(top + BAND, height)
            rows = np.ascontiguousarray(image.read(top, 0, bottom, width)[0], np.int32)
            if rows.max(initial=0) > count:
                raise ImageError(f"{self.found.labels}: it has more cells than its description says; segment it again.")
            measure(rows, top, boxes, areas)
            sum_positions(rows, top, sums)
            if levels:
                levels.add(every_second(rows))
            progress(bottom / height)
        return Cells(areas, boxes, sums, table)

    def _read_image(self, progress: Callable[[float], None]) -> None:
        """Store the smaller levels of the image."""
        if coarsest(self.shape) < STORED:
            return
        levels = Pyramid(self._pictures, self.shape, STORED, partial(jpeg, quality=QUALITY), halved_picture)
        for top in range(0, self.shape[0], BAND):
            bottom = min(top + BAND, self.shape[0])
            levels.add(self._band(top, bottom))
            progress(bottom / self.shape[0])

    def _band(self, top: int, bottom: int) -> Picture:
        """Return some rows of the image as rows of the picture of the level `STORED`."""
        window = self._image.read(top, 0, bottom, self.shape[1])
        parts = (window[..., left : left + COLUMNS] for left in range(0, self.shape[1], COLUMNS))
        return np.concatenate([displayed(reduced_pixels(part, STORED), self._display) for part in parts], axis=1)

    def _brightness(self) -> float:
        """Return the mean value of the coarsest level, 0 to 255."""
        return float(
            np.mean(np.asarray(cv2.imdecode(np.frombuffer(self.picture(0, 0, 0), np.uint8), cv2.IMREAD_COLOR)))
        )


def open_slide(
    found: Found,
    plane: int | None = None,
    project: str | None = None,
    progress: Callable[[float], None] = lambda fraction: None,
) -> Slide:
    """Open an image with its labels.

    plane, project: as in `flowmask.images.readers.open_image`. Raises as that and as `Slide` do.

    >>> from pathlib import Path
    >>> from flowmask.viewer.found import Found
    >>> open_slide(Found(Path("missing.tif"), "", Path("missing_label.tiff"), 0, None))
    Traceback (most recent call last):
    ...
    flowmask.errors.ImageError: missing.tif: it cannot be read (No such file or directory); check the link, the disk \
and its permissions.
    """
    frames = open_frames(found.image, plane, project)
    endings = LABEL_SUFFIXES
    numbers = [n for n, frame in enumerate(frames.suffixes) if found.suffix in [frame + end for end in endings]]
    if not numbers:
        raise ImageError(f"{found.image}: it has no frame {found.suffix.strip('_')}, to which {found.labels} belongs.")
    image = frames[numbers[0]][1]
    return Slide(found, image, lambda: open_frames(found.labels)[0][1], progress)


def _size(image: Image) -> str:
    return f"{image.shape[2]} x {image.shape[1]}"


def sampled(image: Image) -> Image:
    """Return an image of regularly placed windows of a large image, one below the other; a small image as it is.

    >>> sampled(as_image(np.zeros((40, 50)))).shape
    (1, 40, 50)
    """
    channels, height, width = image.shape
    side = math.isqrt(SAMPLE_BYTES // (SAMPLES**2 * channels * image.dtype.itemsize))
    if height * width <= (SAMPLES * side) ** 2:
        return image
    tall, wide = min(side, height), min(side, width)
    windows = [
        image.read(int(top), int(left), int(top) + tall, int(left) + wide)
        for top in np.linspace(0, height - tall, SAMPLES)
        for left in np.linspace(0, width - wide, SAMPLES)
    ]
    return Described(as_image(np.concatenate(windows, axis=1), "CYX"), image.info)
