"""Rows of maps in, rows of labels out: the flow dynamics of an image, of which only a strip is held at a time.

"Source" rows and pixels are those of the image, "network" rows those of the rescaled image. Each stage passes on the
rows that nothing can change any more, so the labels are those of the whole image:

1. A source pixel is followed once the maps reach as far below it as a path can go.
2. A row of the sink histogram is final once no path that ends in it is still to be followed. Its basins are final a few
   rows later.
3. A source row is labelled once all its paths end in final basins.
4. A cell is checked once all rows whose paths end in its basin are labelled.
5. A row is numbered once its cells are checked. The holes of a cell are filled once all its rows are numbered.

A path goes at most `flowmask.families.flow.constants.REACH` rows: the number of steps times the longest step.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from ...labels.labels import Labels
from ...labels.measure import measure
from ...options import Segmentation
from ...system.cpu import threads as usable_threads
from ...system.parallel import in_parallel
from ...system.rolling import Rolling
from ...tiles.rescale import positions
from .constants import GROWTH, PEAK, REACH
from .follow import Maps, count_ends, follow, inner_field
from .masks import (
    SEED_PIXELS,
    SPREAD_PIXELS,
    fill_holes,
    flow_errors,
    grow,
    label,
    peaks,
    renumber,
)

BAND = 64
"""Source rows that a thread labels before it takes others."""


def label_rows(
    parts: Iterable[Maps],
    network_shape: tuple[int, int],
    shape: tuple[int, int],
    options: Segmentation,
    threads: int = 0,
) -> Iterator[Labels]:
    """Yield the labels of an image of ``shape`` from the top down, (n, X) int32 at a time.

    parts: the maps (3, n, x) float32 of the network image from the top down. Ids are 1, 2, ... by first pixel.
    """
    strip = _Strip(network_shape, shape, options, usable_threads(threads))
    for part in parts:
        yield strip.advance(part)


class _Strip:
    """The rows that some stage still needs, and how far each stage has come; the end of a range is excluded."""

    def __init__(
        self, network_shape: tuple[int, int], shape: tuple[int, int], options: Segmentation, threads: int
    ) -> None:
        self.options = options
        self.threads = threads
        self.height, self.width = network_shape
        self.rows = positions(0, shape[0], shape[0], self.height)
        self.columns = positions(0, shape[1], shape[1], self.width)
        self.bases = self.rows.astype(np.int64)
        self.area = self.height * self.width / (shape[0] * shape[1])
        """Network pixels that one source pixel covers: each end counts so much."""
        self.maps = Rolling(self.width, np.float32, 3)
        self.field = Rolling(self.width, np.float32, 2)
        self.histogram = Rolling(self.width, np.int32)
        self.basins = Rolling(self.width, np.int32)
        self.ends = Rolling(shape[1], np.int32)
        self.labels = Rolling(shape[1], np.int32)
        self.lowest = np.full(self.height, -1, np.int32)
        """For each network row the last source row with a path that ends there."""
        self.deepest = np.zeros(shape[0], np.int64)
        """For each source row the last network row in which one of its paths ends."""
        self.seeds = np.empty((0, 3), np.int64)
        """(row, column, height) of every seed, in raster order: the cells."""
        self.seeded = 0
        """Network rows in which the seeds are known."""
        self.boxes = np.empty((0, 4), np.int32)
        self.areas = np.empty(0, np.int64)
        self.checked = 0
        """Cells, in the order of their seeds, that have been checked."""
        self.accepted = np.empty(0, np.bool_)
        self.numbers = np.empty(0, np.int32)
        self.numbered = 0
        """Source rows that hold final numbers."""
        self.count = 0
        self.holed = np.empty(0, np.int64)
        """Numbered cells whose holes are not filled yet, in the order of their numbers."""

    def advance(self, part: Maps) -> Labels:
        """Take more rows of maps and return the rows of labels that have become final."""
        self._take(part)
        self._follow()
        self._find_seeds()
        self._grow()
        self._label()
        self._check()
        self._number()
        self._fill()
        return self._finish()

    def _take(self, part: Maps) -> None:
        rows = part.transpose(1, 0, 2)
        self.maps.append(rows)
        self.field.append(inner_field(rows, self.options.cellprob_threshold))
        self.histogram.append(np.zeros((len(rows), self.width), np.int32))

    def _source_rows(self, network_row: float) -> int:
        """Return how many source rows lie above a network row."""
        return int(np.searchsorted(self.rows, network_row))

    def _follow(self) -> None:
        """Follow the source rows from which no path can leave the rows of maps that have arrived."""
        whole = self.maps.bottom == self.height
        first, last = self.ends.bottom, self._source_rows(math.inf if whole else self.maps.bottom - 1 - REACH)
        if last <= first:
            return
        top, bottom = self.field.top, self.field.bottom
        ends = follow(
            self.maps.rows(top, bottom),
            self.field.rows(top, bottom),
            top,
            self.height,
            self.rows[first:last],
            self.columns,
            self.options.cellprob_threshold,
            self.threads,
        )
        self.ends.append(ends)
        bases = self.bases[first:last]
        self.deepest[first:last] = bases + np.maximum(ends.max(axis=1, initial=0), 0) // self.width
        top = self.histogram.top
        count_ends(ends, bases, first, self.histogram.rows(top, self.histogram.bottom), top, self.lowest)

    def _find_seeds(self) -> None:
        """Find the seeds in the rows of the sink histogram that are final."""
        following = self.ends.bottom
        final = self.height if following == len(self.rows) else max(0, self.bases[following] - REACH)
        last = final if final == self.height else final - PEAK
        if last <= self.seeded:
            return
        top = max(0, self.seeded - PEAK)
        found = peaks(self.histogram.rows(top, final), self.seeded - top, last - top, SEED_PIXELS / self.area)
        found[:, 0] += top
        self.seeds = np.concatenate([self.seeds, found])
        new = len(found)
        self.boxes = np.concatenate([self.boxes, np.zeros((new, 4), np.int32)])
        self.areas = np.concatenate([self.areas, np.zeros(new, np.int64)])
        self.accepted = np.concatenate([self.accepted, np.zeros(new, np.bool_)])
        self.numbers = np.concatenate([self.numbers, np.zeros(new, np.int32)])
        self.seeded = last

    def _grow(self) -> None:
        """Grow the basins in the rows that no later seed can reach."""
        first, last = self.basins.bottom, self.height if self.seeded == self.height else self.seeded - 2 * GROWTH
        if last <= first:
            return
        top, bottom = max(0, first - 2 * GROWTH), min(self.height, last + 2 * GROWTH)
        some = slice(*np.searchsorted(self.seeds[:, 0], (first - GROWTH, last + GROWTH)))
        seeds = self.seeds[some] - np.array([top, 0, 0])
        numbers = np.arange(some.start + 1, some.stop + 1)
        histogram = self.histogram.rows(top, bottom)
        self.basins.append(grow(histogram, seeds, numbers, first - top, last - top, SPREAD_PIXELS / self.area))
        self.histogram.drop(self.basins.bottom - 2 * GROWTH)

    def _label(self) -> None:
        """Label the source rows whose paths all end in final basins."""
        first = self.labels.bottom
        waiting = np.flatnonzero(self.deepest[first : self.ends.bottom] >= self.basins.bottom)
        last = first + int(waiting[0]) if waiting.size else self.ends.bottom
        if last <= first:
            return
        basins = self.basins.rows(self.basins.top, self.basins.bottom)
        labels = np.zeros((last - first, len(self.columns)), np.int32)
        ends, bases, top = self.ends.rows(first, last), self.bases[first:last], self.basins.top

        def work(a: int, b: int) -> None:
            label(ends[a:b], bases[a:b], basins, top, labels[a:b])

        in_parallel(last - first, BAND, self.threads, work)
        measure(labels, first, self.boxes, self.areas)
        self.labels.append(labels)
        self.ends.drop(last)
        if last < len(self.rows):
            self.basins.drop(self.bases[last] - REACH)

    def _check(self) -> None:
        """Check the cells all of whose pixels are labelled: size and flow error."""
        last = self.checked
        for row in self.seeds[self.checked :, 0]:
            low, high = max(0, row - GROWTH), min(self.height, row + GROWTH + 1)
            if high > self.basins.bottom or self.lowest[low:high].max() >= self.labels.bottom:
                break
            last += 1
        cells = np.arange(self.checked, last)
        cells = cells[self.areas[cells] >= max(1, self.options.min_size)]
        self.checked = last
        if self.options.flow_threshold > 0:
            cells = cells[self._flow_errors(cells) <= self.options.flow_threshold]
        self.accepted[cells] = True
        following = self.bases[self.ends.bottom] - REACH if self.ends.bottom < len(self.rows) else self.height
        self.field.drop(following)
        waiting = self._first_unchecked_row()
        self.maps.drop(min(following, self.bases[waiting] if waiting < len(self.rows) else self.height))

    def _flow_errors(self, cells: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        return flow_errors(
            cells + 1,
            self.boxes,
            self.labels.rows(self.labels.top, self.labels.bottom),
            self.labels.top,
            self.maps.rows(self.maps.top, self.maps.bottom),
            self.maps.top,
            self.height,
            self.rows,
            self.columns,
            self.threads,
        )

    def _first_unchecked_row(self) -> int:
        """Return the first source row that has, or may get, a pixel of a cell that is not checked yet."""
        seen = self.boxes[self.checked :, 0][self.areas[self.checked :] > 0]
        return int(seen.min(initial=self.labels.bottom))

    def _number(self) -> None:
        """Number the rows all of whose cells are checked."""
        last = self._first_unchecked_row()
        before = self.count
        if last > self.numbered:
            self.count = renumber(self.labels.rows(self.numbered, last), self.numbers, self.accepted, before)
            self.numbered = last
        new = np.flatnonzero(self.numbers > before)
        self.holed = np.concatenate([self.holed, new[np.argsort(self.numbers[new])]])

    def _fill(self) -> None:
        """Fill the holes of the cells all of whose rows are numbered, in the order of their numbers."""
        open_ended = np.flatnonzero(self.boxes[self.holed, 2] > self.numbered)
        cells = self.holed[: open_ended[0]] if open_ended.size else self.holed
        self.holed = self.holed[len(cells) :]
        labels = self.labels.rows(self.labels.top, self.labels.bottom)
        fill_holes(labels, self.labels.top, self.boxes[cells], self.numbers[cells])

    def _finish(self) -> Labels:
        last = int(self.boxes[self.holed[0], 0]) if self.holed.size else self.numbered
        finished = self.labels.rows(self.labels.top, last).copy()
        self.labels.drop(last)
        return finished
