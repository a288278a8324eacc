"""Networks with the classes interior, border and background: cells that touch are parted by their border.

1. A pixel is foreground if the probability of interior and border together exceeds the threshold, and interior if
   interior is also more probable than border.
2. The components of the interior (pixels that share a side) are the cells.
3. The cells grow over the rest of the foreground, all at the same time, one pixel a round, for at most `REACH` network
   pixels. A pixel that two cells reach in the same round goes to the one whose pixel was reached first; at the start,
   the first one in the image. Foreground that no cell reaches is background.

A component can be as large as the image. So its parts in `SLAB` network rows have owner keys of their own, which do not
depend on the blocks, and `flowmask.families.blocks.gather` joins the parts. After that, nothing farther away than
`REACH` can change a pixel.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from ...errors import RunError
from ...labels.labels import Labels
from ...tiles.plan import ImagePlan
from ...tiles.rescale import positions
from ..blocks import Block, Keys, Maps, Span, image_maps, make_block, summable

INTERIOR, BORDER = 0, 1
"""Channels of the maps: probabilities of interior and border. That of the background follows."""
REACH = 8
"""Network pixels over which a cell grows."""
SLAB = 16
"""Network rows in which the parts of a component have one owner key."""
HALO = REACH + SLAB + 1
"""Network rows that a block reads above and below, unless a pixel of the image is larger than `REACH` of them."""
Mask = npt.NDArray[np.bool_]


def rows_around(plan: ImagePlan) -> int:
    """Return the network rows that a block must read above and below its core: see `HALO`.

    >>> from types import SimpleNamespace
    >>> [rows_around(SimpleNamespace(shape=(10, 1), network_shape=(rows, 1))) for rows in (10, 300)]
    [25, 47]
    """
    return HALO - REACH + max(REACH, math.ceil(plan.network_shape[0] / plan.shape[0]))


def classes(maps: Maps, plan: ImagePlan, rows: Span, read: Span) -> tuple[npt.NDArray[np.float32], Mask]:
    """Return the foreground probability (n, X) float32 and the interior (n, X) of some rows of the image.

    maps: (3, m, x) float32, the rows ``read`` of the network image.

    >>> from types import SimpleNamespace
    >>> plan = SimpleNamespace(shape=(1, 3), network_shape=(1, 3), options=SimpleNamespace(cellprob_threshold=0.0))
    >>> maps = np.array([[[0.75, 0.25, 0.25]], [[0.125, 0.5, 0.125]], [[0.125, 0.25, 0.625]]], np.float32)
    >>> classes(maps, plan, (0, 1), (0, 1))
    (array([[0.875, 0.75 , 0.375]], dtype=float32), array([[ True, False, False]]))
    """
    interior, border = image_maps(maps[: BORDER + 1], plan, rows, read)
    probability = interior + border
    return probability, (probability > threshold(plan)) & (interior > border)


def threshold(plan: ImagePlan) -> np.float32:
    """Return the probability that the option cellprob_threshold, a logit, stands for.

    >>> from types import SimpleNamespace
    >>> float(threshold(SimpleNamespace(options=SimpleNamespace(cellprob_threshold=0.0))))
    0.5
    """
    return np.float32(1 / (1 + np.exp(-np.float64(plan.options.cellprob_threshold))))


def label_block(maps: Maps, plan: ImagePlan, core: Span, read: Span) -> Block:
    """Return the cells of the image rows ``core``.

    maps: (3, m, x) float32, the rows ``read`` of the network image. The owner key of a part of a cell is its first
    interior pixel, as row * X + column in the whole image. Raises RunError if fewer rows than `rows_around` were read.

    >>> from types import SimpleNamespace
    >>> plan = SimpleNamespace(shape=(1, 6), network_shape=(1, 6), options=SimpleNamespace(cellprob_threshold=0.0))
    >>> interior = np.array([[0.75, 0.125, 0.125, 0.75, 0.75, 0.125]], np.float32)
    >>> border = np.array([[0.125, 0.75, 0.75, 0.125, 0.125, 0.125]], np.float32)
    >>> block = label_block(np.stack([interior, border, 1 - interior - border]), plan, (0, 1), (0, 1))
    >>> block.labels, block.keys
    (array([[1, 1, 2, 2, 2, 0]], dtype=int32), array([0, 3]))
    """
    reach = max(1, REACH * plan.shape[0] // plan.network_shape[0])
    slabs = _slabs(plan, max(0, core[0] - reach), min(plan.shape[0], core[1] + reach))
    top, bottom = slabs[0], slabs[-1]
    _check(plan, (top, bottom), read)
    probability, interior = classes(maps, plan, (top, bottom), read)
    parts, keys = _parts(interior, [row - top for row in slabs])
    links = _links(parts, keys, [row - top for row in slabs[1:-1]])
    inside = np.s_[core[0] - top : core[1] - top]
    labels = grow(parts, probability > threshold(plan), reach)[inside]
    sums = np.bincount(labels.ravel(), summable(probability[inside]).ravel(), len(keys) + 1)[1:].astype(np.float64)
    offset = top * plan.shape[1]
    block = make_block(core, np.ascontiguousarray(labels), keys + offset, sums)
    return replace(block, edges=np.full_like(block.edges, -1), links=links + offset)


def grow(cells: Labels, foreground: Mask, reach: int) -> Labels:
    """Return the cells (n, X) int32 after ``reach`` rounds of growth over the foreground: see the rule of this module.

    >>> grow(np.array([[1, 0, 0, 0, 2, 0, 0, 0]], np.int32), np.array([[1, 1, 1, 1, 1, 1, 1, 0]], bool), 2)
    array([[1, 1, 1, 2, 2, 2, 2, 0]], dtype=int32)
    """
    import cv2

    grown = np.pad(cells, 1)
    free = np.pad(foreground, 1) & (grown == 0)
    flat, is_free = grown.reshape(-1), free.reshape(-1)
    sides = np.array([-grown.shape[1], -1, 1, grown.shape[1]])
    beside = cv2.dilate(free.astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3)))
    front = np.flatnonzero((grown > 0) & (beside > 0))
    for _ in range(reach):
        reached = (front[:, None] + sides).reshape(-1)
        order = np.flatnonzero(is_free[reached])
        _, first = np.unique(reached[order], return_index=True)
        order = order[np.sort(first)]
        sources, front = front[order // len(sides)], reached[order]
        flat[front] = flat[sources]
        is_free[front] = False
    return grown[1:-1, 1:-1]


def _slabs(plan: ImagePlan, first: int, last: int) -> list[int]:
    """Return the image rows at which the slabs begin that hold the rows ``first`` to ``last``, and the end of the last.

    Slab k has the image rows y with k * SLAB <= y * network rows // image rows < (k + 1) * SLAB.
    """
    rows, network_rows = plan.shape[0], plan.network_shape[0]
    low, high = (row * network_rows // rows // SLAB for row in (first, last - 1))
    starts = (-(-slab * SLAB * rows // network_rows) for slab in range(low, high + 2))
    return sorted({min(start, rows) for start in starts})


def _parts(interior: Mask, slabs: list[int]) -> tuple[Labels, Keys]:
    """Return the components of each slab alone, numbered 1, 2, ..., and the first pixel of each."""
    import cv2

    parts = np.zeros(interior.shape, np.int32)
    count = 0
    for top, bottom in zip(slabs, slabs[1:], strict=False):
        mask = interior[top:bottom].astype(np.uint8)
        found, slab = cv2.connectedComponents(mask, connectivity=4, ltype=cv2.CV_32S)
        parts[top:bottom] = np.where(slab > 0, slab + count, 0)
        count += found - 1
    ids, first = np.unique(parts, return_index=True)
    return parts, first[ids > 0].astype(np.int64)


def _links(parts: Labels, keys: Keys, borders: list[int]) -> Keys:
    """Return the pairs of keys (n, 2) of parts that touch across the border of two slabs."""
    pairs = [np.stack([parts[row - 1], parts[row]], axis=1) for row in borders]
    touching = np.concatenate([np.zeros((0, 2), np.int32), *pairs])
    linked: Keys = keys[np.unique(touching[(touching > 0).all(axis=1)], axis=0) - 1]
    return linked


def _check(plan: ImagePlan, rows: Span, read: Span) -> None:
    """Raise RunError if image rows need network rows that were not read."""
    at = positions(rows[0], rows[1], plan.shape[0], plan.network_shape[0])[[0, -1]]
    if at[0] < read[0] or at[1] > read[1] - 1:
        raise RunError("a cell can extend beyond the rows read for this block; segment the whole image.")
