"""From maps to labels: the published decoder of Mesmer, for maps whose rows arrive from the top down.

Method: ``deep_watershed`` of deepcell-toolbox, on the network image. Markers are the h-maxima of the inner distance.
The foreground is where the interior probability, smoothed by a Gaussian, exceeds a threshold. Each marker is flooded
within the foreground; small cells are removed and small holes are filled. At last the labels are taken to the image:
each image pixel gets the label of the network pixel in which its centre lies.

No distance bounds the flood, so the labels of the first row can depend on the last row, and labelling starts when all
maps have arrived. Two arrays of the size of the network image, the smoothed interior and the labels, lie in temporary
files (`flowmask.families.watershed.scratch`), 8 bytes per network pixel. Memory holds some rows of maps, the graph of
basins (`flowmask.families.watershed.maxima`), and the front of the flood in one component of the foreground.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from ...labels.cell_table import CellTableBuilder
from ...labels.labels import Boxes, Labels
from ...labels.measure import measure
from ...labels.numbering import renumber
from ...system.rolling import Rolling
from ...tiles.plan import ImagePlan
from ..blocks import Maps
from .cells import Counts, euler_numbers, fill_small, survey
from .compartments import thresholds_of
from .constants import HOLE, RADIUS, STRIP
from .flood import SIDES, flood
from .maxima import Index, Maxima, label_pixels
from .scratch import scratch
from .smooth import Map, gaussian_weights, smooth_rows

DISTANCE, INTERIOR = 0, 1
"""Channels of the maps: inner distance, and the probability of the interior. Those of border and background follow."""


def label_rows(
    parts: Iterable[Maps], plan: ImagePlan, table: CellTableBuilder | None = None, strip: int = STRIP
) -> Iterator[Labels]:
    """Yield the labels (n, X) int32 of an image from the top down, numbered 1, 2, ... in the order of first pixels.

    parts: the maps (4, n, x) float32 of the network image from the top down: inner distance; probabilities of interior,
    border and background. table: the table to fill; None if it is not needed. strip: image rows of a result.

    >>> from types import SimpleNamespace
    >>> from flowmask.options import Segmentation
    >>> plan = SimpleNamespace(shape=(40, 40), network_shape=(40, 40), options=Segmentation())
    >>> square = np.zeros((40, 40), np.float32)
    >>> square[10:30, 10:30] = 1
    >>> distance = np.zeros((40, 40), np.float32)
    >>> distance[20, 20] = 1
    >>> rows = list(label_rows([np.stack([distance, square, square, square])], plan))
    >>> np.array_equal(np.concatenate(rows)[11:29, 11:29], square[11:29, 11:29])
    True
    """
    table = CellTableBuilder() if table is None else table
    rows, columns = (nearest(*lengths) for lengths in zip(plan.shape, plan.network_shape, strict=True))
    with scratch(plan.network_shape, np.float32) as interior, scratch(plan.network_shape, np.int32) as labels:
        markers = collect(parts, plan, interior)
        probabilities = cells_of(interior, labels, markers, plan, table, rows, columns)
        numbers, count = np.zeros(len(probabilities), np.int32), 0
        accepted = np.ones(len(probabilities), np.bool_)
        for top in range(0, len(rows), strip):
            found = np.ascontiguousarray(labels[rows[top : top + strip]][:, columns])
            before, count = count, renumber(found, numbers, accepted, count)
            new = np.flatnonzero(numbers > before)
            new = new[np.argsort(numbers[new])]
            table.add_cells(probabilities[new], np.full(len(new), np.nan))
            table.add_rows(found)
            yield found


def nearest(length: int, other: int) -> npt.NDArray[np.int64]:
    """Return for each of ``length`` pixels of an axis the one of ``other`` pixels in which its centre lies.

    >>> nearest(4, 2), nearest(2, 4)
    (array([0, 0, 1, 1]), array([1, 3]))
    """
    return (2 * np.arange(length, dtype=np.int64) + 1) * other // (2 * length)


def collect(parts: Iterable[Maps], plan: ImagePlan, interior: Map) -> Index:
    """Fill ``interior`` with the smoothed interior probability; return the sorted h-maxima of the inner distance."""
    height, width = plan.network_shape
    h, _ = thresholds_of(plan)
    maxima, weights = Maxima(width, h), gaussian_weights()
    rows, done = Rolling(width, np.float32), 0
    for part in parts:
        for top in range(0, part.shape[1], STRIP):
            maps = part[:, top : top + STRIP]
            maxima.add(np.maximum(maps[DISTANCE], 0))
            rows.append(maps[INTERIOR])
            last = height if rows.bottom == height else rows.bottom - RADIUS
            if last > done:
                held = rows.rows(rows.top, rows.bottom)
                interior[done:last] = smooth_rows(held, weights, rows.top, height, done, last)
                done = last
                rows.drop(done - RADIUS)
    return maxima.pixels()


def cells_of(
    interior: Map,
    labels: Labels,
    markers: Index,
    plan: ImagePlan,
    table: CellTableBuilder,
    rows: Counts,
    columns: Counts,
) -> npt.NDArray[np.float64]:
    """Fill ``labels`` (zeros before) with the cells of the network image, numbered by their markers.

    rows, columns: the network row and column of each image row and column. Returns the probability of each marker's
    cell: the mean of the smoothed interior probability over its pixels.
    """
    _, threshold = thresholds_of(plan)
    numbers = label_pixels(markers, labels.shape[1])
    inside = interior.reshape(-1)[markers] > np.float32(threshold)
    labels.reshape(-1)[markers[inside]] = numbers[inside]
    flood(interior, labels, markers[inside], threshold, SIDES)
    count = int(numbers.max(initial=0))
    areas, pixels, sums = np.zeros(count, np.int64), np.zeros(count, np.int64), np.zeros(count)
    height, width = labels.shape
    weights = np.bincount(rows, minlength=height), np.bincount(columns, minlength=width)
    survey(labels, interior, *weights, areas, sums, pixels)
    large_enough = areas >= max(1, plan.options.min_size)
    table.candidates += int(np.count_nonzero(pixels))
    table.too_small += int(np.count_nonzero(pixels)) - int(np.count_nonzero(large_enough))
    _remove_others(labels, large_enough)
    with_holes = np.flatnonzero(large_enough & (euler_numbers(labels, count) < 1)) + 1
    fill_small(labels, _boxes(labels, count), with_holes, HOLE, SIDES)
    return sums / np.maximum(1, pixels)


def _remove_others(labels: Labels, cells: npt.NDArray[np.bool_]) -> None:
    """Set all labels to 0 except those of these cells (n,), in place."""
    numbers = np.zeros(len(cells) + 1, np.int32)
    numbers[1:] = np.where(cells, np.arange(1, len(cells) + 1), 0)
    for top in range(0, len(labels), STRIP):
        labels[top : top + STRIP] = numbers[labels[top : top + STRIP]]


def _boxes(labels: Labels, count: int) -> Boxes:
    boxes, areas = np.zeros((count, 4), np.int32), np.zeros(count, np.int64)
    measure(labels, 0, boxes, areas)
    return boxes
