"""The labels of some rows of an image, computed from the maps of these rows and of a halo around them.

The strip engine (`flowmask.families.flow.strip`) labels them as if the image had no other rows. The owner key of a cell
is the position of its seed. Everything that can change the label of a core pixel lies within `HALO` network rows:

* A path ends at most `REACH` rows from its start, and a basin extends `GROWTH` rows from its seed. So all pixels of a
  cell lie within `REACH` + `GROWTH` rows of its seed, and any two of them lie within 2 (`REACH` + `GROWTH`) rows.
* So all pixels of the cell that contains or encloses a core pixel lie within 2 (`REACH` + `GROWTH`) rows of that pixel.
* The seeds that compete for these pixels, and the histogram rows that decide about them, lie within 2 `GROWTH` + `PEAK`
  more rows. All paths that end there start and stay within 2 `REACH` rows of their end.

A candidate that fails the checks is counted by the block in which its first pixel lies.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from ...labels.labels import Labels
from ...labels.numbering import renumber
from ...system.cpu import threads as usable_threads
from ...tiles.plan import ImagePlan
from ..blocks import Block, Maps, Span, cores
from .strip import Strip


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
    strip = Strip(plan.network_shape, plan.shape, plan.options, usable_threads(plan.threads), read)
    first = strip.followed[0]
    labels = strip.advance(maps)[core[0] - first : core[1] - first]
    strip.take_rejected(core[0])
    return _block(strip, labels, core)


def label_from(parts: Iterable[Maps], plan: ImagePlan, first: int, top: int, height: int) -> Iterator[Block]:
    """Yield the labels of the image from the row ``first`` on, as `flowmask.families.blocks.LabelFrom`.

    >>> from types import SimpleNamespace
    >>> from flowmask.options import Segmentation
    >>> plan = SimpleNamespace(shape=(20, 20), network_shape=(20, 20), options=Segmentation(), threads=1)
    >>> maps = np.full((3, 20, 20), -6, np.float32)
    >>> [block.core for block in label_from([maps[:, :5], maps[:, 5:]], plan, first=3, top=0, height=12)]
    [(3, 12), (12, 20)]
    """
    read = top, plan.network_shape[0]
    strip = Strip(plan.network_shape, plan.shape, plan.options, usable_threads(plan.threads), read)
    for part in parts:
        above = strip.labels.top
        labels = strip.advance(part)
        if strip.labels.top > first:
            strip.take_rejected(first)
            for core in cores(max(first, above), strip.labels.top, height):
                yield _block(strip, labels[core[0] - above : core[1] - above], core)


def _block(strip: Strip, labels: Labels, core: Span) -> Block:
    """Return the block with these labels (n, X) of the engine. Nothing joins its cells with those of other blocks."""
    high = int(labels.max(initial=0))
    before = int(np.where(labels > 0, labels, high).min(initial=high)) - 1 if high else 0
    found = np.where(labels > 0, labels - np.int32(before), 0)  # numbers from 1 on, some of which have no pixel here
    numbers = np.zeros(high - before, np.int32)
    count = renumber(found, numbers, np.ones(len(numbers), np.bool_), 0)
    present = np.flatnonzero(numbers)
    cells = strip.numbered[before + present[np.argsort(numbers[present])]]
    errors, probabilities = strip.quality[:, cells].astype(np.float64)
    flat, seeds = found.reshape(-1), strip.seeds[cells]
    first = np.searchsorted(np.maximum.accumulate(flat), np.arange(1, count + 1))  # the numbers rise by first pixel
    too_small, wrong_flow = strip.take_rejected(core[1])
    return Block(
        core,
        found,
        seeds[:, 0] * strip.width + seeds[:, 1],
        first + core[0] * labels.shape[1],
        np.bincount(flat, minlength=count + 1)[1:],
        np.zeros((2, 0), np.int64),
        np.full(count, np.nan),
        quality=np.stack([probabilities, errors]),
        too_small=too_small,
        wrong_flow=wrong_flow,
    )
