"""The labels of some rows of an image, from the maps around them: what the strip engine gives, for one block alone.

A cell is owned by the row and column of its seed. Everything that can change a pixel of the core lies within `HALO`:

* a path ends at most `REACH` rows from its first pixel, and a seed's basin has `GROWTH` rows to each side, so the
  pixels of a cell lie within `REACH` + `GROWTH` rows of its seed;
* a core pixel belongs to a cell, or to a hole of a cell, whose pixels lie within 2 (`REACH` + `GROWTH`) rows;
* the basins that those pixels compete for lie within 2 `GROWTH` + `PEAK` rows more, and every path that ends there
  begins and stays within 2 `REACH` rows of them.
"""

from __future__ import annotations

import numpy as np

from ...labels.measure import measure
from ...system.cpu import threads as usable_threads
from ...tiles.plan import ImagePlan
from ...tiles.rescale import positions
from ..blocks import Block, Maps, Span, make_block
from .constants import REACH
from .follow import count_ends, follow, inner_field
from .masks import SEED_PIXELS, SPREAD_PIXELS, fill_holes, flow_errors, grow, label, peaks, renumber


def label_block(maps: Maps, plan: ImagePlan, core: Span, read: Span) -> Block:
    """Return the labels of the rows ``core`` of the image; the key of a cell is the raster position of its seed.

    maps: (3, n, X) float32, the rows ``read`` of the network image, at least those of
    `flowmask.families.blocks.rows_to_read` with `HALO`. The rows of all blocks together, gathered, equal the labels of
    `flowmask.families.flow.strip.label_rows`.
    """
    height, width = plan.network_shape
    rows, columns = (positions(0, n, n, m) for n, m in zip(plan.shape, plan.network_shape, strict=True))
    first, last = _followed(rows, read, height)
    options, threads = plan.options, usable_threads(plan.threads)
    by_row = np.ascontiguousarray(maps.transpose(1, 0, 2))
    field = inner_field(by_row, options.cellprob_threshold)
    ends = follow(by_row, field, read[0], height, rows[first:last], columns, options.cellprob_threshold, threads)
    bases = rows[first:last].astype(np.int64)

    histogram = np.zeros((read[1] - read[0], width), np.int32)
    count_ends(ends, bases, first, histogram, read[0], np.zeros(height, np.int32))
    area = height * width / (plan.shape[0] * plan.shape[1])
    seeds = peaks(histogram, 0, len(histogram), SEED_PIXELS / area)
    basins = grow(histogram, seeds, np.arange(1, len(seeds) + 1), 0, len(histogram), SPREAD_PIXELS / area)
    labels = np.zeros((last - first, plan.shape[1]), np.int32)
    label(ends, bases, basins, read[0], labels)

    boxes, areas = np.zeros((len(seeds), 4), np.int32), np.zeros(len(seeds), np.int64)
    measure(labels, first, boxes, areas)
    cells = np.flatnonzero(areas >= max(1, options.min_size))
    if options.flow_threshold > 0:
        errors = flow_errors(cells + 1, boxes, labels, first, by_row, read[0], height, rows, columns, threads)
        cells = cells[errors <= options.flow_threshold]
    accepted = np.zeros(len(seeds), np.bool_)
    accepted[cells] = True
    numbers = np.zeros(len(seeds), np.int32)
    renumber(labels, numbers, accepted, 0)
    cells = cells[np.argsort(numbers[cells])]
    fill_holes(labels, first, boxes[cells], numbers[cells])
    keys = (seeds[cells, 0] + read[0]) * width + seeds[cells, 1]
    return make_block(core, labels[core[0] - first : core[1] - first], keys)


def _followed(rows: np.ndarray[tuple[int], np.dtype[np.float64]], read: Span, height: int) -> Span:
    """Return the rows of the image from which no path leaves the network rows that were read."""
    first = 0 if read[0] == 0 else int(np.searchsorted(rows, read[0] + REACH))
    last = len(rows) if read[1] == height else int(np.searchsorted(rows, read[1] - 1 - REACH))
    return first, last
