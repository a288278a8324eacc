"""The strip engine of the flow family: rows of maps come in, rows of final labels go out, from the top down.

Source rows and pixels are those of the image; network rows and pixels are those of the rescaled image. Memory holds
only a strip of rows. Each call of `_Strip.advance` adds rows of maps and then runs the stages below, in this order.
Every stage processes only rows that later maps cannot change, so the labels equal those of the whole image.

1. Follow paths: a source row is followed when the maps reach `REACH` network rows below it. No path goes further:
   `flowmask.families.flow.constants.REACH` is the number of steps times the longest step.
2. Find seeds: a row of the sink histogram is final when all paths that can end in it have been followed.
3. Grow basins: a row of basins is final when all seeds that can grow into it are known.
4. Label rows: a source row is labelled when all its paths end in final basins.
5. Check cells: a cell is checked when all source rows with a path that ends in its basin are labelled.
6. Number rows: a source row is numbered when all its cells are checked.
7. Fill holes: the holes of a cell are filled when all its rows are numbered. Rows without unfilled cells are finished.

An engine can also work on a part of the network rows. It then follows only the source rows whose paths cannot leave
these rows. `flowmask.families.flow.block` says which of its labels are those of the whole image.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from ...labels.cell_table import CellTableBuilder
from ...labels.labels import Labels
from ...labels.measure import measure
from ...labels.numbering import renumber
from ...options import Segmentation
from ...system.cpu import threads as usable_threads
from ...system.parallel import in_parallel
from ...system.rolling import Rolling
from ...tiles.rescale import positions
from .constants import GROWTH, HELD, PEAK, REACH
from .follow import Maps, Positions, count_ends, follow, inner_field, trapping
from .masks import (
    SEED_PIXELS,
    SPREAD_PIXELS,
    fill_holes,
    grow,
    label,
    peaks,
    quality,
)

BAND = 64
"""Source rows that a thread labels at a time."""


def label_rows(
    parts: Iterable[Maps],
    network_shape: tuple[int, int],
    shape: tuple[int, int],
    options: Segmentation,
    threads: int = 0,
    cells: CellTableBuilder | None = None,
) -> Iterator[Labels]:
    """Yield the labels (n, X) int32 of an image from the top down, numbered 1, 2, ... in the order of first pixels.

    parts: the maps (3, n, x) float32 (dy, dx, logit) of the network image from the top down. network_shape, shape:
    (Y, X) of the network image and of the image. threads: number of CPU threads; 0 means one for each usable core.
    cells: the table to fill; None if it is not needed.

    >>> from flowmask.families.flow.targets import labels_to_flows
    >>> square = np.zeros((20, 20), np.int32)
    >>> square[5:15, 5:15] = 1
    >>> maps = np.concatenate([5 * labels_to_flows(square), 12 * square[None] - 6]).astype(np.float32)
    >>> rows = list(label_rows([maps], (20, 20), (20, 20), Segmentation(), threads=1))
    >>> np.array_equal(np.concatenate(rows), square)
    True
    """
    strip = Strip(network_shape, shape, options, usable_threads(threads))
    table = CellTableBuilder() if cells is None else cells
    counted = 0
    for part in parts:
        rows = strip.advance(part)
        new_cells, counted = strip.numbered[counted:], len(strip.numbered)
        errors, probabilities = strip.quality[:, new_cells]
        too_small, wrong_flow = strip.take_rejected(strip.labels.top)
        table.candidates += len(new_cells) + too_small + wrong_flow
        table.too_small += too_small
        table.wrong_flow += wrong_flow
        table.add_cells(probabilities, errors)
        table.add_rows(rows)
        yield rows


class Strip:
    """The rows that later stages still need, the cells found so far, and how far each stage has come."""

    def __init__(
        self,
        network_shape: tuple[int, int],
        shape: tuple[int, int],
        options: Segmentation,
        threads: int,
        read: tuple[int, int] | None = None,
    ) -> None:
        """read: first and last network row, the last excluded, that come as maps; None means all rows.

        network_shape, shape, options: as in `label_rows`; threads: number of CPU threads.
        """
        self.options = options
        self.threads = threads

        # The geometry of the image.
        self.height, self.width = network_shape
        self.rows = positions(0, shape[0], shape[0], self.height)
        """Network position of each source row."""
        self.columns = positions(0, shape[1], shape[1], self.width)
        """Network position of each source column."""
        self.start_rows = self.rows.astype(np.int64)
        """Network row in which the paths of each source row start."""
        self.pixel_area = self.height * self.width / (shape[0] * shape[1])
        """Area of a source pixel in network pixels. Each path end stands for this area of a cell."""
        self.read = read or (0, self.height)
        """Network rows that come as maps."""
        self.followed = _rows_to_follow(self.rows, self.read, self.height)
        """Source rows whose paths are followed."""

        # The rows in memory. `top` and `bottom` of each are its first row and the end of its last row in the whole
        # image, so `bottom` is also how far its stage has come.
        top, first = self.read[0], self.followed[0]
        room = min(self.read[1] - top, HELD)
        self.maps = Rolling(self.width, np.float32, 3, rows=room, top=top)
        """Network rows: the maps."""
        self.field = Rolling(2, np.float32, self.width, rows=room, top=top)
        """Network rows: the flow field that paths follow."""
        self.traps = Rolling(self.width, np.bool_, top=top)
        """Network rows: the pixels that no path leaves."""
        self.ends = Rolling(shape[1], np.int32, top=first)
        """Source rows: where the path of each pixel ends (stage 1)."""
        self.histogram = Rolling(self.width, np.int32, top=top)
        """Network rows: the sink histogram, how many paths end in each pixel (stage 1)."""
        self.basins = Rolling(self.width, np.int32, top=top)
        """Network rows: the number of the seed whose basin each pixel belongs to (stage 3)."""
        self.labels = Rolling(shape[1], np.int32, top=first)
        """Source rows: seed numbers (stage 4), later cell numbers (stage 6)."""

        # The path ends, for each row of the whole image.
        self.last_source_row = np.full(self.height, -1, np.int32)
        """For each network row, the last source row with a path that ends in it."""
        self.last_end_row = np.zeros(shape[0], np.int64)
        """For each source row, the last network row in which one of its paths ends."""

        # The cells, in the order of their seeds. A cell's seed number is its index plus 1.
        self.seeds = np.empty((0, 3), np.int64)
        """(row, column, path ends) of each seed, in raster order."""
        self.boxes = np.empty((0, 4), np.int32)
        """(top, left, bottom, right) of each cell in source pixels, ends excluded."""
        self.areas = np.empty(0, np.int64)
        """Area of each cell in source pixels."""
        self.accepted = np.empty(0, np.bool_)
        """Whether each cell has passed the checks."""
        self.quality = np.empty((2, 0), np.float32)
        """Flow error and cell probability of each cell that is checked and large enough."""
        self.numbered = np.empty(0, np.int64)
        """Indices of the cells with a final number, in the order of their numbers."""
        self.rejected = np.empty((0, 2), np.int64)
        """(first source row, 1 for a wrong flow or 0 for too few pixels) of each candidate that failed the checks."""
        self.numbers = np.empty(0, np.int32)
        """Final number of each cell, 0 as long as it has none."""

        # How far the other stages have come.
        self.seeded_rows = top
        """Network rows in which all seeds are known (stage 2)."""
        self.checked_cells = 0
        """Cells that are checked; these are the first ones in the order of seeds (stage 5)."""
        self.numbered_rows = first
        """Source rows with final numbers (stage 6)."""
        self.unfilled = np.empty(0, np.int64)
        """Indices of the numbered cells whose holes are not filled yet, in the order of their numbers (stage 7)."""

    def advance(self, part: Maps) -> Labels:
        """Add the next rows of maps (3, n, x) and return the rows of labels (m, X) that are finished; m can be 0.

        The first rows returned begin with the first row of ``followed``.
        """
        self._add_maps(part)
        self._follow_paths()
        self._find_seeds()
        self._grow_basins()
        self._label_rows()
        self._check_cells()
        self._drop_maps()
        self._number_rows()
        self._fill_holes()
        return self._finished_rows()

    def take_rejected(self, bottom: int) -> tuple[int, int]:
        """Return how many candidates were too small and how many had a wrong flow, and forget them.

        Only candidates that begin above the source row ``bottom`` count; in finished rows their number is final.
        """
        above = self.rejected[:, 0] < bottom
        wrong_flow = int(self.rejected[above, 1].sum())
        count, self.rejected = int(np.count_nonzero(above)), self.rejected[~above]
        return count - wrong_flow, wrong_flow

    @property
    def _is_complete(self) -> bool:
        """Whether all rows of maps have arrived."""
        return self.maps.bottom == self.read[1]

    def _add_maps(self, part: Maps) -> None:
        first = self.maps.bottom
        self.maps.append(part.transpose(1, 0, 2))
        by_row = self.maps.rows(first, self.maps.bottom)
        self.field.append(inner_field(by_row, self.options.cellprob_threshold))
        self._add_traps()
        self.histogram.append(np.zeros((len(by_row), self.width), np.int32))

    def _add_traps(self) -> None:
        """Find the traps in the new rows of the field, and in the row before them, which needed the row below it."""
        first = max(self.traps.top, self.traps.bottom - 1)
        before = self.traps.rows(first, self.traps.bottom)
        traps = trapping(self.field.rows(first, self.field.bottom))
        before[:] = traps[: len(before)]
        self.traps.append(traps[len(before) :])

    def _follow_paths(self) -> None:
        """Stage 1: follow the source rows whose paths cannot leave the rows of maps that have arrived."""
        first = self.ends.bottom
        last = self.followed[1]
        if not self._is_complete:
            last = int(np.searchsorted(self.rows, self.maps.bottom - 1 - REACH))
        if last <= first:
            return
        top, bottom = self.field.top, self.field.bottom
        ends = follow(
            self.maps.rows(top, bottom),
            self.field.rows(top, bottom),
            self.traps.rows(top, bottom),
            top,
            self.height,
            self.rows[first:last],
            self.columns,
            self.options.cellprob_threshold,
            self.threads,
        )
        self.ends.append(ends)
        start_rows = self.start_rows[first:last]
        self.last_end_row[first:last] = start_rows + np.maximum(ends.max(axis=1, initial=0), 0) // self.width
        top = self.histogram.top
        count_ends(ends, start_rows, first, self.histogram.rows(top, self.histogram.bottom), top, self.last_source_row)

    def _first_row_of_later_paths(self) -> int:
        """Return the first network row that a path which is not followed yet can reach."""
        first = self.ends.bottom
        if self._is_complete and first >= self.followed[1]:
            return self.read[1]
        return max(self.read[0], int(self.start_rows[first]) - REACH)

    def _find_seeds(self) -> None:
        """Stage 2: find the seeds in the rows of the sink histogram that are final."""
        final = self._first_row_of_later_paths()
        last = final if final == self.read[1] else final - PEAK
        if last <= self.seeded_rows:
            return
        top = max(self.read[0], self.seeded_rows - PEAK)
        least = SEED_PIXELS / self.pixel_area
        new_seeds = peaks(self.histogram.rows(top, final), self.seeded_rows - top, last - top, least)
        new_seeds[:, 0] += top
        self.seeds = np.concatenate([self.seeds, new_seeds])
        count = len(new_seeds)
        self.boxes = np.concatenate([self.boxes, np.zeros((count, 4), np.int32)])
        self.areas = np.concatenate([self.areas, np.zeros(count, np.int64)])
        self.accepted = np.concatenate([self.accepted, np.zeros(count, np.bool_)])
        self.quality = np.concatenate([self.quality, np.zeros((2, count), np.float32)], axis=1)
        self.numbers = np.concatenate([self.numbers, np.zeros(count, np.int32)])
        self.seeded_rows = last

    def _grow_basins(self) -> None:
        """Stage 3: grow the basins in the rows that no later seed can change."""
        first = self.basins.bottom
        last = self.read[1] if self.seeded_rows == self.read[1] else self.seeded_rows - 2 * GROWTH
        if last <= first:
            return
        top, bottom = max(self.read[0], first - 2 * GROWTH), min(self.read[1], last + 2 * GROWTH)
        nearby = slice(*np.searchsorted(self.seeds[:, 0], (first - GROWTH, last + GROWTH)))
        seeds = self.seeds[nearby] - np.array([top, 0, 0])
        numbers = np.arange(nearby.start + 1, nearby.stop + 1)
        histogram = self.histogram.rows(top, bottom)
        self.basins.append(grow(histogram, seeds, numbers, first - top, last - top, SPREAD_PIXELS / self.pixel_area))
        self.histogram.drop(self.basins.bottom - 2 * GROWTH)

    def _label_rows(self) -> None:
        """Stage 4: label the source rows whose paths all end in final basins."""
        first = self.labels.bottom
        waiting = np.flatnonzero(self.last_end_row[first : self.ends.bottom] >= self.basins.bottom)
        last = first + int(waiting[0]) if waiting.size else self.ends.bottom
        if last <= first:
            return
        basins = self.basins.rows(self.basins.top, self.basins.bottom)
        labels = np.zeros((last - first, len(self.columns)), np.int32)
        ends, start_rows, top = self.ends.rows(first, last), self.start_rows[first:last], self.basins.top

        def work(a: int, b: int) -> None:
            label(ends[a:b], start_rows[a:b], basins, top, labels[a:b])

        in_parallel(last - first, BAND, self.threads, work)
        measure(labels, first, self.boxes, self.areas)
        self.labels.append(labels)
        self.ends.drop(last)
        if last < self.followed[1]:
            self.basins.drop(self.start_rows[last] - REACH)

    def _check_cells(self) -> None:
        """Stage 5: accept the cells that are completely labelled, large enough and pass the flow check."""
        last = self.checked_cells + self._complete_cells(self.seeds[self.checked_cells :, 0])
        candidates = self.checked_cells + np.flatnonzero(self.areas[self.checked_cells : last])
        large = self.areas[candidates] >= self.options.min_size
        self._reject(candidates[~large], 0)
        cells = candidates[large]
        self.checked_cells = last
        errors, probabilities = self._quality(cells)
        self.quality[:, cells] = errors, probabilities
        if self.options.flow_threshold > 0:
            passed = errors <= self.options.flow_threshold
            self._reject(cells[~passed], 1)
            cells = cells[passed]
        self.accepted[cells] = True

    def _reject(self, cells: npt.NDArray[np.int64], wrong_flow: int) -> None:
        rejected = np.stack([self.boxes[cells, 0], np.full(len(cells), wrong_flow)], axis=1)
        self.rejected = np.concatenate([self.rejected, rejected])

    def _complete_cells(self, seed_rows: npt.NDArray[np.int64]) -> int:
        """Return how many cells, from the first on, of seeds in these network rows (n,) are completely labelled."""
        tops, bottoms = np.maximum(0, seed_rows - GROWTH), np.minimum(self.read[1], seed_rows + GROWTH + 1)
        ranges = np.stack([tops, bottoms], axis=1).ravel()
        last_rows = np.maximum.reduceat(np.append(self.last_source_row, -1), ranges)[::2]
        complete = (bottoms <= self.basins.bottom) & (last_rows < self.labels.bottom)
        return int(np.argmin(np.append(complete, False)))

    def _quality(self, cells: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        return quality(
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
        """Return the first source row that has, or can get, a pixel of a cell that is not checked yet."""
        tops = self.boxes[self.checked_cells :, 0][self.areas[self.checked_cells :] > 0]
        return int(tops.min(initial=self.labels.bottom))

    def _drop_maps(self) -> None:
        """Drop the network rows that neither later paths nor the flow check of later cells need."""
        needed_by_paths = self._first_row_of_later_paths()
        self.field.drop(needed_by_paths)
        self.traps.drop(needed_by_paths)
        unchecked = self._first_unchecked_row()
        needed_by_check = self.start_rows[unchecked] if unchecked < self.followed[1] else self.read[1]
        self.maps.drop(min(needed_by_paths, needed_by_check))

    def _number_rows(self) -> None:
        """Stage 6: replace seed numbers by final numbers in the rows whose cells are all checked."""
        last = self._first_unchecked_row()
        before = len(self.numbered)
        if last > self.numbered_rows:
            labels = self.labels.rows(self.numbered_rows, last)
            renumber(labels, self.numbers, self.accepted, before)
            self.numbered_rows = last
        new_cells = np.flatnonzero(self.numbers > before)
        new_cells = new_cells[np.argsort(self.numbers[new_cells])]
        self.numbered = np.concatenate([self.numbered, new_cells])
        self.unfilled = np.concatenate([self.unfilled, new_cells])

    def _fill_holes(self) -> None:
        """Stage 7: fill the holes of the cells whose rows are all numbered, in the order of their numbers."""
        incomplete = np.flatnonzero(self.boxes[self.unfilled, 2] > self.numbered_rows)
        cells = self.unfilled[: incomplete[0]] if incomplete.size else self.unfilled
        self.unfilled = self.unfilled[len(cells) :]
        labels = self.labels.rows(self.labels.top, self.labels.bottom)
        fill_holes(labels, self.labels.top, self.boxes[cells], self.numbers[cells])

    def _finished_rows(self) -> Labels:
        """Return the numbered rows above the first cell with unfilled holes, and drop them."""
        last = int(self.boxes[self.unfilled[0], 0]) if self.unfilled.size else self.numbered_rows
        finished = self.labels.rows(self.labels.top, last).copy()
        self.labels.drop(last)
        return finished


def _rows_to_follow(rows: Positions, read: tuple[int, int], height: int) -> tuple[int, int]:
    """Return the source rows whose paths cannot leave the network rows ``read``.

    rows: network position of each source row; height: rows of the network image.
    """
    first = 0 if read[0] == 0 else int(np.searchsorted(rows, read[0] + REACH))
    last = len(rows) if read[1] == height else int(np.searchsorted(rows, read[1] - 1 - REACH))
    return first, max(first, last)
