"""The labels of one block, computed from the maps of its rows and of a halo around them.

The result equals that of the strip engine (`flowmask.families.flow.strip`) for the same rows. The owner key of a cell
is the position of its seed. Everything that can change the label of a core pixel lies within `HALO` network rows:

* A path ends at most `REACH` rows from its start, and a basin extends `GROWTH` rows from its seed. So all pixels of a
  cell lie within `REACH` + `GROWTH` rows of its seed, and any two of them lie within 2 (`REACH` + `GROWTH`) rows.
* So all pixels of the cell that contains or encloses a core pixel lie within 2 (`REACH` + `GROWTH`) rows of that pixel.
* The seeds that compete for these pixels, and the histogram rows that decide about them, lie within 2 `GROWTH` + `PEAK`
  more rows. All paths that end there start and stay within 2 `REACH` rows of their end.
"""

from __future__ import annotations

import numpy as np

from ...labels.measure import measure
from ...labels.numbering import renumber
from ...system.cpu import threads as usable_threads
from ...tiles.plan import ImagePlan
from ...tiles.rescale import positions
from ..blocks import Block, Maps, Span, make_block
from .constants import REACH
from .follow import count_ends, follow, inner_field, trapping
from .masks import SEED_PIXELS, SPREAD_PIXELS, fill_holes, grow, label, peaks, quality


def label_block(maps: Maps, plan: ImagePlan, core: Span, read: Span) -> Block:
    """Return the labels of the image rows ``core``.

    maps: (3, n, x) float32 (dy, dx, logit), the rows ``read`` of the network image; these are at least the rows that
    `flowmask.families.blocks.rows_to_read` returns for `HALO`. The owner key of a cell is the position of its seed in
    the network image, as row * x + column. When `flowmask.families.blocks.gather` has numbered all blocks, they equal
    the labels of `flowmask.families.flow.strip.label_rows`.

    >>> from types import SimpleNamespace
    >>> from flowmask.families.flow.targets import labels_to_flows
    >>> from flowmask.options import Segmentation
    >>> square = np.zeros((20, 20), np.int32)
    >>> square[5:15, 5:15] = 1
    >>> maps = np.concatenate([5 * labels_to_flows(square), 12 * square[None] - 6]).astype(np.float32)
    >>> plan = SimpleNamespace(shape=(20, 20), network_shape=(20, 20), options=Segmentation(), threads=1)
    >>> label_block(maps, plan, core=(0, 20), read=(0, 20)).areas
    array([100])
    """
    height, width = plan.network_shape
    rows, columns = (positions(0, n, n, m) for n, m in zip(plan.shape, plan.network_shape, strict=True))
    first, last = _rows_to_follow(rows, read, height)
    options, threads = plan.options, usable_threads(plan.threads)
    by_row = np.ascontiguousarray(maps.transpose(1, 0, 2))
    field = inner_field(by_row, options.cellprob_threshold)
    ends = follow(
        by_row, field, trapping(field), read[0], height, rows[first:last], columns, options.cellprob_threshold, threads
    )
    bases = rows[first:last].astype(np.int64)

    # Sink histogram, seeds and basins, all from network row read[0] on.
    histogram = np.zeros((read[1] - read[0], width), np.int32)
    count_ends(ends, bases, first, histogram, read[0], np.zeros(height, np.int32))
    area = height * width / (plan.shape[0] * plan.shape[1])
    seeds = peaks(histogram, 0, len(histogram), SEED_PIXELS / area)
    basins = grow(histogram, seeds, np.arange(1, len(seeds) + 1), 0, len(histogram), SPREAD_PIXELS / area)
    # Labels from image row ``first`` on: each pixel gets the number of the basin in which its path ends.
    labels = np.zeros((last - first, plan.shape[1]), np.int32)
    label(ends, bases, basins, read[0], labels)

    # Remove cells that are too small or fail the flow check.
    boxes, areas = np.zeros((len(seeds), 4), np.int32), np.zeros(len(seeds), np.int64)
    measure(labels, first, boxes, areas)
    cells = np.flatnonzero(areas >= max(1, options.min_size))
    if options.flow_threshold > 0:
        errors, _ = quality(cells + 1, boxes, labels, first, by_row, read[0], height, rows, columns, threads)
        cells = cells[errors <= options.flow_threshold]
    # Number the others by first pixel and fill their holes.
    accepted = np.zeros(len(seeds), np.bool_)
    accepted[cells] = True
    numbers = np.zeros(len(seeds), np.int32)
    renumber(labels, numbers, accepted, 0)
    cells = cells[np.argsort(numbers[cells])]
    fill_holes(labels, first, boxes[cells], numbers[cells])
    keys = (seeds[cells, 0] + read[0]) * width + seeds[cells, 1]
    return make_block(core, labels[core[0] - first : core[1] - first], keys)


def _rows_to_follow(rows: np.ndarray[tuple[int], np.dtype[np.float64]], read: Span, height: int) -> Span:
    """Return the image rows whose paths cannot leave the network rows ``read``.

    rows: network position of each image row; height: rows of the network image.
    """
    first = 0 if read[0] == 0 else int(np.searchsorted(rows, read[0] + REACH))
    last = len(rows) if read[1] == height else int(np.searchsorted(rows, read[1] - 1 - REACH))
    return first, last
